"""Test utterances of all runs of a model, each counted once, however many partitions it is tested in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from emoadapt.evaluation.predictions import SETTING


def count_utterances(frame: pl.DataFrame, *columns: str) -> dict[tuple[Any, ...], int]:
    """Distinct utterances of each setting, and of each value of further columns (null values count for nothing).

    Args:
        frame: columns of `SETTING`, `utterance_id` and the further ones.
        columns: such as `label`.
    """
    keys = [*SETTING, *columns]
    grouped = frame.drop_nulls(keys).group_by(keys).agg(pl.col("utterance_id").n_unique())
    return {tuple(values): size for *values, size in grouped.iter_rows()}


def name_setting(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Values of `SETTING` of a row."""
    return tuple(row[name] for name in SETTING)


def size_audit(frame: pl.DataFrame, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Set `n_all` of rows of fairness and calibration.

    What is computed over groups rests on all that are large enough in any run.

    Args:
        frame: predictions of their settings.
        rows: (table, row) of all their runs.
    """
    whole = count_utterances(frame)
    groups = {
        grouping: count_utterances(frame, grouping) | count_utterances(frame, grouping, "label")
        for grouping in ("sex", "speaker")
    }
    judged: dict[tuple[Any, ...], dict[tuple[Any, ...], int]] = {}
    for row in (row for table, row in rows if table == "fairness" and row["group"] is not None):
        named = [row["group"]] if row["label"] is None else [row["group"], row["label"]]
        setting = name_setting(row)
        row["n_all"] = groups[row["grouping"]][*setting, *named]
        judged.setdefault((*setting, row["grouping"], row["metric"]), {})[row["group"], row["label"]] = row["n_all"]
    over_groups = [row for table, row in rows if table == "fairness" and row["group"] is None]
    compared = {(*name_setting(row), row["label"]) for row in over_groups if row["metric"] == "recall_gap"}
    for row in over_groups:
        setting, of_recall = name_setting(row), row["metric"] == "recall_gap"
        sizes = judged[*setting, row["grouping"], "recall" if of_recall else "macro_f1"]
        labels = {label for _, label in sizes if not of_recall or (*setting, label) in compared}
        row["n_all"] = _add(sizes, labels if row["label"] is None else {row["label"]})
    for row in (row for table, row in rows if table == "calibration"):
        row["n_all"] = whole[name_setting(row)]


def _add(sizes: Mapping[tuple[Any, ...], int], labels: Iterable[Any]) -> int:
    return sum(size for (_, label), size in sizes.items() if label in labels)
