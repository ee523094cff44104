"""Stops a run whose numbers have gone wrong, at the batch at which they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from emoadapt.data.ranks import gather
from emoadapt.errors import TrainingError

DIVERGED = 1000.0
"""A training loss of this many times the loss before training has run away: a model that knows nothing would have 1."""

OVERFLOWS = 30
"""Steps in a row that `16-mixed` may leave out because a gradient overflows; each halves its scale, which begins at 2**16."""

_ADVICE = "lower the learning rate, set `gradient_clip`, or look at these clips and their targets"


def check_loss(where: str, utterances: Sequence[str], losses: Mapping[str, float], total: float, before: float) -> None:
    """Check the loss of a batch.

    Args:
        where: run and epoch.
        utterances: of the batch.
        losses: its terms.
        total: their weighted sum.
        before: loss of the evaluated part before training; without a limit if it is not positive.

    Raises:
        TrainingError: a term is not finite, or the total is more than `DIVERGED` times `before`.
    """
    clips = f"on the clips {', '.join(utterances)}; {_ADVICE}"
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            which = f"the loss of {name}" if len(losses) > 1 else "the loss"
            raise TrainingError(f"{where}: {which} is {value} {clips}")
    if 0 < before < total / DIVERGED:
        raise TrainingError(f"{where}: the loss is {total:.3g}, before training it was {before:.3g}, {clips}")


class GradientGuard:
    """Looks at the gradients of every step.

    Args:
        skipping: whether steps with an overflowing gradient are left out (`16-mixed`), which is no fault by itself.
    """

    def __init__(self, *, skipping: bool) -> None:
        self.patience = OVERFLOWS if skipping else 1
        self.wrong = 0
        self.utterances: list[str] = []

    def check(self, where: str, gradients: Sequence[Tensor]) -> None:
        """Check the gradients that the clips in `utterances` gave.

        Raises:
            TrainingError: one is not finite, and this is not what the loss scale of `16-mixed` is there for.
        """
        finite = bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients)))
        self.wrong = 0 if finite else self.wrong + 1
        if self.wrong == self.patience:
            # Processes that share a batch have the same gradient, so that all come here together.
            clips = ", ".join(gather(self.utterances))
            raise TrainingError(f"{where}: the gradient is not finite on the clips {clips}; {_ADVICE}")
        self.utterances = []
