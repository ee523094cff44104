"""Tracking of people through a clip, by place and size of faces.

Without a network for identities two people who follow each other at the same place, as after a cut, are one person here;
and somebody who comes back at another place is another. A clip in which several faces appear is noted as such.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from emoadapt.detectors.base import Face

MAX_STEP = 0.75
"""Largest move of a face's middle from where it was last seen, in sides (geometric mean of both boxes)."""
MAX_GROWTH = 2.0
"""Largest ratio of two successive sides."""


@dataclass(eq=False)
class Person:
    """A face through a clip.

    Args:
        faces: frame -> face.
        area: sum over the frames, square pixels.
    """

    faces: dict[int, Face] = field(default_factory=dict)
    area: float = 0.0

    @property
    def last(self) -> Face:
        """Where they were last seen."""
        return next(reversed(self.faces.values()))

    def add(self, frame: int, face: Face) -> None:
        """They are seen here."""
        self.faces[frame] = face
        self.area += face.area


class People:
    """People of a clip, tracked frame by frame.

    Args:
        follow: False takes the largest face of each frame, whoever's it is, for the same person's.
    """

    def __init__(self, follow: bool = True) -> None:
        self._follow = follow
        self._people: list[Person] = []

    @property
    def leading(self) -> Person | None:
        """Whose faces have the largest area over the frames so far; the first seen of equal ones."""
        return max(self._people, key=lambda person: person.area, default=None)

    def add(self, frame: int, faces: Sequence[Face]) -> None:
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


def compare_faces(before: Face, after: Face) -> float:
    """How far apart two boxes are: move of the middle in sides, plus growth in octaves; infinite beyond the limits."""
    sides = [max(math.sqrt(max(face.area, 0.0)), 1e-6) for face in (before, after)]
    growth = abs(math.log2(sides[1] / sides[0]))
    step = math.dist(before.middle, after.middle) / math.sqrt(sides[0] * sides[1])
    return step + growth if step <= MAX_STEP and growth <= math.log2(MAX_GROWTH) else math.inf
