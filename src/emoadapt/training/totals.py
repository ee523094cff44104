"""Loss terms of batches, and their sums over a part.

Where several processes share each batch (`emoadapt.machine.ranks`), sums and counts go over all of them: losses are those of the
whole batch, not means over means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from emoadapt.machine.ranks import add_up, count_ranks
from emoadapt.training.late_checks import Fetched

TINY = 1e-12
"""Replaces a number of clips of 0, which would be divided by."""


@dataclass(frozen=True)
class Term:
    """One term of a loss.

    Args:
        mean: over `weight` clips of a batch.
        weight: how many clips of the batch have it.
        clips: how many it counts as the mean over in the total; those that lack it add 0. None: as many as have it.
    """

    mean: Tensor
    weight: Tensor
    clips: Tensor | None = None

    @property
    def spread(self) -> Tensor:
        """The clips that its sum is divided by in the total."""
        return self.weight if self.clips is None else self.clips

    @property
    def share(self) -> Tensor:
        """Share of the total's clips that have it; 0 where there are none."""
        return self.weight / self.spread.clamp_min(TINY)

    def erase(self) -> Term:
        """The same term of no clip, through which a gradient of 0 flows."""
        return Term(self.mean * 0.0, self.weight * 0, self.spread * 0)


class Sums:
    """A batch's terms over all processes that share it.

    `losses` and `total` wait for the device.

    Args:
        terms: to be minimised by this process. In one process they are those measured. Each of several gets its part of the
            batch's mean, times their number, since the mean of their gradients is taken; the weights are those of the batch.
        weights: term -> weight in the total.
        means: (n_terms,) double, over the clips of the batch that have the term.
        spread: (n_terms,) double, over the clips that it counts for in the total.
    """

    def __init__(self, terms: dict[str, Term], weights: Mapping[str, float], means: Tensor, spread: Tensor) -> None:
        self.terms, self.weights = terms, weights
        self.fetched = Fetched(torch.stack([means, spread]))

    @property
    def losses(self) -> dict[str, float]:
        """Term -> mean over the batch."""
        return dict(zip(self.weights, self._values[0], strict=True))

    @property
    def total(self) -> float:
        """Weighted sum of the terms."""
        return self.add(self.weights)

    def add(self, names: Iterable[str]) -> float:
        """Weighted sum of some terms."""
        values = dict(zip(self.weights, self._values[1], strict=True))
        return sum(self.weights[name] * values[name] for name in names)

    @cached_property
    def _values(self) -> list[list[float]]:
        return self.fetched.read()


class Totals:
    """Sums of the loss terms of one pass over a part.

    Args:
        weights: loss term -> weight in the total.
        rows: of a pass that continues: per batch sums over clips, the clips that have each term, the clips of the total.
    """

    def __init__(self, weights: Mapping[str, float], rows: list[tuple[Tensor, Tensor, Tensor]] | None = None) -> None:
        self.weights, self._rows = weights, rows or []
        self._new: list[Tensor] = []
        """Rows that are still on the device."""

    def add(self, terms: Mapping[str, Term], device: torch.device) -> Sums:
        """Add a batch; `terms` is empty in a process that has no clip of it."""
        nothing = torch.zeros((), dtype=torch.double, device=device)
        found = [terms[name] if terms else Term(nothing, nothing) for name in self.weights]
        means = torch.stack([term.mean.detach().double() for term in found])
        counts = torch.stack([term.weight.double() for term in found])
        clips = torch.stack([term.spread.double() for term in found])
        sums, weights, ranks = means * counts, counts, count_ranks()
        if ranks > 1:
            sums, weights, clips = add_up(torch.stack([sums, weights, clips]))
            means = torch.where(weights > 0, sums / weights, 0.0)
        self._new.append(torch.stack([sums, weights, clips]))
        spread = sums / clips.clamp_min(TINY)
        if ranks == 1:
            return Sums(dict(terms), self.weights, means, spread)
        shares = torch.where(weights > 0, ranks * counts / weights, 0.0).float()
        own = {
            name: Term(terms[name].mean * shares[place], weights[place].float(), clips[place].float())
            for place, name in enumerate(self.weights)
            if terms
        }
        return Sums(own, self.weights, means, spread)

    @property
    def rows(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The rows of all batches so far, on the CPU as those are that come back from a checkpoint."""
        if self._new:
            new, self._new = torch.stack(self._new).cpu(), []
            self._rows += [(row[0], row[1], row[2]) for row in new]
        return self._rows

    def is_empty(self, first: int | None = None) -> bool:
        """Whether no batch had a clip with any of the first so many terms; None = of all."""
        return not any(weights[:first].any() for _, weights, _ in self.rows)

    def average(self) -> dict[str, float]:
        """Total over all clips of the part, and mean of each term over the clips that have it."""
        columns = zip(*self.rows, strict=True)
        sums, counts, clips = (torch.stack(column).sum(dim=0).tolist() for column in columns)
        means = {name: sums[place] / counts[place] for place, name in enumerate(self.weights) if counts[place] > 0}
        weighted = zip(self.weights.values(), sums, clips, strict=True)
        total = sum(weight * value / count for weight, value, count in weighted if count > 0)
        return {"loss": total, **(name_losses(means) if len(self.weights) > 1 else {})}


def name_losses(means: Mapping[str, float]) -> dict[str, float]:
    """Terms under the names that a curve has for them."""
    return {f"loss_{name}": mean for name, mean in means.items()}
