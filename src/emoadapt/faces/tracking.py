"""Tracking of people through a clip, by place and size of faces.

Without a network for identities two people who follow each other at the same place, as after a cut, are one person here;
and somebody who comes back at another place is another. A clip in which several faces appear is noted as such.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from emoadapt.detectors.base import Face, FaceT

MAX_STEP = 0.75
"""Largest move of a face's middle from where it was last seen, in sides (geometric mean of both boxes)."""
MAX_GROWTH = 2.0
"""Largest ratio of two successive sides."""
SAME_FACE = 0.5
"""Smallest share of the smaller of two boxes of one detection, lying inside the other, that makes them one face."""
NOTED_SHARE, NOTED_AREA = 0.1, 0.25
"""A clip is noted where in this share of its frames with a face another one is seen than the one kept, of at least this share of
its mean area: smaller ones are people far behind, or no faces."""


@dataclass(eq=False)
class Person(Generic[FaceT]):
    """A face through a clip.

    Args:
        faces: frame -> face.
        area: sum over the frames, square pixels.
    """

    faces: dict[int, FaceT] = field(default_factory=dict)
    area: float = 0.0

    @property
    def last(self) -> FaceT:
        """Where they were last seen."""
        return next(reversed(self.faces.values()))

    def add(self, frame: int, face: FaceT) -> None:
        """They are seen here."""
        self.faces[frame] = face
        self.area += face.area


class People(Generic[FaceT]):
    """People of a clip, tracked frame by frame.

    Args:
        follow: False takes the largest face of each frame, whoever's it is, for the same person's.
    """

    def __init__(self, follow: bool = True) -> None:
        self._follow = follow
        self._people: list[Person[FaceT]] = []

    @property
    def leading(self) -> Person[FaceT] | None:
        """Whose faces have the largest area over the frames so far; the first seen of equal ones."""
        return max(self._people, key=lambda person: person.area, default=None)

    def add(self, frame: int, faces: Sequence[FaceT]) -> None:
        """Give the faces of the next frame, at least one, to people: each to whose last face is most like it, or to a new one."""
        if not self._follow:
            self._people = self._people or [Person()]
            self._people[0].add(frame, max(faces, key=lambda face: face.area))
            return
        known, left = list(self._people), list(faces)
        while known and left:
            difference, i, j = min(
                (compare_faces(person.last, face), i, j)
                for (i, person), (j, face) in itertools.product(enumerate(known), enumerate(left))
            )
            if math.isinf(difference):
                break
            known.pop(i).add(frame, left.pop(j))
        for face in left:
            self._people.append(Person())
            self._people[-1].add(frame, face)


def merge_boxes(faces: Iterable[FaceT]) -> list[FaceT]:
    """The faces of a detection, each once: of boxes that lie half inside each other the largest is kept, which is first."""
    kept: list[FaceT] = []
    for face in sorted(faces, key=lambda face: -face.area):
        if not any(face.intersect(other) >= SAME_FACE * min(face.area, other.area) for other in kept):
            kept.append(face)
    return kept


def compare_faces(before: Face, after: Face) -> float:
    """How far apart two boxes are: move of the middle in sides, plus growth in octaves; infinite beyond the limits."""
    sides = [max(math.sqrt(max(face.area, 0.0)), 1e-6) for face in (before, after)]
    growth = abs(math.log2(sides[1] / sides[0]))
    step = math.dist(before.middle, after.middle) / math.sqrt(sides[0] * sides[1])
    return step + growth if step <= MAX_STEP and growth <= math.log2(MAX_GROWTH) else math.inf


def note_others(faces: Sequence[Sequence[FaceT]], person: Person[FaceT]) -> str | None:
    """A note for a clip in which several faces of about equal importance appear.

    Args:
        faces: all faces of each frame.
        person: the one kept.
    """
    least = NOTED_AREA * person.area / len(person.faces)
    others = sum(
        any(face is not person.faces.get(number) and face.area >= least for face in seen)
        for number, seen in enumerate(faces)
    )
    with_face = sum(map(bool, faces))
    if others < NOTED_SHARE * with_face:
        return None
    return f"several_faces: others than the one kept in {others} of {with_face} frames with a face"
