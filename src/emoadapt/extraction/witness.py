"""Media that changed since their corpus was listed, or while they were read.

A row's key holds the fingerprint that the clip had when it was listed. A worker computes it again from the file, once for each state
of the file (size, times, inode), and compares the states before and after the clip is read. So a row that is stored under a
fingerprint was computed from content with this fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.features.base import Extractor
from emoadapt.flow.fingerprints import fingerprint_file, read_state
from emoadapt.flow.rows import CHANGED
from emoadapt.schema import UNREADABLE

_REMEMBERED = 64
"""Files whose fingerprint a worker remembers: the segments of a file follow one another."""


class Witness:
    """An extractor that refuses files which are not as they were listed.

    Args:
        extractor: reads `path` of its rows.
        beat: is called while a file is read.
        by_content: False if fingerprints are those of a plan by which the files are generated; then only that a file stays the
            same while it is read is checked.
    """

    def __init__(self, extractor: Extractor, beat: Callable[[], None], *, by_content: bool = True) -> None:
        self._extractor, self._beat, self._by_content = extractor, beat, by_content
        self._known: dict[tuple[Path, str], str] = {}

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One result per row, as the extractor's; of a file that changed, a status and a reason."""
        return [self._extract_row(row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        before = read_state(row["path"])
        if self._by_content and self._fingerprint(row["path"], before) != row["fingerprint"]:
            return _set_aside("the file is another, or gone, since its corpus was listed")
        (result,) = self._extractor.extract([row])
        if read_state(row["path"]) != before:
            return _set_aside("the file was edited or replaced while it was read")
        return result

    def _fingerprint(self, path: Path, state: str) -> str:
        if not state:
            return UNREADABLE
        if (path, state) not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[path, state] = fingerprint_file(path, self._beat)
        return self._known[path, state]


def _set_aside(detail: str) -> dict[str, Any]:
    error = ClipError(CHANGED, f"{detail}; run the same command again")
    return {"status": error.status, "reason": str(error)}
