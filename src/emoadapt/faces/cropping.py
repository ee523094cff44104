"""Cropping of one person's faces in a clip (Goncalves & Busso 2025, III-C).

Decoding, detection and cropping overlap. Crops are encoded as they are cut, so what is held is a few batches of frames and the
crops themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emoadapt import media
from emoadapt.detectors.base import Face, load_detector
from emoadapt.errors import ClipError
from emoadapt.extraction.ahead import run_ahead
from emoadapt.faces.opencv import load_opencv, resize
from emoadapt.faces.search import FaceFinder, Frame
from emoadapt.faces.tracking import People, Person, note_others
from emoadapt.features.base import Context, guard
from emoadapt.storage.notes import join_notes

FRAMES_AHEAD, BATCHES_AHEAD = 4, 1
JPEG_QUALITY = 95


@dataclass
class _Seen:
    """Intermediate results of a clip; frames are counted from 0."""

    people: People
    seconds: list[float] = field(default_factory=list)
    faces: list[list[Face]] = field(default_factory=list)
    detected: list[bool] = field(default_factory=list)
    crops: dict[Person, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    notes: list[str] = field(default_factory=list)


class FacesExtractor:
    """Detects, chooses and crops faces.

    Args:
        config: detector, frames, whose face is kept, margin, size of the crops.
        context: folder of weights, device, threads.

    Raises:
        ModelError: the detector's weights or library are missing.
    """

    def __init__(self, config: Any, context: Context) -> None:
        self._config = config
        self._beat = context.beat
        self._cv2 = load_opencv(context.threads)
        detector = load_detector(config, context.models_dir, context.device, context.threads)
        self._encoding = {
            "jpeg": [self._cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
            # Run lengths of what the PNG filters leave: the fastest way, and as small as others.
            "png": [self._cv2.IMWRITE_PNG_STRATEGY, self._cv2.IMWRITE_PNG_STRATEGY_RLE],
        }[config.crop_format]
        self._finder = FaceFinder(detector, config.detect_every, config.search == "near")

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Faces of each clip; one without any face is `absent`."""
        return [guard(self._extract_clip, row) for row in rows]

    def _extract_clip(self, row: dict[str, Any]) -> dict[str, Any]:
        seen = self._go_through(row)
        person = seen.people.leading
        if person is None:
            raise ClipError("no_face", f"no face found in {len(seen.seconds)} frames", absent=True)
        crops = seen.crops[person]
        if missing := person.faces.keys() - crops.keys():
            crops |= self._cut_later(row, seen, person, missing)
        frames = sorted(person.faces)
        return {
            "reason": join_notes([*seen.notes, note_others(seen.faces, person)]),
            "n_frames": len(seen.seconds),
            "frame_seconds": [seen.seconds[i] for i in frames],
            "boxes": [list(person.faces[i].box) for i in frames],
            "scores": [person.faces[i].score for i in frames],
            "detected": [seen.detected[i] for i in frames],
            "n_candidates": [len(seen.faces[i]) for i in frames],
            "crops": [crops[i] for i in frames],
        }

    def _go_through(self, row: dict[str, Any]) -> _Seen:
        """Detect all faces, and crop those of the currently leading person."""
        seen = _Seen(People(self._config.several == "follow"))
        with (
            # Both are closed here: a detector's error would keep the decoder at work for as long as somebody looks at it.
            closing(self._frames(row, seen)) as frames,
            closing(run_ahead(self._finder.find(frames), BATCHES_AHEAD)) as batches,
        ):
            for batch in batches:
                for sighting in batch:
                    number = len(seen.seconds)
                    seen.seconds.append(sighting.seconds)
                    seen.faces.append(sighting.faces)
                    seen.detected.append(sighting.detected)
                    if not sighting.faces:
                        continue
                    seen.people.add(number, sighting.faces)
                    leading = seen.people.leading
                    if leading and number in leading.faces:
                        seen.crops[leading][number] = self._cut(sighting.frame, leading.faces[number].box)
                self._beat()
        return seen

    def _frames(self, row: dict[str, Any], seen: _Seen) -> Generator[Frame]:
        config = self._config
        fps = None if config.fps == "native" else config.fps
        frames = media.iterate_frames(
            row["path"], row.get("start"), row.get("end"), fps, config.max_seconds, seen.notes
        )
        return run_ahead(frames, FRAMES_AHEAD)

    def _cut_later(self, row: dict[str, Any], seen: _Seen, person: Person, missing: set[int]) -> dict[int, bytes]:
        """Crops of frames in which another person led; the clip is decoded once more."""
        crops = {}
        with closing(self._frames(row, seen)) as frames:
            for number, (_, frame) in enumerate(frames):
                if number in missing:
                    crops[number] = self._cut(frame, person.faces[number].box)
                    self._beat()
                if len(crops) == len(missing):
                    break
        return crops

    def _cut(self, frame: np.ndarray, box: Sequence[float]) -> bytes:
        crop = resize(self._cv2, crop_square(frame, box, self._config.margin), self._config.crop_size)
        bgr = self._cv2.cvtColor(crop, self._cv2.COLOR_RGB2BGR)
        _, encoded = self._cv2.imencode(f".{self._config.crop_format}", bgr, self._encoding)
        return encoded.tobytes()


def crop_square(frame: np.ndarray, box: Sequence[float], margin: float) -> np.ndarray:
    """Crop a square around a box; outside the frame, repeat its border.

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
    if left >= 0 and top >= 0 and left + pixels <= frame.shape[1] and top + pixels <= frame.shape[0]:
        return frame[top : top + pixels, left : left + pixels]
    rows = np.clip(np.arange(top, top + pixels), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + pixels), 0, frame.shape[1] - 1)
    return frame[np.ix_(rows, columns)]
