"""Rows as an extractor gets them, and their keys. No table is read here.

All that decides a row besides its extractor is in this module, so that the code digest of a recipe covers it. What only saves and
merges rows (`flow.rows`) runs again after an edit, and reuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow.code import digest
from emoadapt.flow.provenance import library_versions
from emoadapt.storage.notes import split_notes

if TYPE_CHECKING:
    import pyarrow as pa

    from emoadapt.features.base import Extraction

Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What decides a row besides its input: parameters, code digest, model identity, versions of its libraries."""

    feature: str
    parameters: str
    code: str
    model: str = ""
    libraries: str = ""

    def provenance(self) -> dict[str, str]:
        """The recipe and the versions of the libraries at work, for the file's metadata."""
        return {
            "feature": self.feature,
            "parameters": self.parameters,
            "code": self.code,
            "model": self.model,
            "libraries": self.libraries,
            **library_versions(),
        }


def list_head_columns(name: str, extraction: Extraction) -> list[str]:
    """Columns of an input table that a row's key, and whether it can be computed, depend on."""
    if name == "manifest":
        return ["utterance_id", "fingerprint", "start", "end", *extraction.manifest_columns]
    return ["utterance_id", "key", "status", "reason"]


def list_own_columns(name: str) -> list[str]:
    """Columns of an input table that an extractor gets."""
    columns = schema.MANIFEST.names if name == "manifest" else schema.feature_table(name).names
    return [column for column in columns if column not in ("key", "status")]


def make_heads(extraction: Extraction, tables: Sequence[list[Row]]) -> list[Row]:
    """Per utterance what its key is made of, and `blocked` = (status, reason) if an upstream row is not ok.

    Args:
        extraction: names the inputs.
        tables: rows of each input, with the columns of `list_head_columns`.

    Raises:
        ValueError: the tables do not hold the same utterances.
    """
    heads: list[Row] = [{"utterance_id": row["utterance_id"], "inputs": [], "blocked": None} for row in tables[0]]
    for name, rows in zip(extraction.inputs, tables, strict=True):
        columns = list_head_columns(name, extraction)
        for head, row in zip(heads, rows, strict=True):
            if row["utterance_id"] != head["utterance_id"]:
                raise ValueError(f"the shard of {name} does not hold the utterances of that of {extraction.inputs[0]}")
            given = row | {**extraction.stated} if name == "manifest" else row
            head["inputs"] += [
                given[column] for column in columns if column not in ("utterance_id", "status", "reason")
            ]
            if row.get("status", "ok") != "ok" and not head["blocked"]:
                reason = row["reason"].removeprefix("upstream ")
                head["blocked"] = (
                    row["status"],
                    f"upstream {reason}" if reason != row["reason"] else f"upstream {name}: {reason}",
                )
    return heads


def key_row(head: Row, recipe: Recipe, table: pa.Schema) -> str:
    """Key of a row: while it holds, the row is reused."""
    columns = [(field.name, str(field.type)) for field in table]
    return digest(head["inputs"], astuple(recipe), columns, schema.SAMPLE_RATE)


def join_rows(extraction: Extraction, tables: Sequence[list[Row]], root: Path | None) -> list[Row]:
    """Rows with the columns of all input tables.

    `<feature>_notes` lists the notes on a feature's row; `path` is the clip's media, where the manifest is an input.

    Args:
        extraction: names the input tables, and states values.
        tables: rows of each, of the same utterances.
        root: corpus root; None for extractors that read no media.

    Raises:
        DataError: a media file is missing.
    """
    joined: list[Row] = [{} for _ in tables[0]]
    for name, rows in zip(extraction.inputs, tables, strict=True):
        for row, more in zip(joined, rows, strict=True):
            if name != "manifest":
                row[f"{name}_notes"] = split_notes(more.pop("reason"))
            row |= {column: value for column, value in more.items() if column not in row}
            row |= extraction.stated if name == "manifest" else {}
    if "manifest" in extraction.inputs and root is not None:
        for row in joined:
            row["path"] = _find_media(root, row)
    return joined


def _find_media(root: Path, row: dict[str, Any]) -> Path:
    """Path of a clip's media.

    Raises:
        DataError: it was there when the corpus was listed and is not now, which is no fault of the clip.
    """
    path = root / row["media"]
    if row["fingerprint"] != schema.UNREADABLE and not path.exists():
        raise DataError(
            f"missing media file: {path}, which existed when its corpus was listed. Restore it, or run again to list the corpus without it"
        )
    return path
