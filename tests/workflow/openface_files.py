"""CSV files as OpenFace 2.0 writes them, with the columns that emoadapt reads and some that it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
"""Action units whose presence OpenFace decides."""


def make_face(scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """(68, 2): no two points alike, outer corners of the eyes `40 * scale` pixels apart."""
    points = np.stack([np.arange(68.0) % 9 * 5, np.arange(68.0) // 9 * 7], axis=1)
    points[36], points[45] = (10, 20), (50, 20)
    return points * scale + (x, y)


def write_openface(
    path: Path,
    faces: Sequence[np.ndarray | None],
    units: Sequence[Mapping[int, int]] = (),
    *,
    fps: float = 10.0,
    confidence: float = 0.98,
    yaw: float = 0.0,
) -> Path:
    """Write a file.

    Args:
        path: of it.
        faces: (68, 2) for each frame; None = no face.
        units: of each frame, unit -> 1 where it is present.
        fps: frames a second.
        confidence: of frames with a face.
        yaw: radians.
    """
    names = [f"{axis}_{number}" for axis in "xy" for number in range(68)]
    header = ["frame", "face_id", "timestamp", "confidence", "success", "pose_Ry", *names]
    header += [f"AU{unit:02d}_r" for unit in UNITS] + [f"AU{unit:02d}_c" for unit in UNITS]
    lines = [", ".join(header)]
    for number, face in enumerate(faces):
        points = np.zeros((68, 2)) if face is None else face
        present = units[number] if units else {}
        row = [number + 1, 0, round(number / fps, 3), 0 if face is None else confidence, int(face is not None), yaw]
        row += [*points[:, 0].round(3), *points[:, 1].round(3)]
        row += [2.5 * present.get(unit, 0) for unit in UNITS] + [present.get(unit, 0) for unit in UNITS]
        lines.append(", ".join(map(str, row)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path
