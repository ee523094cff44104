"""Limit on the length of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.complete import counts_frames

_ESTIMATED = (
    "aac", "loas", "ac3", "eac3", "dts", "truehd", "mlp", "amr", "amrnb", "amrwb", "gsm", "mpeg", "mpegts", "mpegvideo", "m4v",
    "h261", "h263", "h264", "hevc", "obu", "mjpeg", "nut",
)  # fmt: skip
"""Formats that declare no length. FFmpeg divides the size by the bit rate of the beginning, or takes the last time stamp,
which has jumped where recordings were joined."""


def check_length(
    container: Any, stream: Any, start: float | None, end: float | None, max_seconds: float | None, path: Path
) -> None:
    """Refuse what is longer than `max_seconds` by its own segment or by what the file declares."""
    if max_seconds is None:
        return
    declared = _declared_seconds(container, stream, path)
    last = declared if end is None else min(end, declared or end)
    refuse_longer(last - (start or 0.0), max_seconds, path)


def refuse_longer(seconds: float, max_seconds: float | None, path: Path) -> None:
    """Refuse a clip of more than `max_seconds`; None = no limit."""
    if max_seconds is not None and seconds > max_seconds:
        raise ClipError("too_long", f"{path.name} has more than {max_seconds:g} s; cut it into segments")


def _declared_seconds(container: Any, stream: Any, path: Path) -> float:
    """Length in the header; 0 without one, or where it is FFmpeg's estimate."""
    name = container.format.name
    if name in _ESTIMATED or (name == "mp3" and not counts_frames(path)):
        return 0.0
    return float(stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1e6)
