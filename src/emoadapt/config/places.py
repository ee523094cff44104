"""Paths without the folders of this machine and its users, to be shown to others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emoadapt.config.study import Study

_ABSOLUTE = re.compile(r"/.|~|[A-Za-z]:[\\/]|\\\\")
_WITHIN = re.compile(r"(?<![\w.:/~)])(?:~|[A-Za-z]:)?/[^\s/,;:'\"`]+(?:/[^\s/,;:'\"`]+)+")
_MISSING = re.compile(r"its root (.+) is missing")
"""The reason of `config.availability` for leaving a corpus out."""
_PATTERNS = "pattern"
"""Keys that end so hold regular expressions, which may begin with a slash."""


def name_place(path: str) -> str:
    """A path without what is above it: `/home/jane/data/speech` is `.../speech`; a relative path stays as it is."""
    if not _ABSOLUTE.match(path):
        return path
    # Takes a slash for a separator too.
    found = PureWindowsPath(path.rstrip("/\\"))
    return "..." if path.startswith("~") or Path(path) in (Path.home(), Path.home().parent) else f".../{found.name}"


def hide_places(text: str) -> str:
    """Shorten the absolute paths in a text; a path is taken to end at a space."""
    return _WITHIN.sub(lambda found: name_place(found[0]), text)


class Places:
    """Absolute paths that a study names, and the folder that it runs in.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        missing = [path for reason in study.left_out.values() for path in _MISSING.findall(reason)]
        named = _list_paths([study.model_dump(mode="json"), missing])
        found = {path: name_place(path) for path in set(named)}
        found |= {str(Path(path).resolve()): short for path, short in found.items()}
        found |= {str(Path.cwd()): ".", str(Path.home()): "~"}
        # The longest first: one may lie in the other.
        self._places = {path: found[path] for path in sorted(found, key=len, reverse=True) if len(path) > 1}
        self._pattern = re.compile("|".join(f"{re.escape(path)}(?![^/\\\\\\s\"',;:)\\]])" for path in self._places))

    def hide(self, value: Any) -> Any:
        """The same value with all of these paths shortened, in texts however deep."""
        if isinstance(value, str):
            return self._pattern.sub(lambda found: self._places[found[0]], value)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide(item) for item in value]
        return value


def _list_paths(value: Any) -> Iterator[str]:
    if isinstance(value, str) and _ABSOLUTE.match(value):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from () if str(key).endswith(_PATTERNS) else _list_paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _list_paths(item)
