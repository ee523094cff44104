"""Face detection over the frames of a clip, in full or near known faces.

What is saved is never paid for blindly: boxes are carried over frames only between two detections that agree, and a narrowed
search counts only where it confirms every face that it was given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from emoadapt.detectors.base import Face, FaceDetector, NearDetector
from emoadapt.faces.tracking import merge_boxes

BATCH_PIXELS = 8 * 640 * 480
"""Pixels detected at once: eight frames of an ordinary clip, one of a large one, so memory does not follow the clip."""
HELD_PIXELS = 4 * BATCH_PIXELS
"""Pixels held of a batch, the frames between detections included."""
AGREEMENT = 0.5
"""Smallest intersection over union of a face's boxes in two detections between which they are carried."""
SURE_SCORE = 0.9
"""Smallest score of a face without doubt: one that is looked for near its last place, and counts as found again."""
MAX_STEP, MAX_GROWTH = 0.3, 1.15
"""Largest move of its middle, in sides, and largest ratio of its sides: for these MTCNN's windows are large enough."""
MAX_KNOWN = 3
"""With more faces looking near them costs as much as looking everywhere."""
FULL_SEARCH_EVERY = 16
"""Detections, of which the first looks everywhere, so that newcomers are seen."""

Frame = tuple[float, np.ndarray]
"""Presentation time in s, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Sighting:
    """The faces of a frame.

    Args:
        seconds: presentation time.
        frame: (H, W, 3) uint8 RGB.
        faces: in no particular order.
        detected: False where they are carried over from the detections before and after.
    """

    seconds: float
    frame: np.ndarray
    faces: list[Face]
    detected: bool


class FaceFinder:
    """Finds the faces of a clip's frames.

    Args:
        detector: finds those of single frames.
        every: detects on every so-many-th frame and on the last; on those between only where these disagree.
        near: looks near the known faces where there are any; the detector must be a `NearDetector`.
    """

    def __init__(self, detector: FaceDetector, every: int = 1, near: bool = False) -> None:
        self._detector = detector
        self._every = every
        self._near = near

    def find(self, frames: Iterable[Frame]) -> Generator[list[Sighting]]:
        """Faces of all frames of a clip, in batches; a batch does not depend on those after it."""
        search = _NearSearch(self._detect, cast(NearDetector, self._detector)).detect if self._near else self._detect
        before: Sighting | None = None
        for batch in batch_groups(group_frames(frames, self._every)):
            sightings = []
            found = search([group[-1][1] for group in batch])
            for group, faces in zip(batch, found, strict=True):
                after = Sighting(*group[-1], faces, True)
                sightings += [*self._fill(before, group[:-1], after), after]
                before = after
            yield sightings

    def _detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        return [merge_boxes(faces) for faces in self._detector.detect(frames)]

    def _fill(self, before: Sighting | None, between: Sequence[Frame], after: Sighting) -> list[Sighting]:
        """The frames between two detections."""
        if before is None or not between:
            return []
        pairs = pair_faces(before.faces, after.faces)
        if pairs is None:
            found = []
            # More frames than are detected at once may lie between two detections.
            for batch in batch_groups([frame] for frame in between):
                found += self._detect([group[-1][1] for group in batch])
            return [Sighting(*frame, faces, True) for frame, faces in zip(between, found, strict=True)]
        # Time stamps of damaged files may stand still.
        span = after.seconds - before.seconds or 1.0
        return [
            Sighting(seconds, frame, [carry_face(*pair, (seconds - before.seconds) / span) for pair in pairs], False)
            for seconds, frame in between
        ]


@dataclass
class _NearSearch:
    """Frame by frame near the faces of the frame before; everywhere when one of them is doubtful or not confirmed."""

    detect_all: Callable[[Sequence[np.ndarray]], list[list[Face]]]
    detector: NearDetector
    known: list[Face] = field(default_factory=list)
    since_full: int = 0

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: np.ndarray) -> list[Face]:
        faces: list[Face] = []
        self.since_full += 1
        if self._may_narrow():
            faces = merge_boxes(self.detector.detect_near(frame, self.known))
        if not faces or not confirm_faces(self.known, faces):
            faces = self.detect_all([frame])[0]
            self.since_full = 0
        self.known = faces
        return faces

    def _may_narrow(self) -> bool:
        few_and_sure = len(self.known) <= MAX_KNOWN and all(face.score >= SURE_SCORE for face in self.known)
        return bool(self.known) and few_and_sure and self.since_full < FULL_SEARCH_EVERY


def group_frames(frames: Iterable[Frame], every: int) -> Iterator[list[Frame]]:
    """The first frame, then `every` frames each time, the last time what is left: each group ends where faces are detected."""
    frames = iter(frames)
    for first in frames:
        yield [first]
        while group := list(itertools.islice(frames, every)):
            yield group


def batch_groups(groups: Iterable[list[Frame]]) -> Iterator[list[list[Frame]]]:
    """Consecutive groups in batches, one batch held at a time.

    The last frames of a batch's groups, which are detected together, have at most `BATCH_PIXELS`, and all of its frames at
    most about `HELD_PIXELS`; one group is a batch in any case.
    """
    groups = iter(groups)
    for first in groups:
        height, width = first[-1][1].shape[:2]
        batch, held = [first], len(first)
        while (len(batch) + 1) * height * width <= BATCH_PIXELS and held * height * width < HELD_PIXELS:
            group = next(groups, None)
            if group is None:
                break
            batch.append(group)
            held += len(group)
        yield batch


def pair_faces(before: Sequence[Face], after: Sequence[Face]) -> list[tuple[Face, Face]] | None:
    """Which face became which, if two detections agree: as many faces, each with one of its own that overlaps; else None."""
    if len(before) != len(after):
        return None
    pairs, left = [], list(after)
    for face in before:
        best = max(left, key=face.overlap)
        if face.overlap(best) < AGREEMENT:
            return None
        left.remove(best)
        pairs.append((face, best))
    return pairs


def carry_face(before: Face, after: Face, share: float) -> Face:
    """A face between two detections, `share` of the way; its score is the smaller of theirs."""
    x0, y0, x1, y1 = ((1 - share) * a + share * b for a, b in zip(before.box, after.box, strict=True))
    return Face((x0, y0, x1, y1), min(before.score, after.score))


def confirm_faces(known: Sequence[Face], found: Sequence[Face]) -> bool:
    """Whether each known face is surely found again, as a face of its own and about where it was."""
    left = list(found)
    for face in known:
        again = [other for other in left if other.score >= SURE_SCORE and _is_near(face, other)]
        if not again:
            return False
        left.remove(max(again, key=face.overlap))
    return True


def _is_near(face: Face, other: Face) -> bool:
    before, after = (max(box[2] - box[0], box[3] - box[1]) for box in (face.box, other.box))
    moved = max(abs(a - b) for a, b in zip(face.middle, other.middle, strict=True))
    return moved <= MAX_STEP * before and abs(math.log(after / before)) <= math.log(MAX_GROWTH)
