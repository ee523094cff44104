"""Pictures of a clip as a player shows them, RGB frames with their times."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ClipError
from emoadapt.media.clock import find_end
from emoadapt.media.complete import check_complete, note_end
from emoadapt.media.containers import (
    INDEXED,
    decode_near,
    describe_request,
    describe_span,
    find_origin,
    open_container,
)
from emoadapt.media.display import Display
from emoadapt.media.limits import check_length, refuse_longer
from emoadapt.media.log import Log
from emoadapt.media.pictures import DECODE_ORDERED, find_step, place_pictures, sort_stamps
from emoadapt.media.tracks import choose_track, note_tracks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEGMENT_TOLERANCE = 0.5
"""s that the pictures of a segment may lack at either end without a note: the slowest videos have two a second."""


def iterate_frames(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    fps: float | None = None,
    max_seconds: float | None = None,
    notes: list[str] | None = None,
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Pictures of a clip, turned, mirrored and with square pixels as a player shows them; see `Display`.

    Args:
        path: a file in any format that FFmpeg reads; its default video track is taken, cover art is none.
        start: s; None = the beginning.
        end: s; None = the end. Pictures with start <= time < end are given; where there is none, the one that is on show at
            `start`, with that time.
        fps: None = every frame; else the first frame in each interval of 1/fps s, counted from the start. A rate above the
            video's own gives every frame.
        max_seconds: s; a clip or segment that is longer is refused. None = no limit.
        notes: what is odd about the clip, though its pictures are used, is appended.

    Yields:
        (time in s, (height, width, 3) uint8 RGB), in the order of time.

    Raises:
        ClipError: see the module; `truncated` comes after the pictures before the damage.
    """
    path = Path(path)
    with open_container(path) as container:
        stream = choose_track(container, "video", path)
        if notes is not None:
            notes.extend(filter(None, [note_tracks(container, stream), note_end(container, path)]))
        display = Display(stream)
        check_length(container, stream, start, end, max_seconds, path)
        origin = find_origin(container)
        near = start if container.format.name in INDEXED else None
        frames, sought = decode_near(container, stream, origin, near, path)
        last_slot, first, before, until, log = -1, None, None, 0.0, Log()
        if container.format.name in DECODE_ORDERED:
            frames = sort_stamps(frames)
        step = find_step(stream)
        placed = place_pictures(frames, step, origin, find_end(container, origin), log)
        for time, frame in _timed(placed, container, stream, path, sought):
            if end is not None and time >= end - 1e-6:
                until = inf
                break
            until = _find_end(time, frame, step)
            if start is not None and time < start - 1e-6:
                before = time, frame
                continue
            refuse_longer(time - (start or 0.0), max_seconds, path)
            if fps is not None:
                # Timestamps are rounded to the container's ticks, so a frame may lie just before its interval.
                slot = int((time - (start or 0.0)) * fps + 0.02)
                if slot <= last_slot:
                    continue
                last_slot = slot
            first = time if first is None else first
            yield time, display.to_rgb(frame)
        if first is None and before and start is not None and start < min(until, inf if end is None else end):
            first = start
            log.note_held(before[0])
            yield start, display.to_rgb(before[1])
        if first is None:
            raise ClipError("empty_video", f"{path.name} has no pictures{describe_span(start, end)}")
        if notes is not None:
            notes.extend(log.list_notes(-inf if start is None else start, inf if end is None else end))
            notes.extend(_note_segment(start, end, first if before is None else None, until))


def _note_segment(start: float | None, end: float | None, first: float | None, until: float) -> Iterator[str]:
    """Notes for a segment that begins well before the first picture of its file, or ends well after the last one.

    Args:
        start: s, of the segment; None = the beginning of the file.
        end: s, of the segment; None = the end of the file.
        first: s, of the first picture of the file; None = another one lies before the segment.
        until: s, until which the last picture is shown.
    """
    if start is not None and first is not None and first - start > SEGMENT_TOLERANCE:
        yield f"segment_before: {describe_request(start, end)}, the first picture is at {first:.2f} s"
    if end is not None and end - until > SEGMENT_TOLERANCE:
        yield f"segment_beyond: {describe_request(start, end)}, the last picture ends at {until:.2f} s"


def _timed(
    frames: Iterator[tuple[float, Any]], container: Any, stream: Any, path: Path, sought: bool
) -> Iterator[tuple[float, Any]]:
    """The frames, held back by one, so that a single picture is known before it is given."""
    step = find_step(stream)
    held, count, reached = None, 0, 0.0
    for time, frame in frames:
        if held is not None:
            yield held
        held, count = (time, frame), count + 1
        reached = max(reached, _find_end(time, frame, step))
    if held is None:
        if not sought:
            raise ClipError("undecodable", f"{path.name} has a video stream without pictures")
        return
    check_complete(container, stream, reached, path)
    if count == 1 and not sought:
        raise ClipError("still_image", f"{path.name} holds a single picture", absent=True)
    yield held


def _find_end(time: float, frame: Any, step: float) -> float:
    """S, until which a frame is shown if none follows it."""
    return time + (float(frame.duration * frame.time_base) if frame.duration else step)
