"""MediaPipe's BlazeFace (short range: faces within about two metres of the camera).

Paper: V. Bazarevsky et al., "BlazeFace: sub-millisecond neural face detection on mobile GPUs", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt.detectors.base import Face
from emoadapt.errors import ModelError
from emoadapt.faces.mediapipe import import_mediapipe
from emoadapt.weights.registry import resolve

WEIGHTS = "mediapipe"
STATE = "pretrained"
GPU = False
HONOURS = ()

MIN_SCORE = 0.5
"""MediaPipe's own default."""


def load(config: Any, models_dir: Path, device: str, threads: int) -> MediapipeDetector:
    """Load MediaPipe's detector from the configured file or the registry's; it has no setting for threads."""
    file = resolve(config.weights or WEIGHTS, models_dir)
    return MediapipeDetector(file, MIN_SCORE if config.min_score is None else config.min_score)


class MediapipeDetector:
    """MediaPipe's face detector in image mode: each frame by itself.

    Close it, or let go of it, before the interpreter shuts down: MediaPipe ends its graph in a thread, which cannot be
    started any more by then, so its destructor complains.

    Args:
        file: its TensorFlow Lite file.
        min_score: smallest confidence, 0 to 1.

    Raises:
        ModelError: the library is missing, or the file is no detector.
    """

    def __init__(self, file: Path, min_score: float = MIN_SCORE) -> None:
        self._mediapipe = mediapipe = import_mediapipe()
        tasks = mediapipe.tasks
        try:
            options = tasks.vision.FaceDetectorOptions(
                tasks.BaseOptions(model_asset_buffer=file.read_bytes()), min_detection_confidence=min_score
            )
            self._net = tasks.vision.FaceDetector.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{file} is not a face detector that MediaPipe can read: {error}") from None

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Faces of each frame (H, W, 3) uint8 RGB."""
        return [self._detect_one(frame) for frame in frames]

    def close(self) -> None:
        """End MediaPipe's graph."""
        self._net.close()

    def _detect_one(self, frame: np.ndarray) -> list[Face]:
        image = self._mediapipe.Image(self._mediapipe.ImageFormat.SRGB, np.ascontiguousarray(frame))
        faces = []
        for detection in self._net.detect(image).detections:
            box = detection.bounding_box
            x, y = float(box.origin_x), float(box.origin_y)
            faces.append(Face((x, y, x + box.width, y + box.height), detection.categories[0].score))
        return faces
