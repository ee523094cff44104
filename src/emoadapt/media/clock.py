"""The clock of a sound stream: each frame is placed by its own time stamp.

Packets may be lost, or silence not sent. What is missing between two frames is filled with silence, and what is there twice is
cut, so that a second of the sound is the second that a player shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from emoadapt.media.containers import MP4
from emoadapt.media.links import find_link
from emoadapt.media.log import Log

STAMPED = (MP4, "matroska,webm", "asf", "flv", "mpeg", "mpegts", "nut", "rm", "wtv")
"""Formats whose packets carry time stamps. FFmpeg counts those of all others itself, in raw AC-3 and DTS with a drift."""
TOLERANCE_SECONDS = 0.08
"""Stamp and count may differ by this much, two pictures. Less is no hole: Matroska and FLV round to 1 ms, MPEG gives a stamp to
the wrong neighbour (AC-3: 48 ms), FFmpeg stamps the first packet of a fragmented MP4 file 57 ms early, and clocks of
recorders drift. ITU-R BT.1359-1 accepts 90 ms between picture and sound."""
_CERTAIN_SECONDS = 10.0
"""A jump ahead is believed up to here, also beyond the declared end. A longer one back begins a new count."""
_LONGEST_HOLE_SECONDS = 3600.0
"""A longer one is taken for a damaged stamp, or for the clock of another recording that was joined to the first."""


@dataclass
class Clock:
    """Compares time stamps with the count of samples.

    A single stamp that its successor contradicts is ignored. After an implausible jump (back to the beginning or by
    over 10 s, ahead by over an hour, or by over 10 s to beyond the declared end) the sound is placed by counting, as players do
    with joined recordings.

    Args:
        due: s on the container's clock, where the first frame begins.
        last: s on the container's clock, the declared end; None = it declares none.
        log: where holes, overlaps and implausible jumps are noted.
        stamped: False = the stamps say nothing; frames follow each other.
    """

    due: float
    last: float | None
    log: Log
    stamped: bool = True
    _offset: float | None = None
    _first: float = 0.0
    _filled: float = 0.0
    _cutting: bool = False

    def place(self, frames: Iterator[Any]) -> Iterator[tuple[Any, int]]:
        """Each frame with the number of its samples that are missing before it; negative: how many to cut from its front."""
        frame = next(frames, None)
        while frame is not None:
            following, surplus = None, 0
            rate, samples = frame.sample_rate, frame.samples
            stamp = frame.time if self.stamped else None
            if stamp is not None:
                if self._offset is None:
                    self._offset, self._first = self.due - stamp, stamp
                late = stamp + self._offset - self.due
                if not -TOLERANCE_SECONDS <= late <= TOLERANCE_SECONDS or (self._cutting and late < 0):
                    following = next(frames, None)
                    surplus = self._judge(late, frame, following)
                else:
                    self._cutting = False
            yield frame, surplus
            self.due += (samples + surplus) / rate
            frame = next(frames, None) if following is None else following

    def _judge(self, late: float, frame: Any, following: Any | None) -> int:
        """Samples to add before a frame (or, negative, to cut) that its stamp places elsewhere than its count."""
        if not self._cutting and following is not None and following.time is not None:
            successor = following.time + self._offset - self.due - frame.samples / frame.sample_rate
            if abs(successor) <= TOLERANCE_SECONDS:
                return 0
        if self._restarts(late, frame.time):
            self.log.note_restart(self.due, late)
            self._offset, self._cutting = self.due - frame.time, False
            return 0
        if late > 0:
            self._cutting = False
            self._filled += late
            self.log.note_hole(self.due, late)
            return round(late * frame.sample_rate)
        cut = min(round(-late * frame.sample_rate), frame.samples)
        self._cutting = cut == frame.samples
        self.log.note_overlap(self.due, cut / frame.sample_rate)
        return -cut

    def _restarts(self, late: float, stamp: float) -> bool:
        if late < 0:
            return not self._cutting and jumps_back(late, stamp, self._first)
        return jumps_ahead(late, self.due, self.last, self._filled)


def jumps_back(late: float, stamp: float, first: float) -> bool:
    """Whether a stamp that is early by `-late` s begins a new count: by over 10 s, or by enough to be back at the first stamp."""
    return late < -_CERTAIN_SECONDS or (late < -TOLERANCE_SECONDS and stamp <= first + TOLERANCE_SECONDS)


def jumps_ahead(late: float, due: float, last: float | None, filled: float = 0.0) -> bool:
    """Whether a stamp is later than is plausible.

    Args:
        late: s, by which it is.
        due: s on the container's clock, where it was expected.
        last: s on the container's clock, the declared end; None = it declares none.
        filled: s that holes have had so far.
    """
    declared = last is not None and due + late <= last + TOLERANCE_SECONDS
    if declared:
        return late > _LONGEST_HOLE_SECONDS
    certain = last is None or late <= _CERTAIN_SECONDS
    return not certain or filled + late > _LONGEST_HOLE_SECONDS


def is_stamped(container: Any, path: Path) -> bool:
    """Whether the packets of a file carry time stamps.

    Those of an Ogg file do, by the positions of its pages; in one of several links, FFmpeg gives the first packets of a link
    positions of the link before.
    """
    name = container.format.name
    return name in STAMPED or (name == "ogg" and find_link(path, 0) is None)


def find_end(container: Any, origin: float) -> float | None:
    """Declared end of a container, s on its clock; None = it declares none."""
    if not container.duration:
        return None
    return ((container.start_time or 0) + container.duration) / 1e6 - origin


def is_even(stream: Any, seconds: float) -> bool:
    """Whether the stamps of an MP4 stream up to a time count its samples, holes aside.

    Reading may then begin there.

    Where they do not, the place of a sample depends on all stamps before it. A fragmented file has no index to tell it by.

    Args:
        stream: its audio stream.
        seconds: as its stamps count.
    """
    entries = stream.index_entries
    if not stream.frames or len(entries) < 2:
        return False
    number = max(entries.search_timestamp(int(seconds / stream.time_base)), 0)
    first, step = entries[0].timestamp, entries[1].timestamp - entries[0].timestamp
    if entries[number].timestamp - first == number * step:
        return True
    tolerance, longest = TOLERANCE_SECONDS / stream.time_base, _CERTAIN_SECONDS / stream.time_base
    stamps = (entries[place].timestamp for place in range(number + 1))
    surplus = (after - before - step for before, after in pairwise(stamps))
    return all(ticks == 0 or tolerance < ticks <= longest for ticks in surplus)
