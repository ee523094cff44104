"""Interface of a face detector.

A detector is a module here, or in the folder `detectors` of a study's own plug-ins, with

* `WEIGHTS`: registered name or path of its usual weights, a literal; None: its library carries them, or it needs none (`STATE`);
* `STATE`: `pretrained`, `untrained` or `rules`, a literal;
* `GPU`: whether it runs on a GPU where there is one, a literal;
* `HONOURS`: keys of `features.faces` that it can honour, a literal: of `min_face` (the smallest face looked for) and `search` (it is
  a `NearDetector`);
* `STAND_IN`: what it is, as a part of a list, a literal, where papers use something stronger: the report says so;
* `load(config, models_dir, device, threads)`: a `FaceDetector`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from emoadapt.plugins import load_plugin


@dataclass(frozen=True)
class Face:
    """A detected face.

    Args:
        box: x0, y0, x1, y1 in pixels; pixel columns are [i, i + 1), so x1 - x0 is the width. It may reach over the border.
        score: confidence, in the detector's own scale.
    """

    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def middle(self) -> tuple[float, float]:
        """Its x and y in pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def intersect(self, other: Face) -> float:
        """Square pixels that two boxes share."""
        width, height = (min(self.box[i + 2], other.box[i + 2]) - max(self.box[i], other.box[i]) for i in (0, 1))
        return max(width, 0.0) * max(height, 0.0)

    def overlap(self, other: Face) -> float:
        """Intersection over union of two boxes, 0 to 1."""
        common = self.intersect(other)
        return common / (self.area + other.area - common) if common else 0.0


FaceT = TypeVar("FaceT", bound=Face)
"""A face, or one with more that a detector says of it."""


class FaceDetector(Protocol):
    """Finds the faces of frames. One whose search can be narrowed is a `NearDetector`."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB, in no particular order; a frame without any gives an empty list."""
        ...

    def close(self) -> None:
        """Give back what the detector holds; it cannot be used afterwards."""
        ...


class NearDetector(FaceDetector, Protocol):
    """Can also look only where faces of an earlier frame may have gone."""

    def detect_near(self, frame: np.ndarray, known: Sequence[Face]) -> list[Face]:
        """Faces of a frame near the known ones and of about their sizes; others by chance only."""
        ...


def load_detector(config: Any, models_dir: Path, device: str = "cpu", threads: int = 1) -> FaceDetector:
    """Load the configured detector.

    The module is chosen by name at run time, so that its results depend on its own code and not on the other detectors'.

    Args:
        config: its name, its weights (default: the registry's of that name) and smallest score (default: its own).
        models_dir: folder of weights.
        device: `cpu` or `cuda`.
        threads: threads it may use.

    Raises:
        ModelError: weights or a library are missing, or the weights are of another network.
    """
    return load_plugin("detectors", config.detector).load(config, models_dir, device, threads)
