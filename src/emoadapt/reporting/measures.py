"""Names, digits, order and directions of scores: the one place where the report asks what a metric is."""

from __future__ import annotations

import os
from functools import cache

from emoadapt.metrics.base import Metric, find_metric, label_score, list_metrics
from emoadapt.plugins import FOLDER_VARIABLE

APART = ("f1_bias", "cosine_distance")
"""Scores with a table and a figure of their own."""


def list_main_metrics() -> list[str]:
    """What tasks are judged by: the first score of classes, and of attributes."""
    return [list_metrics(question)[0].name_scores(())[0] for question in ("classes", "attributes")]


def label_metric(score: str) -> str:
    """Name of a score in tables and figures."""
    return label_score(score)


def is_lower_better(score: str) -> bool:
    """Whether a small value of a score is the good one."""
    return _find(score, os.environ.get(FOLDER_VARIABLE)).lower_is_better


def count_digits(score: str) -> int:
    """Decimals of a score."""
    return _find(score, os.environ.get(FOLDER_VARIABLE)).digits


def order_metric(score: str) -> tuple[int, bool, str]:
    """Sort key of scores: as their metrics declare, a mean over attributes before these."""
    metric = _find(score, os.environ.get(FOLDER_VARIABLE))
    return metric.order, score not in metric.name_scores(()), score


@cache
def _find(score: str, _folder: str | None) -> Metric:
    return find_metric(score)
