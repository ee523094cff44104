"""Extractors for `test_workers.py` that do what a row says; in a file of their own, so that worker processes can import them."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError, ModelError
from emoadapt.features.base import Context, guard


class Unportable(Exception):
    """Cannot be unpickled, as its arguments are not those it was made with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


class Obedient:
    """Does what `row["do"]` says."""

    def __init__(self, config: Any, context: Context) -> None:
        self.config, self.context = config, context

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        match row["do"]:
            case "segfault":
                ctypes.string_at(0)
            case "segfault once" if not Path(row["mark"]).exists():
                Path(row["mark"]).touch()
                ctypes.string_at(0)
            case "exit":
                os._exit(3)
            case "hang":
                print("hanging", flush=True)
                threading.Event().wait()
            case "clip error":
                raise ClipError("undecodable", "made so")
            case "model error":
                raise ModelError("weights are missing; fetch them")
            case "disk full":
                raise OSError(28, "No space left on device")
            case "unportable":
                raise Unportable(1, "odd")
            case "log":
                logging.getLogger("fake").info("a line from the worker")
            case "beat":
                self.context.beat()
        return {"value": row["value"], "pid": os.getpid(), "config": self.config}


class Stillborn:
    """Ends its process as soon as it is made."""

    def __init__(self, config: Any, context: Context) -> None:
        os._exit(7)


class Weightless:
    """Finds no weights."""

    def __init__(self, config: Any, context: Context) -> None:
        raise ModelError("weights are missing; fetch them")


class Replacing:
    """Reads the files of its rows, and replaces those of which the row says so."""

    def __init__(self, config: Any, context: Context) -> None:
        pass

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        results = [{"value": row["path"].read_bytes()} for row in rows]
        for row in rows:
            if row.get("replace"):
                row["path"].write_bytes(b"other")
        return results


class Streaming(Obedient):
    """Gives as many parts as a row's `value`, and does what it says before the last one."""

    def iterate(self, row: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
        for number in range(row["value"]):
            if number == row["value"] - 1:
                self._extract_row(row)
            yield number, bytes(row.get("size", 0))


class Placed:
    """Says on which device it is."""

    def __init__(self, config: Any, context: Context) -> None:
        self.device = context.device

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"device": self.device} for _ in rows]
