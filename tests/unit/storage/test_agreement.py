"""Tables that must have the same clips."""

from pathlib import Path

import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.storage.agreement import LEFT_OUT, refuse_missing, refuse_other_number, refuse_other_rows
from emoadapt.storage.tables import write_table


def write(path: Path, *names: str, **provenance: str) -> Path:
    rows = [{"utterance_id": name, "key": "k", "status": "ok"} for name in names]
    write_table(path, rows, schema.feature_table("audio"), provenance)
    return path


def test_the_same_rows_agree(tmp_path: Path) -> None:
    refuse_other_rows(write(tmp_path / "a", "c/1", "c/2"), write(tmp_path / "b", "c/1", "c/2", code="x"))


def test_other_rows_are_refused_with_both_numbers(tmp_path: Path) -> None:
    first = write(tmp_path / "a", "c/1", "c/2")
    with pytest.raises(DataError, match=r"b has 1 clips, and .*a has 2; run the same command again"):
        refuse_other_rows(first, first, write(tmp_path / "b", "c/1"))
    for names in (("c/1", "c/3"), ("c/2", "c/1")):
        with pytest.raises(DataError, match=r"b has other clips than .*a, or another order; delete .*b and run again"):
            refuse_other_rows(first, write(tmp_path / "b", *names))
    with pytest.raises(DataError, match="gone is missing"):
        refuse_other_rows(first, tmp_path / "gone")


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    shards = [write(tmp_path / "a", "c/1", **{LEFT_OUT: "2"}), write(tmp_path / "b", "c/2")]
    refuse_other_number(4, "parts", shards)
    with pytest.raises(DataError, match="have 2 clips and leave out 2, and parts has 5; run the same command again"):
        refuse_other_number(5, "parts", shards)


def test_clips_without_a_row_are_refused() -> None:
    refuse_missing([], 3, [])
    with pytest.raises(DataError, match=r"^audio/c: 2 of 3 clips have no row, such as c/1; run the same command again"):
        refuse_missing({"c/2", "c/1"}, 3, [Path("audio/c/0"), Path("audio/c/1")])
