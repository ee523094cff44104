"""Runs of a setting and the folders of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from emoadapt.config import Study
from emoadapt.storage.tables import read_table
from emoadapt.study.grid import batches
from emoadapt.study.nodes import Run, Setting


def count_folds(splits: Sequence[Path]) -> int:
    """Folds of each partition of SPLITS tables."""
    return len(set(read_table(splits[:1], columns=["fold"]).column("fold").to_pylist()))


def list_batches(
    study: Study, setting: Setting, splits: Sequence[Path], results: Path
) -> Iterator[tuple[Path, list[Run]]]:
    """Folder of each batch of a setting, and its runs.

    Args:
        study: the configuration.
        setting: one of `study.list_settings()`.
        splits: SPLITS tables of its task.
        results: folder of results, laid out as by the rules.
    """
    folder = results / "runs" / setting.task / str(setting.model) / setting.subset
    for batch, runs in batches(study, setting, count_folds(splits)).items():
        yield folder / batch, runs
