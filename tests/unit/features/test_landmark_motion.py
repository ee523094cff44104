"""Variance of the trace of centroids, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from openface_files import make_face

from emoadapt import schema
from emoadapt.features.base import Context
from emoadapt.features.landmark_motion import LOWER, UPPER, Config, load


def measure(frames: list[np.ndarray], n_frames: int | None = None, **keys: Any) -> dict[str, Any]:
    row = {
        "landmarks": np.stack(frames).astype("<f4").tobytes(), "n_frames": n_frames or len(frames),
        "frame_seconds": [0.1 * number for number in range(len(frames))],
    }  # fmt: skip
    (found,) = load(Config(**keys), Context(None)).extract([row])
    return found


def move(upper: tuple[float, float], lower: tuple[float, float]) -> np.ndarray:
    face = make_face()
    face[[*UPPER]] += upper
    face[[*LOWER]] += lower
    return face


def test_the_parts_are_all_points_once() -> None:
    assert sorted([*UPPER, *LOWER]) == [*range(68)] and len(UPPER) == 26
    assert {17, 26, 27, 30, 36, 47} <= {*UPPER} and {0, 8, 16, 31, 35, 48, 67} <= {*LOWER}


def test_variances_of_x_and_y_are_summed_for_each_part() -> None:
    """Upper x 0, 3, 6 (variance 6), y 0, 0, 3 (2); lower y 0, 6, 0 (8). The corners of the eyes are 40 pixels apart."""
    frames = [move((0, 0), (0, 0)), move((3, 0), (0, 6)), move((6, 3), (0, 0))]
    row = measure(frames, scale="image")
    assert row["landmark_motion"] == pytest.approx([8, 8], rel=1e-5)
    # Of 68 points 26 are upper: x 0, 78/68, 156/68; y 0, 252/68, 78/68.
    x, y = np.array([0, 78, 156]) / 68, np.array([0, 252, 78]) / 68
    assert row["landmark_motion_whole"] == pytest.approx([x.var() + y.var()], rel=1e-5)
    assert measure(frames)["landmark_motion"] == pytest.approx([8 / 1600, 8 / 1600], rel=1e-5)
    assert measure([frames[0]] * 3)["landmark_motion"] == [0, 0]


def test_a_face_nearer_to_the_camera_moves_no_more() -> None:
    frames = [move((0, 0), (0, 0)), move((3, 1), (2, 6)), move((6, 3), (1, 1))]
    near = measure([3 * frame + 100 for frame in frames])
    assert near["landmark_motion"] == pytest.approx(measure(frames)["landmark_motion"], rel=1e-4)


def test_a_face_that_is_seldom_seen_has_no_motion() -> None:
    frames = [make_face(x=number) for number in range(4)]
    assert measure(frames, 9) == {"status": "absent", "reason": "face_seldom: a face in 4 of 9 frames"}
    assert "status" not in measure(frames, 8) and "status" not in measure(frames, 9, min_seen=0.4)
    assert measure(frames[:1])["reason"].startswith("face_seldom: a face in one frame")


def test_rows_fit_the_table() -> None:
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", **measure([make_face(x=number) for number in range(3)])}
    assert pa.Table.from_pylist([row], schema=schema.feature_table("landmark_motion")).num_rows == 1
