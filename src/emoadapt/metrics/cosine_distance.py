"""How far fine-tuning moved a model from its starting point (Goncalves & Busso 2025, Section IV-C, Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoadapt.evaluation.confusion import Array
from emoadapt.evaluation.significance import draw_weights

METRIC = "cosine_distance"


def measure_cosine_distance(tuned: NDArray[np.generic], start_point: NDArray[np.generic]) -> Array:
    """Cosine distance 1 - cos between matching rows.

    Args:
        tuned: (n, width) pooled last-layer embeddings of the fine-tuned model.
        start_point: (n, width) those of the model fine-tuning began from.

    Returns:
        (n,) in [0, 2]; 1 where an embedding is all zeros and has no direction.
    """
    left = np.asarray(tuned, dtype=np.float64)
    right = np.asarray(start_point, dtype=np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.einsum("nw,nw->n", left, right)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return 1.0 - np.clip(cosines, -1.0, 1.0)


@dataclass(frozen=True)
class DistanceOutcome:
    """Distances of all runs of one setting on one test corpus.

    Attributes:
        runs: (resampling, seed) of each run.
        sums: (n_runs, n_utterances) sum of the distances of an utterance, over the folds that it is tested in.
        counts: (n_runs, n_utterances) number of those folds; 0 where a run has no embedding of it.
    """

    runs: list[tuple[int, int]]
    sums: Array
    counts: Array

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n_utterances,) True where any run has an embedding."""
        return np.asarray(self.counts.any(axis=0))

    def scores(self, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Mean distance of each run, (n_runs,), over all utterances or only those to keep."""
        kept = np.ones(self.sums.shape[1]) if keep is None else keep.astype(np.float64)
        return {METRIC: self._average(kept[:, None])[:, 0]}

    def sample(self, draws: int, seed: int, keep: NDArray[np.bool_] | None = None) -> dict[str, Array]:
        """Mean distance of each run in bootstrap draws of the utterances, (n_runs, draws)."""
        parts = []
        for weights in draw_weights(self.sums.shape[1], draws, np.random.default_rng(seed)):
            kept = weights if keep is None else weights * keep[:, None]
            parts.append(self._average(kept))
        return {METRIC: np.concatenate(parts, axis=1)}

    def _average(self, weights: Array | NDArray[np.float32]) -> Array:
        """(n_runs, n_draws) weighted means; NaN in a draw that holds none of a run's utterances."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.sums @ weights) / (self.counts @ weights), dtype=np.float64)
