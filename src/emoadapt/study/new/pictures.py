"""Pictures in a corpus: modalities of its clips."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from emoadapt.errors import ClipError
from emoadapt.listing.extensions import VIDEO_EXTENSIONS

PROBED = 8
"""Files that are opened to see whether they have pictures."""


def choose_modalities(folder: Path, media: Sequence[str]) -> tuple[list[str], str]:
    """Modalities of clips, and why.

    Args:
        folder: that paths are relative to.
        media: the clips' files.
    """
    films = [path for path in media if posixpath.splitext(path)[1].lower() in VIDEO_EXTENSIONS]
    if not films:
        return ["audio"], ""
    if len(films) < len(media):
        return ["audio"], f"{len(films):,} of {len(media):,} files are of a video format; the others have sound alone"
    probed = films[:: max(1, len(films) // PROBED)][:PROBED]
    with_picture = sum(has_picture(folder / path) for path in probed)
    if with_picture < len(probed):
        return ["audio"], f"{len(probed) - with_picture} of {len(probed)} files that were opened have no pictures"
    return ["audio", "video"], f"all files are videos; {len(probed)} of them were opened and have pictures"


def has_picture(path: Path) -> bool:
    """Whether a file has a video track that is no cover art; False for one that cannot be opened."""
    from emoadapt.media import open_container
    from emoadapt.media.tracks import choose_track

    try:
        with open_container(path) as container:
            return choose_track(container, "video", path) is not None
    except (ClipError, OSError, ValueError):
        return False
