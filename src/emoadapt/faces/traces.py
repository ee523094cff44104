"""Rows of `features.landmarks` as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from emoadapt.errors import ClipError


def refuse_seldom(row: dict[str, Any], min_seen: float) -> None:
    """Refuse a clip whose face is seen in less than a share `min_seen` of its frames.

    Raises:
        ClipError: `face_seldom`, absent.
    """
    n_faces = len(row["frame_seconds"])
    if n_faces < min_seen * row["n_frames"]:
        raise ClipError("face_seldom", f"a face in {n_faces} of {row['n_frames']} frames", absent=True)


def read_points(row: dict[str, Any]) -> np.ndarray:
    """The landmarks of a row, (n_faces, 68, 2) float32."""
    return np.frombuffer(row["landmarks"], "<f4").reshape(-1, 68, 2)


def read_coefficients(row: dict[str, Any]) -> np.ndarray:
    """The coefficients of a row, (n_faces, n_coefficients) float32."""
    return np.frombuffer(row["coefficients"], "<f4").reshape(len(row["frame_seconds"]), -1)
