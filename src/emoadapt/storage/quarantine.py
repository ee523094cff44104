"""Quarantine: all feature rows with a reason, set aside or noted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emoadapt import schema
from emoadapt.storage.notes import split_notes
from emoadapt.storage.tables import read_table, write_table


def collect_quarantine(features: Sequence[Path], output: Path) -> None:
    """Gather the rows with their reasons (QUARANTINE); a problem is listed where it arose, not where it led.

    Rows that are ok and carry notes have the status `noted`; each note has a row.

    Args:
        features: shards `<feature>/<corpus>/<shard>.parquet`.
        output: table to write.
    """
    rows = []
    for path in features:
        feature, corpus = path.parts[-3:-1]
        for row in read_table(path, columns=["utterance_id", "status", "reason"]).to_pylist():
            if row["reason"] is not None and not row["reason"].startswith("upstream "):
                noted = row["status"] == "ok"
                found = {"corpus": corpus, "feature": feature, **row, "status": "noted" if noted else row["status"]}
                rows += [
                    found | {"reason": reason} for reason in (split_notes(row["reason"]) if noted else [row["reason"]])
                ]
    rows.sort(key=lambda row: (row["corpus"], row["feature"], row["utterance_id"]))
    write_table(output, rows, schema.QUARANTINE)
