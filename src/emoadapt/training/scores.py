"""Scores that choose an epoch or a layer."""

from __future__ import annotations

import numpy as np


def measure_macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Macro-F1 over all classes; a class that neither is there nor was predicted counts as 0.

    Not from `emoadapt.evaluation`, on which no training may depend: a change of the reported metrics must not make trained
    models stale.

    Args:
        logits: (n, n_classes).
        labels: (n,) class indices.
    """
    return float(_measure_f1(logits, labels).mean())


def measure_weighted_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the F1 of all classes, weighted by their clips; arguments as of `measure_macro_f1`."""
    return float(np.average(_measure_f1(logits, labels), weights=np.bincount(labels, minlength=logits.shape[1])))


def _measure_f1(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    n_classes = logits.shape[1]
    predicted = logits.argmax(axis=1)
    hits = np.bincount(labels[predicted == labels], minlength=n_classes)
    counts = np.bincount(labels, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return 2 * hits / np.maximum(counts, 1)
