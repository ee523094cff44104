"""The audio or video track of a file that is used, where there are several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from emoadapt.errors import ClipError
from emoadapt.media.containers import take_stream

_LANGUAGE = re.compile(r"(?!und$)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def choose_track(container: Any, kind: Literal["audio", "video"], path: Path) -> Any:
    """The first track that carries the default flag, as players choose; the first one where none does.

    Raises:
        ClipError: there is none (`absent`), or nothing decodes it.
    """
    tracks = _list_tracks(container, kind)
    if not tracks:
        raise ClipError(f"no_{kind}_stream", f"{path.name} has no {kind} stream", absent=True)
    return take_stream(next(filter(_is_default, tracks), tracks[0]), path)


def note_tracks(container: Any, chosen: Any) -> str | None:
    """A note for a row whose file has several tracks of the kind that was chosen."""
    tracks = _list_tracks(container, chosen.type)
    if len(tracks) < 2:
        return None
    number = 1 + next(i for i, track in enumerate(tracks) if track.index == chosen.index)
    language = chosen.language or ""
    which = f"number {number}" + (f" ({language})" if _LANGUAGE.fullmatch(language) else "")
    if _is_default(chosen) and sum(map(_is_default, tracks)) == 1:
        which = f"the default one, {which},"
    return f"several_tracks: {len(tracks)} {chosen.type} tracks, {which} is used"


def _list_tracks(container: Any, kind: str) -> list[Any]:
    """The tracks of a kind; cover art and thumbnails are none."""
    from av.stream import Disposition

    return [s for s in getattr(container.streams, kind) if not s.disposition & Disposition.attached_pic]


def _is_default(track: Any) -> bool:
    from av.stream import Disposition

    return bool(track.disposition & Disposition.default)
