"""Learned weights of the objectives, initialised with those of the study."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emoadapt.machine.ranks import add_up, count_ranks

ASYMMETRY = 1.5
"""GradNorm's alpha: how strongly an objective that learns slowly is favoured (Chen et al. 2018, Sec. 5)."""

TINY = 1e-12
"""Stands for a loss of 0, which would be divided by."""

SMALLEST = 1e-3
"""Share of the sum of all weights below which GradNorm lets none fall."""


class Weighting(nn.Module):
    """Learned weights of loss terms, (n_terms,) in the order of `initial`."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """(n_terms,) weights in force."""

    @abstractmethod
    def combine(self, losses: Tensor, present: Tensor, shared: Tensor) -> Tensor:
        """What is minimised.

        Args:
            losses: (n_terms,) means over the clips of a batch that have the target. Where processes share a batch: this one's
                part of them, times the number of processes, so that their mean over processes is the batch's.
            present: (n_terms,) boolean, False where none has: that term says nothing about its weight.
            shared: the model's output that all heads read; the losses' graph leads to it.

        Returns:
            Scalar, whose gradient reaches the model and the weights.
        """

    def settle(self) -> None:
        """Called after each step of the optimiser."""
        return


class UncertaintyWeighting(Weighting):
    """Homoscedastic uncertainty (Kendall et al. 2018, Eqs. 7 and 10).

    There a regression is weighted by w = 1 / (2 sigma^2), a classification by w = 1 / sigma^2, and both add log sigma. In terms
    of w, and up to a constant, both are w * loss - log(w) / 2. The logarithm of w is what is learned.
    """

    def __init__(self, initial: Sequence[float]) -> None:
        super().__init__()
        self.logarithms = nn.Parameter(torch.tensor(initial).log())

    @property
    def weights(self) -> Tensor:
        """(n_terms,), positive."""
        return self.logarithms.exp()

    def combine(self, losses: Tensor, present: Tensor, shared: Tensor) -> Tensor:
        """Sum of w * loss - log(w) / 2 over the terms that are there."""
        return torch.where(present, self.weights * losses - self.logarithms / 2, 0.0).sum()


class GradNormWeighting(Weighting):
    """GradNorm (Chen et al. 2018, Eqs. 1 and 2): equal training rates of objectives.

    The norm of an objective's gradient is taken at the pooled embedding, which all heads share, and not at the last shared
    layer's weights behind it: one backward pass through a linear head, instead of one through the transformer (as in the
    upper bound of Sener & Koltun 2018, Sec. 3.3).
    """

    def __init__(self, initial: Sequence[float]) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.tensor(initial))
        self.total = sum(initial)
        self.register_buffer("first", torch.full((len(initial),), torch.nan))

    @property
    def weights(self) -> Tensor:
        """(n_terms,), of the sum of those configured."""
        return self.parameter

    def combine(self, losses: Tensor, present: Tensor, shared: Tensor) -> Tensor:
        """Weighted sum for the model, and for the weights the distance of their gradients' norms from their targets."""
        known, norms = losses.detach(), torch.stack([_norm_gradient(loss, shared) for loss in losses])
        if (ranks := count_ranks()) > 1:
            # Each process holds its clips' rows of the gradient, times the number of processes.
            known, norms = add_up(known) / ranks, add_up(norms.square()).sqrt() / ranks
        self.first = torch.where(self.first.isnan() & present, known, self.first)
        norms = norms[present]
        weighted = self.parameter[present] * norms
        pace = (known / self.first.clamp_min(TINY))[present]
        target = weighted.detach().mean() * (pace / pace.mean().clamp_min(TINY)) ** ASYMMETRY
        return (self.parameter.detach() * losses).sum() + (weighted - target).abs().sum()

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the weights positive, and their sum."""
        self.parameter.clamp_(min=SMALLEST * self.total)
        self.parameter.mul_(self.total / self.parameter.sum())


def build_weighting(kind: str, initial: Sequence[float]) -> Weighting | None:
    """The weighting of that name; None for `fixed`."""
    if kind == "fixed":
        return None
    return {"uncertainty": UncertaintyWeighting, "gradnorm": GradNormWeighting}[kind](initial)


def _norm_gradient(loss: Tensor, shared: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, shared, retain_graph=True)
    return gradient.float().norm()
