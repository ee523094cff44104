"""MediaPipe's face landmarker: 478 points, of which 68 are made, and 52 blendshapes.

Papers: Y. Kartynnik et al., "Real-time facial surface geometry from monocular video on mobile GPUs", 2019; I. Grishchenko et al.,
"Blendshapes GHUM: real-time monocular facial blendshape prediction", 2023.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt.errors import ModelError
from emoadapt.faces.mediapipe import import_mediapipe
from emoadapt.landmarkers.base import LandmarkedFace, PictureLandmarker, enclose
from emoadapt.weights.registry import resolve

WEIGHTS = "mediapipe_blendshapes"
STATE = "pretrained"
GPU = False
HONOURS = ("weights", "fps", "max_faces", "min_score", "max_seconds")
STAND_IN = "MediaPipe's landmarks and blendshapes in place of OpenFace"

MIN_SCORE = 0.5
"""MediaPipe's own default, of detection and of presence."""

# fmt: off
IBUG: tuple[tuple[int, ...], ...] = (
    # Jaw 0-16, from the right ear over the chin (8) to the left ear, at even steps along MediaPipe's face oval.
    (127, 234), (93,), (132,), (58,), (172,), (136,), (149, 150), (176,), (152,),
    (400,), (378, 379), (365,), (397,), (288,), (361,), (323,), (356, 454),
    # Right brow 17-21, left brow 22-26, from the image's left to its right: middles of MediaPipe's upper and lower line.
    (46, 70), (53, 63), (52, 105), (65, 66), (55, 107),
    (285, 336), (295, 296), (282, 334), (283, 293), (276, 300),
    # Nose bridge 27-30, nostrils 31-35.
    (168,), (197,), (5,), (4,),
    (98,), (97,), (2,), (326,), (327,),
    # Right eye 36-41, left eye 42-47: corner, upper lid, corner, lower lid.
    (33,), (160,), (158,), (133,), (153,), (144,),
    (362,), (385,), (387,), (263,), (373,), (380,),
    # Mouth 48-67: outer line from the right corner over the upper lip, then the inner line.
    (61,), (40,), (37,), (0,), (267,), (270,), (291,), (321,), (314,), (17,), (84,), (91,),
    (78,), (81,), (13,), (311,), (308,), (402,), (14,), (178,),
)
# fmt: on
"""iBUG point -> MediaPipe points whose mean it is. Right and left are the person's own.

The published scheme is that of 300-W (Sagonas et al., "300 faces in-the-wild challenge", 2016). MediaPipe's contours are those of its
`FaceLandmarksConnections`. Nobody has published a mapping of both; jaw and brows, which MediaPipe places otherwise, are the nearest.
"""
_FIRST, _SECOND = np.array([points[0] for points in IBUG]), np.array([points[-1] for points in IBUG])

_RIGHT_CORNER, _LEFT_CORNER = 33, 263
"""Outer corners of the eyes."""


def load(config: Any, models_dir: Path, device: str, threads: int) -> MediapipeLandmarker:
    """Load the landmarker from the configured file or the registry's; it has no setting for threads."""
    return MediapipeLandmarker(config, resolve(config.weights or WEIGHTS, models_dir))


class MediapipeLandmarker(PictureLandmarker):
    """The landmarker in image mode: each frame by itself, so that no frame depends on those before it.

    Args:
        config: its section.
        file: bundle of its networks (`.task`).

    Raises:
        ModelError: the library is missing, or the file has no landmarker with blendshapes.
    """

    def __init__(self, config: Any, file: Path) -> None:
        super().__init__(config)
        self._mediapipe = mediapipe = import_mediapipe()
        min_score = MIN_SCORE if config.min_score is None else config.min_score
        try:
            options = mediapipe.tasks.vision.FaceLandmarkerOptions(
                mediapipe.tasks.BaseOptions(model_asset_buffer=file.read_bytes()),
                num_faces=config.max_faces,
                min_face_detection_confidence=min_score,
                min_face_presence_confidence=min_score,
                output_face_blendshapes=True,
            )
            self._net = mediapipe.tasks.vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{file} is not a face landmarker with blendshapes: {error}") from None

    def find(self, frame: np.ndarray) -> list[LandmarkedFace]:
        """Faces of a frame (H, W, 3) uint8 RGB."""
        image = self._mediapipe.Image(self._mediapipe.ImageFormat.SRGB, np.ascontiguousarray(frame))
        found = self._net.detect(image)
        height, width = frame.shape[:2]
        faces = []
        for landmarks, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True):
            # z has the scale of x.
            mesh = np.array([(p.x * width, p.y * height, p.z * width) for p in landmarks])
            points = choose_points(mesh[:, :2])
            self.coefficient_names = tuple(shape.category_name for shape in shapes)
            coefficients = np.array([shape.score for shape in shapes], np.float32)
            faces.append(LandmarkedFace(enclose(points), 1.0, points, measure_yaw(mesh), coefficients))
        return faces

    def close(self) -> None:
        """End MediaPipe's graph."""
        self._net.close()


def choose_points(mesh: np.ndarray) -> np.ndarray:
    """The 68 points (68, 2) float32 of MediaPipe's (478, 2)."""
    return ((mesh[_FIRST] + mesh[_SECOND]) / 2).astype(np.float32)


def measure_yaw(mesh: np.ndarray) -> float:
    """Degrees between the line through the outer corners of the eyes and the picture; (478, 3), all in pixels."""
    x, y, depth = mesh[_LEFT_CORNER] - mesh[_RIGHT_CORNER]
    return math.degrees(math.atan2(depth, math.hypot(x, y)))
