"""YuNet, a tiny face detector for CPUs, run by OpenCV.

Paper: W. Wu, H. Peng and S. Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023.
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

WEIGHTS = "yunet"
STATE = "pretrained"
GPU = False
HONOURS = ()

MIN_SCORE = 0.6
"""Of the authors' own demonstration."""
NMS_THRESHOLD = 0.3
MAX_SIDE = 640
"""Larger frames are shrunk to this longest side: the network was trained for faces of 10 to 300 pixels."""


def load(config: Any, models_dir: Path, device: str, threads: int) -> YunetDetector:
    """Load YuNet from the configured file or the registry's."""
    file = resolve(config.weights or WEIGHTS, models_dir)
    return YunetDetector(file, MIN_SCORE if config.min_score is None else config.min_score, threads)


class YunetDetector:
    """YuNet.

    Args:
        file: its ONNX file.
        min_score: smallest confidence, 0 to 1.
        threads: threads OpenCV may use.

    Raises:
        ModelError: the file is no YuNet.
    """

    def __init__(self, file: Path, min_score: float = MIN_SCORE, threads: int = 1) -> None:
        self._cv2 = load_opencv(threads)
        try:
            self._net = self._cv2.FaceDetectorYN.create(str(file), "", (320, 320), min_score, NMS_THRESHOLD)
            self._net.detect(np.zeros((320, 320, 3), np.uint8))
        except self._cv2.error as error:
            raise ModelError(
                f"{file} is not a YuNet that OpenCV {self._cv2.__version__} can read: {error.err}"
            ) from None

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB."""
        return [self._detect_one(frame) for frame in frames]

    def close(self) -> None:
        """Nothing to give back."""

    def _detect_one(self, frame: np.ndarray) -> list[Face]:
        height, width = frame.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale < 1:
            frame = self._cv2.resize(frame, size, interpolation=self._cv2.INTER_AREA)
        self._net.setInputSize(size)
        _, found = self._net.detect(self._cv2.cvtColor(frame, self._cv2.COLOR_RGB2BGR))
        ratio = np.array([width / size[0], height / size[1]] * 2)
        faces = []
        for row in found if found is not None else ():
            x, y, w, h = row[:4]
            box = np.array([x, y, x + w, y + h], np.float64) * ratio
            faces.append(Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(row[14])))
        return faces
