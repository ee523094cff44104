"""Files that a report is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emoadapt.config import Study
from emoadapt.flow.shards import shard_names
from emoadapt.reporting.audits import AUDIT_TABLES, audit_paths
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import subset_key
from emoadapt.study.layout import name_splits


@dataclass(frozen=True)
class ReportInputs:
    """Files that a report is written from.

    Args:
        metrics: METRICS table of each task.
        confusion: CONFUSION table of each task.
        comparisons: COMPARISONS table of each task.
        quarantine: QUARANTINE table.
        splits: task -> its SPLITS tables.
        manifests: manifest shards `<corpus>/<shard>.parquet` of the corpora of tasks and adaptations.
        parts: adaptation -> PARTS table.
        curves: CURVES table of each Stage-1 model.
        run_curves: CURVES tables of the fine-tuning runs on the largest training set of each task.
        audits: each of `AUDIT_TABLES`, and `leaks` -> tables of that kind, one of each task.
        word_errors: WORD_ERRORS table; None where a recogniser cannot be compared with transcripts.
        features: shards `<feature>/<corpus>/<shard>.parquet` of the features of `features.also`.
        adapted: folders of Stage-1 models.
    """

    metrics: Sequence[Path]
    confusion: Sequence[Path]
    comparisons: Sequence[Path]
    quarantine: Path
    splits: Mapping[str, Sequence[Path]]
    manifests: Sequence[Path]
    parts: Mapping[str, Path]
    curves: Sequence[Path] = ()
    run_curves: Sequence[Path] = ()
    audits: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    word_errors: Path | None = None
    features: Sequence[Path] = ()
    adapted: Sequence[Path] = ()


def locate_inputs(
    study: Study, results: Path, word_errors: Path | None = None, features: Sequence[Path] = ()
) -> ReportInputs:
    """Locate the files of a study's report in a folder of results, laid out as by the rules.

    Args:
        study: the configuration.
        results: folder of results.
        word_errors: WORD_ERRORS table, if there is one.
        features: shards of the features of `features.also`.
    """
    metrics, confusion, comparisons = (
        [results / "metrics" / f"{task}{kind}.parquet" for task in study.tasks]
        for kind in ("", ".confusion", ".comparisons")
    )
    adapted = [(backbone, start) for backbone in study.backbones for start in study.starts(backbone)[1:]]
    splits = find_splits(study, results)
    audits = {name: audit_paths(study, results, name) for name in AUDIT_TABLES}
    return ReportInputs(
        metrics,
        confusion,
        comparisons,
        results / "quarantine.parquet",
        splits,
        _list_manifests(study, results, [start for _, start in adapted], features),
        {start: results / "targets" / start / "parts.parquet" for _, start in adapted},
        [results / "curves" / f"{backbone}.{start}.parquet" for backbone, start in adapted],
        list_run_curves(study, results, splits),
        audits | {"leaks": [results / "leaks" / f"{task}.parquet" for task in study.tasks]},
        word_errors,
        features,
        [results / "models" / f"{backbone}.{start}" for backbone, start in adapted],
    )


def _list_manifests(study: Study, results: Path, adapted: Sequence[str], features: Sequence[Path]) -> list[Path]:
    """Manifest shards of the corpora of tasks, of adaptations that are applied, and of features."""
    corpora = [name for task in study.tasks.values() for name in task.corpora]
    corpora += [name for start in adapted for name in study.adaptations[start].corpora]
    corpora += [path.parent.name for path in features]
    return [
        results / "manifests" / name / f"{shard}.parquet"
        for name in dict.fromkeys(corpora)
        for shard in shard_names(study.corpora[name].shards)
    ]


def find_splits(study: Study, results: Path) -> dict[str, list[Path]]:
    """Task -> SPLITS tables of its partitions."""
    return {
        task: [Path(name_splits(task, number, results)) for number in range(study.count_partitions(task))]
        for task in study.tasks
    }


def list_run_curves(study: Study, results: Path, splits: Mapping[str, Sequence[Path]]) -> list[Path]:
    """CURVES tables of the fine-tuning runs on the largest training set of each task.

    Args:
        study: the configuration.
        results: folder of results.
        splits: task -> its SPLITS tables, which tell the folds.
    """
    largest = {name: max(map(str, task.subsets), key=subset_key) for name, task in study.tasks.items()}
    return [
        folder / "curves.parquet"
        for setting in study.list_settings()
        if setting.subset == largest[setting.task]
        for folder, _ in list_batches(study, setting, splits[setting.task], results)
    ]
