"""A folder of results as its reader sees it: tables, footnotes, scores, runs and kept models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from emoadapt.errors import DataError
from emoadapt.machine.owner import find_owner
from emoadapt.reporting.display import present_whole
from emoadapt.reporting.tables import scan_tidy
from emoadapt.storage.folders import CONTENTS
from emoadapt.storage.frames import read_frame
from emoadapt.storage.spreadsheets import scan_csv

PURPOSES = {
    "results": "scores on the test clips of each task, with intervals and tests",
    "low_resource": "the main score by number of training clips",
    "per_class_f1": "F1 of each class",
    "f1_bias": "how unequal the classes are recognised",
    "cosine_distance": "how far fine-tuning moved the embeddings",
    "cross_corpus": "scores on other corpora",
    "choices": "layers and settings that inner folds chose",
    "teaching": "what students learned from their teachers",
    "fairness": "scores by sex and speaker",
    "calibration": "how well confidence fits accuracy",
    "data": "clips and speakers of train, dev and test",
    "stage1_data": "clips of Stage 1, and test clips among them",
    "objectives": "how well Stage 1 learned each objective",
    "pretext": "clips of each class of the targets of Stage 1",
    "leaks": "speakers, recordings and sentences of the test set that were met before",
    "extracted": "clips and seconds of the features of `features.also`",
    "word_errors": "word error rates of the recogniser",
    "quarantine": "clips set aside or noted, counted",
    "quarantine_rows": "every clip set aside or noted",
}
"""Table of every report -> what it shows, in the order of the report."""

_ADVICE = "delete the folder of tables, and run snakemake, which writes them again"


@dataclass(frozen=True)
class Results:
    """A folder of results.

    Args:
        path: the folder that holds `tables`.
    """

    path: Path

    @classmethod
    def find(cls, path: Path) -> Results:
        """The results in a folder, or in the folder `results` in it.

        Raises:
            DataError: it holds no tables.
        """
        for folder in (path, path / "results"):
            if any((folder / "tables").glob("*.csv")):
                return cls(folder)
        advice = "run the study first (snakemake), or name the folder of its results"
        raise DataError(
            f"{path}/tables holds no table; {advice}" if path.is_dir() else f"{path} is no folder; {advice}"
        )

    @cached_property
    def study(self) -> str:
        """Name of the study, as far as it is known."""
        return find_owner(self.path) or "unknown"

    @cached_property
    def tables(self) -> dict[str, Path]:
        """Name -> CSV file, in the order of the report."""
        found = {path.stem: path for path in sorted((self.path / "tables").glob("*.csv"))}
        return {name: found[name] for name in sorted(found, key=[*PURPOSES, *found].index)}

    def scan(self, table: str) -> pl.LazyFrame:
        """Rows of a table, read when they are collected.

        Raises:
            DataError: there is no such table, or it is empty.
        """
        if table not in self.tables:
            raise DataError(f"{self.path}/tables has no table {table}; there is {', '.join(self.tables)}")
        if not self.tables[table].stat().st_size:
            raise DataError(f"{self.tables[table]} is empty; {_ADVICE}")
        if not self.is_declared(table):
            return scan_tidy(self.tables[table])
        from emoadapt.reporting.declared.cells import COLUMNS

        return scan_csv(self.tables[table], COLUMNS)

    def is_declared(self, table: str) -> bool:
        """Whether the study declares the table under `tables`; the report lays these out by its own grid."""
        return self.tables[table].with_suffix(".tex").is_file()

    def present(self, table: str, tidy: pl.DataFrame) -> pl.DataFrame:
        """Rows of a table as text, with the columns and digits of the report.

        Raises:
            DataError: it lacks columns that the report shows.
        """
        if self.is_declared(table) and tidy.height == self.scan(table).select(pl.len()).collect().item():
            return _read_markdown(self.tables[table].with_suffix(".md"))
        try:
            return present_whole(table, tidy)
        except pl.exceptions.ColumnNotFoundError as error:
            raise self.explain_lacking(table, str(error).partition(";")[0]) from None

    def explain_lacking(self, table: str, what: str) -> DataError:
        """That a table is of another version."""
        return DataError(f"{self.tables[table]} is damaged or of another version ({what}); {_ADVICE}")

    def read_notes(self, table: str) -> list[str]:
        """Footnotes of a table.

        Raises:
            DataError: they cannot be read.
        """
        path = self.tables[table].with_suffix(".notes.json")
        if path.is_file():
            try:
                return [str(note) for note in json.loads(path.read_text(encoding="utf-8"))]
            except ValueError as error:
                raise DataError(f"{path} cannot be read ({error}); {_ADVICE}") from None
        path = path.with_name(f"{table}.notes.txt")
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def read_scores(self, task: str) -> pl.DataFrame | None:
        """METRICS rows of a task; None where the folder holds the tables only."""
        path = self.path / "metrics" / f"{task}.parquet"
        return read_frame(path) if path.is_file() else None

    def scan_manifest(self, corpus: str) -> pl.LazyFrame | None:
        """Clips of a corpus with the fingerprints of their media; None where the folder does not hold them."""
        paths = sorted(self.path.glob(f"manifests/{corpus}/*.parquet"))
        return pl.scan_parquet(paths).select("utterance_id", "fingerprint") if paths else None

    def list_batches(self, task: str = "*", model: str = "*", subset: str = "*") -> list[Path]:
        """Folders of trained runs, `runs/<task>/<model>/<subset>/<batch>`, with predictions."""
        return sorted(path.parent for path in self.path.glob(f"runs/{task}/{model}/{subset}/*/predictions.parquet"))

    def list_kept_models(self) -> Iterator[Path]:
        """Folders of fine-tuned models, which `emoadapt predict` takes."""
        for batch in self.list_batches():
            yield from _list_sealed(batch / "models")
        for folder in sorted(self.path.glob("refits/*/*/*/models")):
            yield from _list_sealed(folder)

    def list_best_models(self) -> list[Path]:
        """Links `classifiers/<task>` to the best classifier of each task, which the end of a run sets."""
        return sorted(path for path in self.path.glob("classifiers/*") if path.is_dir())

    def list_adapted_models(self) -> list[Path]:
        """Folders of Stage-1 models."""
        return sorted(path.parent for path in self.path.glob(f"models/*/{CONTENTS}"))


def _list_sealed(folder: Path) -> Iterator[Path]:
    paths = (path for path in sorted(folder.glob("*")) if not path.name.startswith("."))
    return (path for path in paths if path.is_dir() and (path / CONTENTS).is_file())


def _read_markdown(path: Path) -> pl.DataFrame:
    """The first pipe table of a Markdown file, as text."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    if not cells:
        return pl.DataFrame()
    heads, _, *rows = cells
    names = [head or " " * (place + 1) for place, head in enumerate(heads)]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
