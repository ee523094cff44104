"""The clock of a picture stream: each frame is placed by its own time stamp, where that is plausible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from typing import Any

from emoadapt.media.clock import TOLERANCE_SECONDS, jumps_ahead, jumps_back
from emoadapt.media.log import Log

DECODE_ORDERED = ("avi",)
"""Formats whose packets have a place in the order of decoding, but no time of presentation."""
_MOST_REORDERED = 16
"""Pictures that H.264 and HEVC hold back at most, so that a later one is decoded before (ITU-T H.264 A.3, H.265 A.4)."""
_LONGEST_STEP_SECONDS = 1.0
"""A longer distance between pictures is a pause, by which no picture is counted on."""


def find_step(stream: Any) -> float:
    """S from picture to picture, on the average."""
    return 1 / float(stream.average_rate or stream.guessed_rate or 25)


def sort_stamps(frames: Iterator[Any]) -> Iterator[Any]:
    """Give frames, which come in the order of presentation, their stamps in rising order.

    FFmpeg stamps a picture of an AVI file with the place of its packet. With B-frames these places are a permutation of the times.
    """
    held: deque[Any] = deque()
    stamps: list[int] = []

    def release() -> Any:
        frame = held.popleft()
        frame.pts = heappop(stamps) if stamps else None
        return frame

    for frame in frames:
        held.append(frame)
        if frame.pts is not None:
            heappush(stamps, frame.pts)
        if len(held) > _MOST_REORDERED:
            yield release()
    while held:
        yield release()


def place_pictures(
    frames: Iterator[Any], step: float, origin: float, last: float | None, log: Log
) -> Iterator[tuple[float, Any]]:
    """Frames with their times, s on the container's clock, rising; the rules are those of `Clock` for sound.

    A single stamp that its successor contradicts is ignored. After an implausible jump pictures are counted on. Pictures that lie
    before one that was given are a repetition, and are left out.

    Args:
        frames: decoded, in the order of presentation.
        step: s from picture to picture, until two stamps say it.
        origin: stamp, in s, that a player shows as 0:00.
        last: s on the container's clock, the declared end; None = it declares none.
        log: where overlaps and implausible jumps are noted.
    """
    first, time, latest, offset, cutting = None, -step, -inf, -origin, False
    frame = next(frames, None)
    while frame is not None:
        following, before, due = None, time, time + step
        time = due if frame.time is None else frame.time + offset
        late = time - due
        if first is None:
            first = time
        elif late > TOLERANCE_SECONDS or (time < latest and not cutting):
            following = next(frames, None)
            if _contradicts(following, due + step - offset, frame):
                time = due
            elif jumps_ahead(late, due, last) if late > 0 else jumps_back(late, time, first):
                log.note_restart(due, late)
                offset, time = offset - late, due
        cutting = time < latest + (step / 2 if cutting else -1e-6)
        if cutting:
            log.note_overlap(latest + step, step)
        else:
            if frame.time is not None and 0 < time - before <= _LONGEST_STEP_SECONDS:
                step = time - before
            latest = time
            yield time, frame
        frame = next(frames, None) if following is None else following


def _contradicts(following: Any | None, due: float, frame: Any) -> bool:
    """Whether the stamp of the next frame continues the count, and so goes against that of a frame that jumps."""
    if following is None or following.time is None:
        return False
    on_count = abs(following.time - due) <= TOLERANCE_SECONDS
    return on_count and (frame.time < due or following.time < frame.time)
