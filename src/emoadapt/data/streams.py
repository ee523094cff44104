"""Streams: columns of feature tables that a model reads or predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Layout = Literal["samples", "frames", "tokens", "vector"]


@dataclass(frozen=True)
class Stream:
    """A column of a feature's table, and how its values are laid out.

    Args:
        feature: name of the feature, such as `audio`, `compare_frames`, `egemaps`, or a kind of kept output: `frontend`, `layers`.
        column: its column.
        layout: `samples`: (n_samples,) int16 audio. `frames`: (n_frames, dimension) floats. `tokens`: (n,) integers. `vector`:
            (dimension,) floats.
    """

    feature: str
    column: str
    layout: Layout


AUDIO = Stream("audio", "audio", "samples")
FRONTEND = Stream("frontend", "frontend", "frames")
"""Output of a backbone's frozen front end."""
LAYERS = Stream("layers", "layers", "frames")
"""Mean over time of each layer of a frozen backbone: a frame for each layer."""

_COLUMNS = {
    "samples": lambda name: [(name, pa.binary()), ("n_samples", pa.int64())],
    "frames": lambda name: [(name, pa.binary()), ("n_frames", pa.int32()), ("dimension", pa.int32())],
    "tokens": lambda name: [(name, pa.list_(pa.int32()))],
    "vector": lambda name: [(name, pa.list_(pa.float32()))],
}


def list_columns(stream: Stream) -> pa.Schema:
    """Columns of the feature's table that hold a stream, with the utterance."""
    return pa.schema([("utterance_id", pa.string()), *_COLUMNS[stream.layout](stream.column)])
