"""Device that torch computes on."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Literal

from emoadapt.errors import NO_GPU, ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


CONDITIONAL_LIBRARIES = ("torch",)
"""What computes with it imports it itself."""


def find_device(device: str) -> Literal["cpu", "cuda"]:
    """Choose the device: `auto` takes a GPU if there is one.

    `auto` imports torch only on a machine with a driver.

    Raises:
        ConfigError: `cuda` is asked for and there is no GPU.
    """
    if device == "cpu" or (device == "auto" and "torch" not in sys.modules and not _has_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ConfigError(NO_GPU)
    return "cpu"


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device, to a GPU from pinned memory and without waiting."""
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
