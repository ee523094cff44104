"""Names, digits, order and direction of scores in the report."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

from emoadapt.metrics.base import find_metric, label_score, list_metrics
from emoadapt.plugins import FOLDER_VARIABLE

APART = ("f1_bias", "cosine_distance")
"""Scores with a table and a figure of their own."""


class _Measure(NamedTuple):
    label: str
    lower_is_better: bool
    digits: int
    place: tuple[bool, int, bool, str]


def list_main_metrics() -> list[str]:
    """What tasks are judged by: the first score of classes, and of attributes."""
    return [list_metrics(question)[0].name_scores(())[0] for question in ("classes", "attributes")]


def label_metric(score: str) -> str:
    """Name of a score in tables and figures."""
    return _read(score, os.environ.get(FOLDER_VARIABLE)).label


def is_lower_better(score: str) -> bool:
    """Whether a small value of a score is the good one."""
    return _read(score, os.environ.get(FOLDER_VARIABLE)).lower_is_better


def count_digits(score: str) -> int:
    """Decimals of a score."""
    return _read(score, os.environ.get(FOLDER_VARIABLE)).digits


def order_metric(score: str) -> tuple[bool, int, bool, str]:
    """Sort key of scores: as their metrics declare, a mean over attributes before these, those of embeddings last."""
    return _read(score, os.environ.get(FOLDER_VARIABLE)).place


@cache
def _read(score: str, _folder: str | None) -> _Measure:
    metric = find_metric(score)
    place = (metric.question == "embeddings", metric.order, score not in metric.name_scores(()), score)
    return _Measure(label_score(score), metric.lower_is_better, metric.digits, place)
