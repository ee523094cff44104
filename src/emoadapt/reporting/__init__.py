"""Tables, figures and the HTML report, from Parquet files. No metric is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from emoadapt.config import Study
    from emoadapt.reporting.inputs import ReportInputs

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
    features: Sequence[Path] = (),
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
        features: shards of the features of `features.also`.

    Raises:
        DataError: a table of the results is missing or of another schema.
    """
    from emoadapt import schema
    from emoadapt.reporting.choices import build_choices
    from emoadapt.reporting.figures import write_figures
    from emoadapt.reporting.html import write_report
    from emoadapt.reporting.inputs import locate_inputs
    from emoadapt.reporting.kept import list_models
    from emoadapt.reporting.left_out import list_unread
    from emoadapt.reporting.notices import list_class_warnings
    from emoadapt.reporting.pages import collect_pages
    from emoadapt.reporting.tables import write_tables
    from emoadapt.reporting.teaching import build_teaching
    from emoadapt.storage.folders import seal_folder
    from emoadapt.storage.frames import read_frame

    inputs = locate_inputs(study, results, word_errors, features)
    choices, teaching = build_choices(study, inputs.splits, results), build_teaching(study, inputs.splits, results)
    write_tables(study, inputs, tables, choices, teaching)
    write_figures(study, inputs, figures)
    divided = {task: read_frame(paths, schema.SPLITS) for task, paths in inputs.splits.items()}
    _write_declared(study, inputs, divided, tables, figures, choices, teaching)
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    models = list_models(study, inputs.splits, results)
    about, warnings = _describe_provenance(study, results, versions), list_class_warnings(study, divided)
    write_report(study, tables, figures, about, page, pages, models, warnings, list_unread(study))
    for folder in (tables, figures):
        seal_folder(folder)


def _write_declared(
    study: Study,
    inputs: ReportInputs,
    divided: Mapping[str, pl.DataFrame],
    tables: Path,
    figures: Path,
    choices: pl.DataFrame,
    teaching: pl.DataFrame,
) -> None:
    """Write the tables that the study declares, with what each task and each model must say."""
    from emoadapt import schema
    from emoadapt.reporting.choices import list_choice_notes, list_scale_notes
    from emoadapt.reporting.declared import write_declared
    from emoadapt.reporting.exposure import leak_footnotes
    from emoadapt.reporting.teaching import list_teaching_notes
    from emoadapt.storage.frames import read_frame

    remarks = leak_footnotes(study, read_frame(inputs.audits["leaks"], schema.LEAKS))
    for task, sentences in list_scale_notes(study, divided).items():
        remarks[task] = [*remarks.get(task, []), *sentences]
    said = list_choice_notes(choices) | list_teaching_notes(teaching)
    write_declared(study, inputs.comparisons, tables, figures, remarks, said, inputs.confusion)


def _describe_provenance(study: Study, results: Path, versions: Mapping[str, str] | None) -> dict[str, Any]:
    """What the report says of how it was made."""
    from emoadapt.flow.code import code_digest
    from emoadapt.reporting.making import describe_making, list_times
    from emoadapt.reporting.weights import find_checksums
    from emoadapt.weights.registry import list_weights

    return {
        "making": describe_making(results),
        "time of jobs": list_times(results),
        "versions": dict(versions or {}),
        "code digests": {name: code_digest(f"emoadapt.{name}") for name in (*_MODULES, *_list_methods(study))},
        "configuration": study.model_dump(mode="json"),
        "checksums": find_checksums(study),
        "licences": {place: entry.licence for name, entry in list_weights().items() for place in (name, *entry.files)},
    }


def _list_methods(study: Study) -> list[str]:
    """Modules of the methods that the study trains with."""
    trainings = [*study.adaptations.values(), *study.finetunings.values()]
    return sorted({f"methods.{training.method}" for training in trainings})
