"""Viola and Jones's cascade of Haar features, for upright frontal faces.

The OpenCV 4 wheel contains it, so nothing is downloaded.

Paper: P. Viola and M. Jones, "Robust real-time face detection", IJCV 57, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt.detectors.base import Face
from emoadapt.errors import ModelError
from emoadapt.faces.opencv import load_opencv
from emoadapt.weights.registry import resolve

WEIGHTS = None
STATE = "pretrained"
GPU = False
HONOURS = ("min_face",)
STAND_IN = "the Haar cascade for finding faces"

CASCADE = "haarcascade_frontalface_default.xml"
SCALE_FACTOR = 1.1
MIN_NEIGHBOURS = 5
MIN_FACE = 32
"""Pixels; smaller faces show no expression, and false alarms are small."""
MIN_SCORE = 0.0
"""Certainty of the last stage; what the cascade accepts is positive."""


def load(config: Any, models_dir: Path, device: str, threads: int) -> HaarDetector:
    """Load a cascade: the configured file, or the wheel's frontal faces."""
    cv2 = load_opencv(threads)
    if config.weights:
        file = resolve(config.weights, models_dir)
    else:
        data = getattr(cv2, "data", None)
        file = Path(data.haarcascades if data else "") / CASCADE
        if not file.is_file():
            raise ModelError(
                f"OpenCV {cv2.__version__} carries no {CASCADE} (version 5 dropped it); run `pip install "
                "'opencv-python-headless<5'`, or choose another detector"
            )
    min_score = MIN_SCORE if config.min_score is None else config.min_score
    return HaarDetector(file, min_score, threads, config.min_face or MIN_FACE)


class HaarDetector:
    """A cascade classifier.

    Args:
        file: OpenCV cascade (XML).
        min_score: smallest certainty of the last stage.
        threads: threads OpenCV may use.
        min_face: pixels, side of the smallest face looked for.

    Raises:
        ModelError: the file is no cascade.
    """

    def __init__(self, file: Path, min_score: float = MIN_SCORE, threads: int = 1, min_face: int = MIN_FACE) -> None:
        self._cv2 = load_opencv(threads)
        self._cascade = self._cv2.CascadeClassifier()
        try:
            loaded = self._cascade.load(str(file))
        except (self._cv2.error, SystemError):
            loaded = False
        if not loaded:
            raise ModelError(f"{file} is not an OpenCV cascade; name one, or leave `weights` out")
        self._min_score = min_score
        self._min_face = min_face

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB."""
        return [self._detect_one(frame) for frame in frames]

    def close(self) -> None:
        """Nothing to give back."""

    def _detect_one(self, frame: np.ndarray) -> list[Face]:
        grey = self._cv2.equalizeHist(self._cv2.cvtColor(frame, self._cv2.COLOR_RGB2GRAY))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=SCALE_FACTOR,
            minNeighbors=MIN_NEIGHBOURS,
            minSize=(self._min_face, self._min_face),
            outputRejectLevels=True,
        )
        return [
            Face((float(x), float(y), float(x + width), float(y + height)), float(score))
            for (x, y, width, height), score in zip(boxes, np.ravel(weights), strict=True)
            if score >= self._min_score
        ]
