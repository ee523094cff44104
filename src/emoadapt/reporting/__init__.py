"""Tables, figures and the HTML report, from Parquet files. No metric is computed here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoadapt.config import Study


def write_all(study: Study, results: Path, tables: Path, figures: Path, page: Path) -> None:
    """Write all tables, figures and the report of a study.

    Args:
        study: the configuration.
        results: folder of results, laid out as by the rules.
        tables: folder to write tables to.
        figures: folder to write figures to.
        page: HTML file to write.

    Raises:
        DataError: a table of the results is missing or of another schema.
    """
    from emoadapt.flow.code import code_digest
    from emoadapt.flow.provenance import library_versions
    from emoadapt.models.registry import list_weights
    from emoadapt.reporting.figures import write_figures
    from emoadapt.reporting.html import write_report
    from emoadapt.reporting.tables import write_tables

    metrics, confusion, comparisons = (
        [results / "metrics" / f"{task}{kind}.parquet" for task in study.tasks]
        for kind in ("", ".confusion", ".comparisons")
    )
    splits = [results / "splits" / f"{task}.parquet" for task in study.tasks]
    adapted = [f"{backbone}.{start}" for backbone in study.backbones for start in study.starts(backbone)[1:]]
    curves = [results / "curves" / f"{model}.parquet" for model in adapted]
    quarantine = results / "quarantine.parquet"
    write_tables(study, metrics, comparisons, quarantine, splits, tables)
    write_figures(study, metrics, confusion, comparisons, curves, quarantine, figures)
    provenance = {
        "versions": {name.removeprefix("version."): version for name, version in library_versions().items()},
        "code digests": {name: code_digest(f"emoadapt.{name}") for name in ("evaluation.evaluate", "reporting")},
        "configuration": study.model_dump(mode="json"),
        "licences": {place: entry.licence for name, entry in list_weights().items() for place in (name, *entry.files)},
    }
    write_report(study, tables, figures, provenance, page)
