"""Numbers of half the size: automatic mixed precision of torch."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from emoadapt.errors import TrainingError

logger = logging.getLogger(__name__)

Kind = Literal["32-true", "bf16-mixed", "16-mixed"]
_TYPES: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Precision:
    """Precision of a training.

    Args:
        kind: `32-true`; `bf16-mixed` and `16-mixed`: matrix products in half precision, weights in single.
        device: of the training.

    Raises:
        TrainingError: `16-mixed` without a GPU.
    """

    def __init__(self, kind: Kind, device: torch.device) -> None:
        on_cpu = device.type == "cpu"
        if kind == "16-mixed" and on_cpu:
            raise TrainingError(
                "precision is 16-mixed, which needs a GPU, and this job has none; set `precision: bf16-mixed` or `32-true`"
            )
        if kind == "bf16-mixed" and on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2":
            # Measured on such a machine: a matrix product a hundred times slower, a training five times.
            logger.warning(
                "precision is bf16-mixed, which this CPU only emulates, slowly; `32-true` is several times faster here"
            )
        self._device, self._type = device, _TYPES.get(kind)
        self._scaler = torch.amp.GradScaler(device.type, enabled=kind == "16-mixed")

    def autocast(self) -> AbstractContextManager[Any]:
        """For what a model computes forwards."""
        if self._type is None:
            return nullcontext()
        # With its cache of weights, the gradients of one that is used several times in a forward pass, as a convolution is that
        # goes clip by clip, would be added in half precision.
        return torch.autocast(self._device.type, dtype=self._type, cache_enabled=False)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss; where half precision could lose it, of the scaled loss."""
        self._scaler.scale(loss).backward()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the gradients their own scale, before anything looks at them."""
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A step of the optimiser; left out where a scaled gradient overflowed."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale, for a checkpoint; empty where there is none."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the scale."""
        if state:
            self._scaler.load_state_dict(state)
