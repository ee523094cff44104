"""Names, digits and directions of metrics: the one place where the report asks what a metric is."""

from __future__ import annotations

MAIN_METRICS = ("macro_f1", "ccc_mean")
"""What a task is judged by: one of classes, one of attributes."""

_LABELS = {
    "macro_f1": "macro-F1",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "f1_bias": "F1 bias",
    "ccc_mean": "mean CCC",
    "ccc_arousal": "CCC arousal",
    "ccc_valence": "CCC valence",
    "ccc_dominance": "CCC dominance",
}


def label_metric(metric: str) -> str:
    """Name of a metric in tables and figures."""
    return _LABELS.get(metric, metric.replace("_", " "))


def is_lower_better(metric: str) -> bool:
    """Whether a small value of a metric is the good one."""
    return metric in ("f1_bias", "cosine_distance")


def count_digits(metric: str) -> int:
    """Decimals: four where values are small, such as F1 bias and distances, three elsewhere."""
    return 4 if is_lower_better(metric) else 3
