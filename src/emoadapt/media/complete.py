"""Whether a file holds as much as its header declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emoadapt.errors import ClipError
from emoadapt.media.containers import EXACT

_TOLERANCE_SECONDS = 0.25
"""What an MP4 or FLAC file may lack of its declared length: encoders round it to a few codec frames."""
_TOLERANCE_BYTES = 1024
_STREAMED_WAV = 0x7FFF0000
"""RIFF sizes from here on are placeholders of programs that wrote into a pipe."""


def check_complete(container: Any, stream: Any, seconds: float, path: Path) -> None:
    """Compare what was decoded, up to the end of the file, with what its header declares."""
    if container.format.name == "wav":
        with path.open("rb") as file:
            head = file.read(8)
        announced, size = int.from_bytes(head[4:8], "little") + 8, path.stat().st_size
        if head[:4] == b"RIFF" and size + _TOLERANCE_BYTES < announced < _STREAMED_WAV:
            raise ClipError("truncated", f"{path.name} has {size} bytes, its header announces {announced}")
    elif container.format.name in EXACT and stream.duration:
        declared = float(stream.duration * stream.time_base)
        if seconds < declared - _TOLERANCE_SECONDS:
            raise ClipError(
                "truncated", f"the {stream.type} of {path.name} ends after {seconds:.2f} s of {declared:.2f} s"
            )
