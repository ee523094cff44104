"""CSV files of OpenFace 2.0, the tool of Goncalves & Busso (2022).

They are written by `FeatureExtraction -f clip.mp4 -2Dfp -aus -pose`.

Paper: T. Baltrusaitis, A. Zadeh, Y. C. Lim and L.-P. Morency, "OpenFace 2.0: facial behavior analysis toolkit", FG 2018. Columns: the
page "Output format" of its wiki. OpenFace itself is not run: its licence is for research only.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from emoadapt.errors import ClipError, ModelError
from emoadapt.landmarkers.base import LandmarkedFace, Sighting, enclose

WEIGHTS = None
STATE = "rules"
GPU = False
HONOURS = ("folder", "min_score")

_POINTS = [f"{axis}_{number}" for axis in "xy" for number in range(68)]
_UNIT = re.compile(r"AU\d\d_c")


class Table(NamedTuple):
    """What is used of a CSV file, a row for each face of each frame.

    Args:
        columns: of the floats.
        values: (n, n_columns) float64.
    """

    columns: list[str]
    values: np.ndarray

    def read(self, name: str) -> np.ndarray:
        """A column, (n,)."""
        return self.values[:, self.columns.index(name)]


def load(config: Any, models_dir: Path, device: str, threads: int) -> OpenfaceReader:
    """A reader of the configured folder."""
    return OpenfaceReader(Path(config.folder), config.min_score or 0.0)


class OpenfaceReader:
    """Reads landmarks, presence of action units and the head's turn from CSV files, by time stamp.

    Time stamps are those of OpenFace, which counts frames from the first one at the video's frame rate: in a video of changing rate they
    drift. A frame counts as without a face where OpenFace says so (`success` 0), or is less confident than `min_score`.

    Args:
        folder: of the CSV files.
        min_score: smallest `confidence`.

    Raises:
        ModelError: there is no such folder.
    """

    def __init__(self, folder: Path, min_score: float = 0.0) -> None:
        if not folder.is_dir():
            raise ModelError(
                f"features.landmarks.folder: {folder} is not a folder; name the one with the CSV files that OpenFace wrote"
            )
        self._folder, self._min_score = folder, min_score
        self.coefficient_names: tuple[str, ...] = ()

    def follow(self, row: dict[str, Any], notes: list[str]) -> Generator[Sighting]:
        """Frames with start <= time < end.

        Raises:
            ClipError: `no_openface`, absent: there is no file; `bad_openface`: it cannot be used, or has no frame of the segment.
        """
        path = self._locate(row)
        table = _read(path, path.stat().st_mtime_ns)
        seconds = table.read("timestamp")
        start, end = row.get("start"), row.get("end")
        chosen = (seconds >= (-math.inf if start is None else start - 1e-6)) & (
            seconds < (math.inf if end is None else end - 1e-6)
        )
        if not chosen.any():
            raise ClipError("bad_openface", f"{path.name} has no frame from {start or 0} s to {end or 'the end'}")
        units = [name for name in table.columns if _UNIT.fullmatch(name)]
        self.coefficient_names = tuple(units)
        used = Table(table.columns, table.values[chosen])
        faces = self._make_faces(used, units)
        for time, frame in itertools.groupby(zip(used.read("timestamp"), faces, strict=True), key=lambda item: item[0]):
            yield float(time), [face for _, face in frame if face is not None]

    def close(self) -> None:
        """Nothing to give back."""

    def _locate(self, row: dict[str, Any]) -> Path:
        clip = PurePosixPath(row["media"]).with_suffix(".csv")
        places = [self._folder / row["utterance_id"].partition("/")[0] / clip, self._folder / clip]
        for path in places:
            if path.is_file():
                return path
        raise ClipError("no_openface", f"{self._folder} has no {clip}", absent=True)

    def _make_faces(self, table: Table, units: list[str]) -> list[LandmarkedFace | None]:
        points = np.stack([table.read(name) for name in _POINTS], axis=1).reshape(-1, 2, 68)
        points = np.ascontiguousarray(points.transpose(0, 2, 1).astype(np.float32))
        presence = np.stack([table.read(name) for name in units], axis=1).astype(np.float32)
        score, success = table.read("confidence"), table.read("success")
        yaw = np.degrees(table.read("pose_Ry")) if "pose_Ry" in table.columns else np.zeros(len(score))
        seen = (success > 0) & (score >= self._min_score)
        return [
            LandmarkedFace(enclose(points[i]), float(score[i]), points[i], float(yaw[i]), presence[i])
            if seen[i]
            else None
            for i in range(len(score))
        ]


@lru_cache(maxsize=2)
def _read(path: Path, _written: int) -> Table:
    """The columns that are used, of all frames. Files of several segments are kept.

    Raises:
        ClipError: it is no such file, or is cut.
    """
    needed = {"timestamp", "confidence", "success", *_POINTS}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = [name.strip() for name in next(csv.reader(file), [])]
            if missing := sorted(needed - {*header}):
                raise ClipError("bad_openface", f"{path.name} has no column {missing[0]}")
            wanted = [
                number
                for number, name in enumerate(header)
                if name in needed or name == "pose_Ry" or _UNIT.fullmatch(name)
            ]
            if not any(_UNIT.fullmatch(name) for name in header):
                raise ClipError("bad_openface", f"{path.name} has no column AU01_c; run OpenFace with -aus")
            values = np.loadtxt(file, delimiter=",", usecols=wanted, ndmin=2)
            if not np.isfinite(values).all():
                raise ClipError("bad_openface", f"{path.name} holds values that are no numbers")
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise ClipError("bad_openface", f"{path.name} cannot be read: {error}") from None
    return Table([header[number] for number in wanted], values)
