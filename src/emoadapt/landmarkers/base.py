"""Interface of a landmark detector.

A landmark detector is a module here, or in the folder `landmarkers` of a study's own plug-ins, with

* `WEIGHTS`: registered name or path of its usual weights, a literal; None: its library carries them, or it loads none;
* `STATE`: `pretrained`, `untrained` or `rules`, a literal;
* `GPU`: whether it runs on a GPU where there is one, a literal;
* `HONOURS`: keys of `features.landmarks` that it can honour, a literal: of `weights`, `folder`, `fps`, `max_faces`, `min_score`,
  `max_seconds`;
* `STAND_IN`: what it is, as a part of a list, a literal, where papers use something stronger: the report says so;
* `load(config, models_dir, device, threads)`: a `Landmarker`. One that looks at pictures is a `PictureLandmarker`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from emoadapt import media
from emoadapt.detectors.base import Face
from emoadapt.extraction.ahead import run_ahead
from emoadapt.plugins import load_plugin

FRAMES_AHEAD = 4

Sighting = tuple["float", "list[LandmarkedFace]"]
"""Presentation time of a frame in s, and its faces."""


@dataclass(frozen=True, eq=False)
class LandmarkedFace(Face):
    """A face with its landmarks.

    Args:
        points: (68, 2) float32, x and y in pixels of the frame as shown, in the order of `emoadapt.faces.landmarks`.
        yaw: degrees by which the head is turned to a side; 0 = frontal.
        coefficients: (n,) float32, what the detector measures of the expression; `Landmarker.coefficient_names` names them.
    """

    points: np.ndarray
    yaw: float
    coefficients: np.ndarray


class Landmarker(Protocol):
    """Finds the landmarks of all faces of a clip."""

    coefficient_names: tuple[str, ...]
    """Names of `LandmarkedFace.coefficients`, known once a face was found."""

    def follow(self, row: dict[str, Any], notes: list[str]) -> Generator[Sighting]:
        """Find the faces of all frames of a clip or segment, in the order of time.

        A frame without a face has an empty list.

        Args:
            row: `path`, `media`, `start`, `end` and `utterance_id` of the clip.
            notes: what is odd about the clip is appended.

        Raises:
            ClipError: the clip cannot be used.
        """
        ...

    def close(self) -> None:
        """Give back what the detector holds; it cannot be used afterwards."""
        ...


class PictureLandmarker(ABC):
    """A detector of single pictures.

    Args:
        config: its section: `fps` and `max_seconds`.
    """

    coefficient_names: tuple[str, ...] = ()

    def __init__(self, config: Any) -> None:
        self._fps = None if config.fps == "native" else config.fps
        self._max_seconds = config.max_seconds

    def follow(self, row: dict[str, Any], notes: list[str]) -> Generator[Sighting]:
        """As `Landmarker.follow`; the video is decoded once."""
        frames = media.iterate_frames(
            row["path"], row.get("start"), row.get("end"), self._fps, self._max_seconds, notes
        )
        with closing(run_ahead(cast("Generator[tuple[float, np.ndarray]]", frames), FRAMES_AHEAD)) as decoded:
            for seconds, frame in decoded:
                yield seconds, self.find(frame)

    @abstractmethod
    def find(self, frame: np.ndarray) -> list[LandmarkedFace]:
        """Faces of a frame (H, W, 3) uint8 RGB, in no particular order."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the detector holds."""


def enclose(points: np.ndarray) -> tuple[float, float, float, float]:
    """The box x0, y0, x1, y1 about points (n, 2)."""
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1


def load_landmarker(config: Any, models_dir: Path, device: str = "cpu", threads: int = 1) -> Landmarker:
    """Load the configured detector.

    Args:
        config: the section `features.landmarks`.
        models_dir: folder of weights.
        device: `cpu` or `cuda`.
        threads: threads it may use.

    Raises:
        ModelError: weights or a library are missing, or the weights are of another network.
    """
    return load_plugin("landmarkers", config.detector).load(config, models_dir, device, threads)
