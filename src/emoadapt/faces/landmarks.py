"""Landmarks of one person through a clip: 68 points a frame, in the order of 300-W (iBUG)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from emoadapt.errors import ClipError
from emoadapt.faces.tracking import NOTED_SHARE, People, merge_boxes, note_others
from emoadapt.features.base import Context, guard
from emoadapt.landmarkers.base import LandmarkedFace, Sighting, load_landmarker
from emoadapt.storage.notes import join_notes

PROFILE = 30.0
"""Degrees; of a head that is turned further one side is hidden. It is as the detector estimates: MediaPipe seldom says more than 35."""


class LandmarksExtractor:
    """Finds the landmarks of one person in each clip, and what the same network measures of the expression.

    Args:
        config: detector, frames, whose face is kept.
        context: folder of weights, device, threads.

    Raises:
        ModelError: the detector's weights or library are missing.
    """

    def __init__(self, config: Any, context: Context) -> None:
        self._follow_person = config.several == "follow"
        self._beat = context.beat
        self._detector = load_landmarker(config, context.models_dir, context.device, context.threads)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Landmarks of each clip; one without any face is `absent`."""
        return [guard(self._extract_clip, row) for row in rows]

    def _extract_clip(self, row: dict[str, Any]) -> dict[str, Any]:
        notes: list[str] = []
        people: People[LandmarkedFace] = People(self._follow_person)
        sightings = self._find(row, notes)
        for number, (_, faces) in enumerate(sightings):
            if faces:
                people.add(number, faces)
        person = people.leading
        if person is None:
            raise ClipError("no_face", f"no face found in {len(sightings)} frames", absent=True)
        kept = sorted(person.faces.items())
        faces = [face for _, face in kept]
        others = note_others([found for _, found in sightings], person)
        return {
            "reason": join_notes([*notes, others, note_profile([face.yaw for face in faces])]),
            "n_frames": len(sightings),
            "frame_seconds": [sightings[number][0] for number, _ in kept],
            "n_candidates": [len(sightings[number][1]) for number, _ in kept],
            "landmarks": np.stack([face.points for face in faces]).astype("<f4").tobytes(),
            "yaw": [face.yaw for face in faces],
            "coefficients": np.stack([face.coefficients for face in faces]).astype("<f4").tobytes(),
            "coefficient_names": list(self._detector.coefficient_names),
        }

    def _find(self, row: dict[str, Any], notes: list[str]) -> list[Sighting]:
        """All frames, without their pictures; each face once."""
        found = []
        with closing(self._detector.follow(row, notes)) as sightings:
            for seconds, faces in sightings:
                found.append((seconds, merge_boxes(faces)))
                self._beat()
        return found


def note_profile(yaw: Sequence[float]) -> str | None:
    """A note for a clip whose face is turned aside in many frames.

    Points of the hidden side are guesses there.
    """
    turned = sum(abs(degrees) > PROFILE for degrees in yaw)
    if turned < NOTED_SHARE * len(yaw):
        return None
    return f"profile_view: the head is turned by more than {PROFILE:.0f} degrees in {turned} of {len(yaw)} frames with a face"
