"""Checks that tables of one study have the same clips, before anything is computed from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from emoadapt.errors import DataError
from emoadapt.storage.tables import state_table

LEFT_OUT = "left_out_rows"
"""Provenance of a table without some rows of its source: their number."""
_ADVICE = "run the same command again; if this does not change, delete the smaller one first"


def refuse_other_rows(first: Path, *others: Path) -> None:
    """Refuse tables whose rows differ from those of the first in number, names or order.

    Only their footers are read.

    Raises:
        DataError: as `read_table`, or one differs.
    """
    expected = state_table(first)
    for path in others:
        found = state_table(path)
        if found.rows != expected.rows:
            raise DataError(f"{path} has {found.rows:,} clips, and {first} has {expected.rows:,}; {_ADVICE}")
        if found.keys != expected.keys:
            raise DataError(f"{path} has other clips than {first}, or another order; delete {path} and run again")


def refuse_other_number(expected: int, source: str, paths: Sequence[Path]) -> None:
    """Refuse shards that do not have all rows of their source; rows that they state as left out are counted.

    Args:
        expected: rows of the source.
        source: its name, for the sentence.
        paths: shards of one table.

    Raises:
        DataError: as `read_table`, or there are more or fewer.
    """
    stated = [state_table(path) for path in paths]
    found, left_out = sum(one.rows for one in stated), sum(int(one.provenance.get(LEFT_OUT, "0")) for one in stated)
    if found + left_out != expected:
        also = f" and leave out {left_out:,}" if left_out else ""
        place = paths[0].parent if paths else "no table"
        raise DataError(f"the tables in {place} have {found:,} clips{also}, and {source} has {expected:,}; {_ADVICE}")


def refuse_missing(missing: Collection[str], wanted: int, paths: Sequence[Path]) -> None:
    """Refuse tables that have no row at all of a clip, not even one that says why it cannot be used.

    Args:
        missing: clips without a row.
        wanted: number of clips that were looked for.
        paths: the tables.

    Raises:
        DataError: there are some.
    """
    if missing:
        folders = ", ".join(dict.fromkeys(str(path.parent) for path in paths)) or "no table"
        raise DataError(
            f"{folders}: {len(missing):,} of {wanted:,} clips have no row, such as {min(missing)}; "
            "run the same command again; if this does not change, delete these tables first"
        )
