"""Tables, figures and the HTML report, from Parquet files. No metric is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoadapt.config import Study

_MODULES = (
    "listing.manifests",
    "extraction.shards",
    "data.held_out",
    "data.targets",
    "evaluation.evaluate",
    "reporting",
)
"""Modules whose code digests the report names: the stages, each with all that it imports. Methods in use are named too."""


def write_all(
    study: Study,
    results: Path,
    tables: Path,
    figures: Path,
    page: Path,
    word_errors: Path | None = None,
    versions: Mapping[str, str] | None = None,
) -> None:
    """Write all tables, figures and the report of a study.

    Args:
        study: the configuration.
        results: folder of results, laid out as by the rules.
        tables: folder to write tables to.
        figures: folder to write figures to.
        page: HTML file to write.
        word_errors: WORD_ERRORS table; None where a recogniser cannot be compared with transcripts.
        versions: library -> versions that made the results, from `flow.provenance.join_versions`.

    Raises:
        DataError: a table of the results is missing or of another schema.
    """
    from emoadapt import schema
    from emoadapt.flow.code import code_digest
    from emoadapt.flow.shards import shard_names
    from emoadapt.reporting.audits import AUDIT_TABLES, audit_paths
    from emoadapt.reporting.choices import build_choices, list_choice_notes, list_scale_notes
    from emoadapt.reporting.declared import write_declared
    from emoadapt.reporting.exposure import leak_footnotes
    from emoadapt.reporting.figures import write_figures
    from emoadapt.reporting.html import write_report
    from emoadapt.reporting.pages import collect_pages
    from emoadapt.reporting.tables import write_tables
    from emoadapt.reporting.teaching import build_teaching, list_teaching_notes
    from emoadapt.reporting.weights import find_checksums
    from emoadapt.storage.folders import seal_folder
    from emoadapt.storage.frames import read_frame
    from emoadapt.weights.registry import list_weights

    metrics, confusion, comparisons = (
        [results / "metrics" / f"{task}{kind}.parquet" for task in study.tasks]
        for kind in ("", ".confusion", ".comparisons")
    )
    splits = find_splits(study, results)
    adapted = [(backbone, start) for backbone in study.backbones for start in study.starts(backbone)[1:]]
    curves = [results / "curves" / f"{backbone}.{start}.parquet" for backbone, start in adapted]
    parts = {start: results / "targets" / start / "parts.parquet" for _, start in adapted}
    corpora = dict.fromkeys(name for task in study.tasks.values() for name in task.corpora)
    corpora |= dict.fromkeys(name for start in parts for name in study.adaptations[start].corpora)
    manifests = [
        results / "manifests" / name / f"{shard}.parquet"
        for name in corpora
        for shard in shard_names(study.corpora[name].shards)
    ]
    quarantine = results / "quarantine.parquet"
    run_curves = list_run_curves(study, results, splits)
    audits = {name: audit_paths(study, results, name) for name in AUDIT_TABLES}
    audits["leaks"] = [results / "leaks" / f"{task}.parquet" for task in study.tasks]
    choices, teaching = build_choices(study, splits, results), build_teaching(study, splits, results)
    write_tables(
        study,
        metrics,
        comparisons,
        quarantine,
        splits,
        manifests,
        parts,
        tables,
        word_errors,
        audits,
        choices,
        teaching,
        curves,
    )
    write_figures(study, metrics, confusion, comparisons, curves, run_curves, quarantine, figures, audits)
    remarks = leak_footnotes(study, read_frame(audits["leaks"], schema.LEAKS))
    divided = {task: read_frame(paths, schema.SPLITS) for task, paths in splits.items()}
    for task, sentences in list_scale_notes(study, divided).items():
        remarks[task] = [*remarks.get(task, []), *sentences]
    write_declared(
        study, comparisons, tables, figures, remarks, list_choice_notes(choices) | list_teaching_notes(teaching)
    )
    provenance = {
        "versions": dict(versions or {}),
        "code digests": {name: code_digest(f"emoadapt.{name}") for name in (*_MODULES, *_list_methods(study))},
        "configuration": study.model_dump(mode="json"),
        "checksums": find_checksums(study),
        "licences": {place: entry.licence for name, entry in list_weights().items() for place in (name, *entry.files)},
    }
    pages = collect_pages(study, results, metrics, confusion, splits)
    write_report(study, tables, figures, provenance, page, pages)
    for folder in (tables, figures):
        seal_folder(folder)


def _list_methods(study: Study) -> list[str]:
    """Modules of the methods that the study trains with."""
    trainings = [*study.adaptations.values(), *study.finetunings.values()]
    return sorted({f"methods.{training.method}" for training in trainings})


def find_splits(study: Study, results: Path) -> dict[str, list[Path]]:
    """Task -> SPLITS tables of its partitions."""
    from emoadapt.study.layout import name_splits

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
    from emoadapt.reporting.runs import list_batches
    from emoadapt.reporting.style import subset_key

    largest = {name: max(map(str, task.subsets), key=subset_key) for name, task in study.tasks.items()}
    return [
        folder / "curves.parquet"
        for setting in study.list_settings()
        if setting.subset == largest[setting.task]
        for folder, _ in list_batches(study, setting, splits[setting.task], results)
    ]
