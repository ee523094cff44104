"""Device that torch computes on."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

from emoadapt.errors import NO_GPU, ConfigError


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


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
