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
    n_classes = logits.shape[1]
    predicted = logits.argmax(axis=1)
    hits = np.bincount(labels[predicted == labels], minlength=n_classes)
    counts = np.bincount(labels, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float((2 * hits / np.maximum(counts, 1)).mean())
