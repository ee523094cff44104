"""Runs of a model, scored under any weighting of the test utterances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emoadapt.evaluation.confusion import Array
from emoadapt.metrics.base import MEAN

Weights = Array | NDArray[np.float32]
"""(n_utterances, n_draws) how often each utterance counts."""

Scorers = Mapping[str, Callable[..., Any]]
"""Metric -> its function."""

_DRAWS_AT_ONCE = 100


class ScoredRun(NamedTuple):
    """A run as it is scored: with all folds of its partition."""

    partition: int
    resampling: int
    seed: int


@dataclass(frozen=True)
class Outcome(ABC):
    """All runs of one model in one setting on one test corpus.

    Attributes:
        runs: in the order of the first axis of all arrays.
        scorers: what is computed.
    """

    runs: list[ScoredRun]
    scorers: Scorers

    @property
    @abstractmethod
    def seen(self) -> NDArray[np.bool_]:
        """(n_runs, n_utterances) True where a run was tested on an utterance."""

    @abstractmethod
    def weigh(self, weights: Weights) -> dict[str, Array]:
        """Score -> (n_runs, n_draws), for (n_utterances, n_draws) weights; NaN where a run has none of the utterances."""

    @abstractmethod
    def restrict(self, places: Sequence[int], keep: NDArray[np.bool_]) -> Self:
        """Some of the runs, each with some of its utterances only.

        Args:
            places: of the runs, (n_chosen,).
            keep: (n_chosen, n_utterances) False for utterances to leave out.
        """

    @cached_property
    def scores(self) -> dict[str, Array]:
        """Score -> (n_runs,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.weigh(np.ones((self.seen.shape[1], 1)))
        return {name: values[:, 0] for name, values in found.items()}

    def sample(self, draws: int, seed: int) -> dict[str, Array]:
        """Scores in bootstrap draws of the test utterances.

        Utterances are drawn with replacement and without stratification from the union of the test sets of all runs, and each
        run is scored on those of its own. Partitions have different test sets that share utterances: an utterance that two
        of them are tested on is in both or in neither, so that what they have in common is not counted as evidence twice, as it
        would be if each were drawn for itself. How many utterances of a partition a draw holds varies around their number. The draws
        answer for the choice of test utterances only; for training clips and seeds, see `significance`.

        A draw is the same for all runs, and for every call with the same seed and number of utterances, so that
        differences between calls are paired.

        Args:
            draws: number of bootstrap draws.
            seed: seed of the draws.

        Returns:
            Score -> (n_runs, draws); NaN in a draw that holds none of the run's utterances.
        """
        parts: dict[str, list[Array]] = {}
        for weights in draw_weights(self.seen.shape[1], draws, np.random.default_rng(seed)):
            # A draw without any of a run's clips has no value (NaN): that is no accident.
            with np.errstate(divide="ignore", invalid="ignore"):
                found = self.weigh(weights)
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
        return {name: np.concatenate(values, axis=1) for name, values in parts.items()}


@dataclass(frozen=True)
class ClassOutcome(Outcome):
    """Runs of a task with classes.

    Attributes:
        cells: per run, the (n_cells, n_utterances) matrix of `place_cells`.
    """

    cells: list[sparse.csr_matrix]

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(n_runs, n_utterances) True where a run was tested on an utterance."""
        return np.stack([np.asarray(run.sum(axis=0)).ravel() > 0 for run in self.cells])

    def weigh(self, weights: Weights) -> dict[str, Array]:
        """Score -> (n_runs, n_draws)."""
        size = round(self.cells[0].shape[0] ** 0.5)
        counts = np.stack([(run @ weights).T.reshape(-1, size, size) for run in self.cells])
        return {name: score(counts) for name, score in self.scorers.items()}

    def restrict(self, places: Sequence[int], keep: NDArray[np.bool_]) -> Self:
        """Some of the runs, each with some of its utterances only."""
        cells = [sparse.csr_matrix(self.cells[place].multiply(kept)) for place, kept in zip(places, keep, strict=True)]
        return replace(self, runs=[self.runs[place] for place in places], cells=cells)


Values = tuple[NDArray[np.int64], Array, Array]
"""Of one run and attribute: (n_rows,) index of each prediction's utterance, predicted values and true ones."""


@dataclass(frozen=True)
class ValueOutcome(Outcome):
    """Runs of a task with attributes.

    Attributes:
        values: attribute -> the values of each run; only attributes that this corpus is rated for.
        kept: (n_runs, n_utterances) False where an utterance of a run does not count.
    """

    values: Mapping[str, list[Values]]
    kept: NDArray[np.bool_]

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(n_runs, n_utterances) True where a run was tested on an utterance."""
        seen = np.zeros_like(self.kept)
        for runs in self.values.values():
            for run, (places, _, _) in enumerate(runs):
                seen[run, places] = True
        return seen & self.kept

    def weigh(self, weights: Weights) -> dict[str, Array]:
        """Score -> (n_runs, n_draws): of each metric the mean over the attributes, then each attribute."""
        found: dict[str, Array] = {}
        kept = self.kept[:, :, None]
        for name, score in self.scorers.items():
            single = {
                f"{name}_{attribute}": np.stack(
                    [score(x, y, weights[places] * kept[run, places]) for run, (places, x, y) in enumerate(runs)]
                )
                for attribute, runs in self.values.items()
            }
            if single:
                found |= {f"{name}_{MEAN}": np.mean([*single.values()], axis=0), **single}
        return found

    def restrict(self, places: Sequence[int], keep: NDArray[np.bool_]) -> Self:
        """Some of the runs, each with some of its utterances only."""
        values = {attribute: [runs[place] for place in places] for attribute, runs in self.values.items()}
        return replace(self, runs=[self.runs[place] for place in places], values=values, kept=keep)


@dataclass(frozen=True)
class MeanOutcome(Outcome):
    """Runs whose score is a mean over utterances, such as of distances between embeddings.

    Attributes:
        sums: score -> (n_runs, n_utterances) sum of an utterance's values, over the folds that it is tested in.
        counts: (n_runs, n_utterances) number of those folds; 0 where a run has no value of it.
    """

    sums: Mapping[str, Array]
    counts: Array

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(n_runs, n_utterances) True where a run has a value of an utterance."""
        return np.asarray(self.counts > 0)

    def weigh(self, weights: Weights) -> dict[str, Array]:
        """Score -> (n_runs, n_draws)."""
        return {name: np.asarray((sums @ weights) / (self.counts @ weights)) for name, sums in self.sums.items()}

    def restrict(self, places: Sequence[int], keep: NDArray[np.bool_]) -> Self:
        """Some of the runs, each with some of its utterances only."""
        chosen = list(places)
        sums = {name: values[chosen] * keep for name, values in self.sums.items()}
        return replace(self, runs=[self.runs[place] for place in places], sums=sums, counts=self.counts[chosen] * keep)


def place_cells(utterances: NDArray[np.int64], cells: NDArray[np.int64], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Confusion cells of one run as a matrix that multiplies with weights of utterances.

    Args:
        utterances: (n_rows,) index of each prediction's utterance; an utterance may come once per fold.
        cells: (n_rows,) true class * n_classes + predicted class.
        shape: (number of cells, number of utterances).

    Returns:
        Sparse (n_cells, n_utterances) float32; entry = predictions of that utterance in that cell.
    """
    ones = np.ones(len(cells), dtype=np.float32)
    return sparse.csr_matrix((ones, (cells, utterances)), shape=shape)


def draw_weights(n_utterances: int, draws: int, generator: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Bootstrap counts of each utterance, (n_utterances, up to 100) at a time."""
    for begin in range(0, draws, _DRAWS_AT_ONCE):
        width = min(_DRAWS_AT_ONCE, draws - begin)
        chosen = generator.integers(n_utterances, size=(width, n_utterances))
        chosen += np.arange(width)[:, None] * n_utterances
        counts = np.bincount(chosen.ravel(), minlength=width * n_utterances)
        yield np.ascontiguousarray(counts.reshape(width, n_utterances).T, dtype=np.float32)
