"""What a feature extractor is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from emoadapt.errors import ClipError


def _keep_still() -> None:
    """Nobody watches the job."""


@dataclass(frozen=True)
class Context:
    """Where a job runs: folder of weights, `cpu` or `cuda`, and the threads it may use.

    `beat` is called by an extractor whenever a long clip makes progress, so that one that is merely long is told
    from one on which a decoder hangs.
    """

    models_dir: Path
    device: str = "cpu"
    threads: int = 1
    beat: Callable[[], None] = _keep_still


class Extractor(Protocol):
    """Computes the rows of one feature.

    `inputs` names the upstream tables (`manifest` or features); `manifest_columns` names manifest columns,
    beyond media, start and end, on which the result depends.
    """

    table: ClassVar[pa.Schema]
    inputs: ClassVar[tuple[str, ...]]
    manifest_columns: ClassVar[tuple[str, ...]]
    chunk_size: ClassVar[int]

    def __init__(self, config: Any, context: Context) -> None: ...

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One result per row, in the same order; a clip's own problem is a result with status and reason."""
        ...


def guard(function: Callable[[dict[str, Any]], dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """Call `function(row)`; a `ClipError` becomes a row with its status and reason."""
    try:
        return function(row)
    except ClipError as error:
        return {"status": error.status, "reason": str(error)}
