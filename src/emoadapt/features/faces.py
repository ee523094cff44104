"""Faces of a clip: detected in every frame looked at, the largest kept, cropped square (Goncalves & Busso 2025, III-B)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from emoadapt import media, schema
from emoadapt.config import FacesConfig
from emoadapt.errors import ClipError
from emoadapt.features.base import Context, guard
from emoadapt.models.detectors import Face, load_detector
from emoadapt.models.onnx_network import resize
from emoadapt.models.opencv import load_opencv

BATCH_PIXELS = 8 * 640 * 480
"""Pixels detected at once: eight frames of an ordinary clip, one of a large one, so memory does not follow the clip."""
JPEG_QUALITY = 95


class FacesExtractor:
    """Detects, chooses and crops faces.

    Args:
        config: detector, frame rate, margin, size of the crops.
        context: folder of weights, device, threads.

    Raises:
        ModelError: the detector's weights or library are missing.
    """

    table = schema.FACES
    inputs = ("manifest",)
    manifest_columns: tuple[str, ...] = ()
    chunk_size = 8

    def __init__(self, config: FacesConfig, context: Context) -> None:
        self._config = config
        self._cv2 = load_opencv(context.threads)
        self._detector = load_detector(config, context.models_dir, context.device, context.threads)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Faces of each clip; one without any face is `absent`."""
        return [guard(self._extract_clip, row) for row in rows]

    def _extract_clip(self, row: dict[str, Any]) -> dict[str, Any]:
        n_frames = 0
        found: list[dict[str, Any]] = []
        fps = None if self._config.fps == "native" else self._config.fps
        for batch in batch_frames(media.iterate_frames(row["path"], row.get("start"), row.get("end"), fps)):
            n_frames += len(batch)
            detected = self._detector.detect([frame for _, frame in batch])
            for (seconds, frame), faces in zip(batch, detected, strict=True):
                if faces:
                    found.append({"frame_seconds": seconds, **self._keep_face(frame, faces)})
        if not found:
            raise ClipError("no_face", f"no face found in {n_frames} frames", absent=True)
        return {
            "n_frames": n_frames,
            "frame_seconds": [face["frame_seconds"] for face in found],
            "boxes": [face["box"] for face in found],
            "scores": [face["score"] for face in found],
            "n_candidates": [face["n_candidates"] for face in found],
            "crops": [face["crop"] for face in found],
        }

    def _keep_face(self, frame: np.ndarray, faces: Sequence[Face]) -> dict[str, Any]:
        face = max(faces, key=lambda candidate: candidate.area)
        crop = resize(self._cv2, crop_square(frame, face.box, self._config.margin), self._config.crop_size)
        quality = [self._cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _, encoded = self._cv2.imencode(".jpg", self._cv2.cvtColor(crop, self._cv2.COLOR_RGB2BGR), quality)
        return {"box": list(face.box), "score": face.score, "n_candidates": len(faces), "crop": encoded.tobytes()}


def batch_frames(frames: Iterable[tuple[float, np.ndarray]]) -> Iterator[list[tuple[float, np.ndarray]]]:
    """Consecutive frames in batches of at most `BATCH_PIXELS` (and at least one frame), holding one batch at a time."""
    frames = iter(frames)
    for first in frames:
        count = max(1, BATCH_PIXELS // (first[1].shape[0] * first[1].shape[1]))
        yield [first, *itertools.islice(frames, count - 1)]


def crop_square(frame: np.ndarray, box: Sequence[float], margin: float) -> np.ndarray:
    """Cut a square about a box out of a frame; what lies outside repeats the frame's border.

    Args:
        frame: (H, W, 3) uint8.
        box: x0, y0, x1, y1 in pixels.
        margin: widening on each side, as a fraction of the longer side of the box.

    Returns:
        (side, side, 3) uint8, side = longer side of the box times 1 + 2 margin, rounded to whole pixels.
    """
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    pixels = max(1, round(side))
    left, top = round((x0 + x1 - pixels) / 2), round((y0 + y1 - pixels) / 2)
    rows = np.clip(np.arange(top, top + pixels), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + pixels), 0, frame.shape[1] - 1)
    return frame[np.ix_(rows, columns)]
