"""Guard that stops a run at the first invalid loss or gradient."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from emoadapt.errors import TrainingError, show
from emoadapt.machine.ranks import gather
from emoadapt.training.late_checks import Fetched, LateChecks

logger = logging.getLogger(__name__)

DIVERGED = 1000.0
"""A training loss of this many times the loss before training has run away: a model that knows nothing would have 1."""

OVERFLOWS = 30
"""Steps in a row that `16-mixed` may leave out because a gradient overflows; each halves its scale, which begins at 2**16."""

NAMED = 20
"""Clips of a batch that an error names; the log has the others."""

_ADVICE = "lower the learning rate, set `gradient_clip`, or look at these clips and their targets"


def check_loss(where: str, utterances: Sequence[str], losses: Mapping[str, float], total: float, before: float) -> None:
    """Check the loss of a batch, which all processes that share it know.

    Args:
        where: run and epoch.
        utterances: of the batch, of this process.
        losses: its terms.
        total: their weighted sum.
        before: loss of the evaluated part before training; without a limit if it is not positive.

    Raises:
        TrainingError: a term is not finite, or the total is more than `DIVERGED` times `before`.
    """
    for name, value in losses.items():
        if not abs(value) < float("inf"):
            which = f"the loss of {name}" if len(losses) > 1 else "the loss"
            raise TrainingError(f"{where}: {which} is {value} {_name_clips(where, gather(utterances))}")
    if 0 < before < total / DIVERGED:
        clips = _name_clips(where, gather(utterances))
        raise TrainingError(f"{where}: the loss is {total:.3g}, before training it was {before:.3g}, {clips}")


def _name_clips(where: str, utterances: Sequence[str]) -> str:
    """End of a sentence: on which clips, and what to do."""
    named = show(utterances, NAMED)
    if len(utterances) > NAMED:
        logger.info("%s: the clips of the batch are %s", where, ", ".join(utterances))
        named += ", which the log names"
    return f"on the clips {named}; {_ADVICE}"


class GradientGuard:
    """Checks the gradients of every step.

    Args:
        skipping: whether steps with an overflowing gradient are left out (`16-mixed`), which is no fault by itself.
        late: checks that wait for a GPU.
    """

    def __init__(self, *, skipping: bool, late: LateChecks | None = None) -> None:
        self.late = late or LateChecks()
        self.patience = OVERFLOWS if skipping else 1
        self.wrong = 0
        self.utterances: list[str] = []

    def check(self, where: str, gradients: Sequence[Tensor]) -> None:
        """Check the gradients that the clips in `utterances` gave: now, or with the late checks.

        Raises:
            TrainingError: one is not finite, and this is not what the loss scale of `16-mixed` is there for.
        """
        finite, utterances = Fetched(torch.isfinite(torch.nn.utils.get_total_norm(gradients))), self.utterances
        self.utterances = []
        self.late.add(finite, lambda: self._judge(where, finite.read(), utterances))

    def _judge(self, where: str, finite: bool, utterances: Sequence[str]) -> None:
        self.wrong = 0 if finite else self.wrong + 1
        if self.wrong == self.patience:
            # Processes that share a batch have the same gradient, so that all come here together.
            clips = _name_clips(where, gather(utterances))
            raise TrainingError(f"{where}: the gradient is not finite {clips}")
