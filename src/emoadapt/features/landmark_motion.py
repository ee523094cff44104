"""Movement of the face: variance of the trace of the landmarks' centroid (Goncalves & Busso 2022, 3.2).

The paper names the two parts by a picture only. Here the upper part is brows, eyes and nose bridge, the lower part nostrils, mouth and
jaw. Of a trace the variances of x and of y (divided by the number of frames) are summed. The unit is the squared distance between the
outer corners of the eyes, its mean over the clip, so that a face near the camera does not move more than one far away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, Extractor, FeatureSection, guard

if TYPE_CHECKING:
    import numpy as np

INPUTS = ("landmarks",)
TERMS = None
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "minutes": 60}

UPPER = (*range(17, 31), *range(36, 48))
"""Brows, nose bridge, eyes."""
LOWER = (*range(17), *range(31, 36), *range(48, 68))
"""Jaw, nostrils, mouth."""
EYE_CORNERS = (36, 45)

TABLE = schema.make_feature_table(
    schema.column(
        "landmark_motion",
        pa.list_(pa.float32(), 2),
        "(2,) variance of the centroid of upper and of lower part over the frames with a face, x and y summed, in squared distances "
        "between the outer corners of the eyes; with `scale: image` in squared pixels",
    ),
    schema.column("landmark_motion_whole", pa.list_(pa.float32(), 1), "(1,) the same of the centroid of all points"),
)


class Config(FeatureSection):
    """Movement of the face."""

    scale: Literal["interocular", "image"] = "interocular"
    """`interocular`: in distances between the outer corners of the eyes. `image`: in pixels, as in OpenFace's files."""
    min_seen: float = Field(0.5, ge=0, le=1)
    """Smallest share of the frames that must show the face; other clips have no value (`face_seldom`)."""


class MotionExtractor:
    """Measures the movement in each clip."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`landmark_motion` and `landmark_motion_whole` from each row's `landmarks`."""
        return [guard(self._measure, row) for row in rows]

    def _measure(self, row: dict[str, Any]) -> dict[str, Any]:
        from emoadapt.faces.traces import read_points, refuse_seldom

        refuse_seldom(row, self.config.min_seen)
        points = read_points(row).astype("f8")
        if len(points) < 2:
            raise ClipError("face_seldom", "a face in one frame, which has no movement", absent=True)
        scale = measure_eyes(points) if self.config.scale == "interocular" else 1.0
        upper, lower, whole = (measure_motion(part) / scale**2 for part in (points[:, UPPER], points[:, LOWER], points))
        return {"landmark_motion": [upper, lower], "landmark_motion_whole": [whole]}


def measure_motion(points: np.ndarray) -> float:
    """Variance of the centroid's trace, x and y summed; points (n_frames, n_points, 2)."""
    return float(points.mean(axis=1).var(axis=0).sum())


def measure_eyes(points: np.ndarray) -> float:
    """Distance between the outer corners of the eyes, mean over the frames; (n_frames, 68, 2).

    Raises:
        ClipError: `no_eyes`: all corners lie on each other.
    """
    import numpy as np

    right, left = EYE_CORNERS
    distance = float(np.linalg.norm(points[:, right] - points[:, left], axis=1).mean())
    if not distance > 0:
        raise ClipError("no_eyes", "the corners of both eyes are the same point")
    return distance


def load(config: Config, context: Context) -> Extractor:
    """An extractor."""
    return MotionExtractor(config)
