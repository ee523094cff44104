"""Content of checkpoint files of PyTorch without their tensors, read without PyTorch and without running code from them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

_BEFORE = 3
"""Pickles before the content in a file that is no ZIP archive: a number, the version of the format, facts of the machine."""


class _Inert(dict[Any, Any]):
    """Stands for an object of any class: it keeps items, as a state dictionary does, and nothing else."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take whatever the real one would."""
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""

    def append(self, item: Any) -> None:
        """Keep nothing."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class _Reader(pickle.Unpickler):
    """An unpickler that imports nothing: every class and function is an inert one."""

    def find_class(self, module: str, name: str) -> Any:
        """An inert class in place of the one that is named."""
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        """Nothing in place of a tensor's numbers."""
        return None


def read_outline(file: Path) -> Any:
    """What `torch.save` wrote, with an empty mapping in place of each tensor and of each object of a class.

    Returns:
        The content; None for a file that cannot be read so, which loading it explains.
    """
    try:
        if not zipfile.is_zipfile(file):
            with file.open("rb") as stream:
                return [_Reader(stream).load() for _ in range(_BEFORE + 1)][_BEFORE]
        with zipfile.ZipFile(file) as archive:
            found = [part for part in archive.infolist() if part.filename.rpartition("/")[2] == "data.pkl"]
            if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED:
                return None
            with archive.open(found[0]) as content:
                return _Reader(content).load()
    except Exception:  # of a stranger's file anything may fail
        return None
