"""Streams: columns of feature tables that a model reads or predicts. Light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Layout = Literal["samples", "frames", "tokens", "vector"]


@dataclass(frozen=True)
class Stream:
    """A column of a feature's table, and how its values are laid out.

    Args:
        feature: name of the feature, such as `audio`, `compare_frames`, `egemaps`, or a kind of kept output: `frontend`, `states`, `layers`.
        column: its column.
        layout: `samples`: (n_samples,) int16 audio. `frames`: (n_frames, dimension) floats. `tokens`: (n,) integers. `vector`:
            (dimension,) floats.
    """

    feature: str
    column: str
    layout: Layout

    @property
    def timed(self) -> bool:
        """Whether its values have a time, so that seconds can be counted and cut."""
        return self.layout in ("samples", "frames")

    def fits(self, table: pa.Schema) -> bool:
        """Whether a feature's table has such a column."""
        import pyarrow.types as kinds

        if any(field.name not in table.names for field in list_columns(self) if field.name != STEP):
            return False
        kind = table.field(self.column).type
        if self.layout in ("samples", "frames"):
            return bool(kinds.is_binary(kind))
        value = getattr(kind, "value_type", None)
        return value is not None and (kinds.is_integer if self.layout == "tokens" else kinds.is_floating)(value)


AUDIO = Stream("audio", "audio", "samples")
FRONTEND = Stream("frontend", "frontend", "frames")
"""Output of a backbone's frozen front end."""
STATES = Stream("states", "states", "frames")
"""Last layer of a frozen transformer, before pooling."""
LAYERS = Stream("layers", "layers", "frames")
"""Mean over time of each layer of a frozen backbone: a frame for each layer."""

KEPT = {stream.feature: stream for stream in (FRONTEND, STATES)}
"""Kind of kept output -> the stream that takes the place of one of its backbone."""

STEP = "step"
"""Column of the seconds from frame to frame; kept outputs have none, since their backbone knows."""


def list_columns(stream: Stream) -> pa.Schema:
    """Columns of the feature's table that hold a stream, with the utterance."""
    import pyarrow as pa

    name = stream.column
    columns = {
        "samples": [(name, pa.binary()), ("n_samples", pa.int64())],
        "frames": [(name, pa.binary()), ("n_frames", pa.int32()), ("dimension", pa.int32()), (STEP, pa.float64())],
        "tokens": [(name, pa.list_(pa.int32()))],
        "vector": [(name, pa.list_(pa.float32()))],
    }
    return pa.schema([("utterance_id", pa.string()), *columns[stream.layout]])


def replace_role(role: str, kind: str) -> str:
    """Role of a kept output in place of a stream: `frontend`, or `audio.frontend` of the part `audio`."""
    part, dot, _ = role.rpartition(".")
    return f"{part}{dot}{kind}"
