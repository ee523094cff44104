"""Pictures of a clip as a player shows them, RGB frames with their times."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.errors import ClipError
from emoadapt.media.clock import find_end, jumps_ahead, jumps_back
from emoadapt.media.complete import check_complete, note_end
from emoadapt.media.containers import (
    INDEXED,
    decode,
    describe_span,
    find_origin,
    open_container,
    seek,
)
from emoadapt.media.display import Display
from emoadapt.media.limits import check_length, refuse_longer
from emoadapt.media.log import describe_restart
from emoadapt.media.tracks import choose_track, note_tracks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        end: s; None = the end. Pictures with start <= time < end are given.
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
        sought = container.format.name in INDEXED and seek(container, origin, start, path)
        last_slot, empty = -1, True
        frames = _place(decode(container, stream, path), stream, origin, find_end(container, origin), notes)
        for time, frame in _timed(frames, container, stream, origin, path, sought):
            if time < (start or 0.0) - 1e-6 and start is not None:
                continue
            if end is not None and time >= end - 1e-6:
                break
            refuse_longer(time - (start or 0.0), max_seconds, path)
            if fps is not None:
                # Timestamps are rounded to the container's ticks, so a frame may lie just before its interval.
                slot = int((time - (start or 0.0)) * fps + 0.02)
                if slot <= last_slot:
                    continue
                last_slot = slot
            empty = False
            yield time, display.to_rgb(frame)
        if empty:
            raise ClipError("empty_video", f"{path.name} has no pictures{describe_span(start, end)}")


def _place(
    frames: Iterator[Any], stream: Any, origin: float, last: float | None, notes: list[str] | None
) -> Iterator[tuple[float, Any]]:
    """Frames with their times, s on the container's clock; where stamps jump implausibly, they are counted on as sound is."""
    step = _find_step(stream)
    first, time, latest, offset = None, -step, -inf, -origin
    for frame in frames:
        due = time + step
        time = due if frame.time is None else frame.time + offset
        late = time - due
        if first is None:
            first = time
        elif (time < latest and jumps_back(late, time, first)) or (late > 0 and jumps_ahead(late, due, last)):
            offset, time = offset - late, due
            if notes is not None:
                notes.append(describe_restart(due, late))
        latest = max(latest, time)
        yield time, frame


def _find_step(stream: Any) -> float:
    """S from picture to picture."""
    return 1 / float(stream.average_rate or stream.guessed_rate or 25)


def _timed(
    frames: Iterator[tuple[float, Any]], container: Any, stream: Any, origin: float, path: Path, sought: bool
) -> Iterator[tuple[float, Any]]:
    """The frames, held back by one, so that a single picture is known before it is given."""
    step = _find_step(stream)
    begin = float((stream.start_time or 0) * stream.time_base) - origin
    held, count, reached = None, 0, 0.0
    for time, frame in frames:
        if held is not None:
            yield held
        held, count = (time, frame), count + 1
        shown = float(frame.duration * frame.time_base) if frame.duration else step
        reached = max(reached, time + shown - begin)
    if held is None:
        if not sought:
            raise ClipError("undecodable", f"{path.name} has a video stream without pictures")
        return
    check_complete(container, stream, reached, path)
    if count == 1 and not sought:
        raise ClipError("still_image", f"{path.name} holds a single picture", absent=True)
    yield held
