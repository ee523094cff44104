"""Several notes on a usable row, joined in its column `reason`."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATOR = " | "


def join_notes(notes: Iterable[str | None]) -> str | None:
    """Join notes of the form `<code>: <detail>` into one reason; None where there are none."""
    return SEPARATOR.join(dict.fromkeys(note for note in notes if note)) or None


def split_notes(reason: str | None) -> list[str]:
    """Split the reason of a row that is `ok` into its notes."""
    return reason.split(SEPARATOR) if reason else []
