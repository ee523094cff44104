"""Length of media files, without decoding them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.containers import open_container
from emoadapt.media.links import find_link

_LARGEST_STEP_BACK = 1.0
"""s that pictures which refer to later ones may lie before them."""


def declared_seconds(path: str | Path) -> float | None:
    """Time, in s, at which a player that believes the header would stop; formats without a length are estimated.

    None where the file cannot be opened, or nothing is declared.
    """
    try:
        with open_container(Path(path)) as container:
            start = container.start_time or 0
            return None if container.duration is None else (start + container.duration - max(start, 0)) / 1e6
    except (ClipError, OSError):
        return None


def demuxed_seconds(path: str | Path) -> float | None:
    """End, in s, of the last packet of audio or video: the whole file is read for it.

    None where it cannot be, or where stamps begin anew: what decoding gives of joined files is longer.
    """
    from av import FFmpegError

    try:
        with open_container(Path(path)) as container:
            if container.format.name == "ogg" and find_link(Path(path), 0) is not None:
                return None
            streams = [stream for stream in container.streams if stream.type in ("audio", "video")]
            if not streams:
                return None
            ends = dict.fromkeys((stream.index for stream in streams), 0.0)
            for packet in container.demux(streams):
                index = packet.stream.index
                if packet.pts is not None and float(packet.pts * packet.time_base) < ends[index] - _LARGEST_STEP_BACK:
                    return None
                ends[index] = max(ends[index], _packet_end(packet, ends[index]))
            # A negative time stamp is a codec's run-in, which is not shown.
            return max(ends.values()) - max(container.start_time or 0, 0) / 1e6
    except (ClipError, OSError, FFmpegError):
        return None


def _packet_end(packet: Any, before: float) -> float:
    base = float(packet.time_base or 0)
    shown = (packet.duration or 0) * base
    return before + shown if packet.pts is None else packet.pts * base + shown
