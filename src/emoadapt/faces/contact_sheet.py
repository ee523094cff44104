"""Contact sheet of detected faces: a frame of each clip, and crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt import media, schema
from emoadapt.errors import ClipError, DataError
from emoadapt.faces.opencv import load_opencv
from emoadapt.storage.tables import read_table

CROPS = 6
"""Crops shown of a clip, spread over its frames with a face."""
_HEIGHT, _GAP, _MARGIN = 120, 6, 16
_COLUMNS = 2
_BOX, _TEXT, _PAPER = (240, 228, 66), (34, 34, 34), (255, 255, 255)
"""RGB."""


def draw_contact_sheet(root: Path, manifests: Sequence[Path], faces: Sequence[Path], n_clips: int) -> np.ndarray:
    """Draw clips spread over the corpus.

    Args:
        root: corpus root.
        manifests: MANIFEST shards.
        faces: FACES shards of the same corpus.
        n_clips: at most so many; clips without a face are shown too, with the reason.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: a table is missing, or holds no clips.
    """
    cv2 = load_opencv(1)
    columns = ["utterance_id", "status", "reason", "n_frames", "frame_seconds", "boxes"]
    rows = {row["utterance_id"]: (path, row) for path in faces for row in read_table(path, columns=columns).to_pylist()}
    clips = {
        row["utterance_id"]: row
        for path in manifests
        for row in read_table(path, schema.MANIFEST).to_pylist()
        if row["utterance_id"] in rows
    }
    if not clips:
        raise DataError("the tables of faces hold no clips; compute them first (a Snakemake run does)")
    names = sorted(clips)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(n_clips, len(names))).round().astype(int)]
    strips = [_draw_clip(cv2, root, clips[name], *rows[name]) for name in chosen]
    return _arrange(strips)


def write_contact_sheet(sheet: np.ndarray, output: Path) -> None:
    """Write a sheet (height, width, 3) uint8 RGB as PNG or JPEG.

    Raises:
        DataError: the file's extension is of no picture format.
    """
    cv2 = load_opencv(1)
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise DataError(f"{output}: a picture is written as .png or .jpg; choose one of these extensions")
    output.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _draw_clip(cv2: Any, root: Path, clip: dict[str, Any], shard: Path, row: dict[str, Any]) -> np.ndarray:
    """One clip: its name, a frame with the box, crops."""
    if row["status"] == "ok":
        n_faces = len(row["boxes"])
        middle = n_faces // 2
        pictures = [_draw_frame(cv2, root, clip, row["frame_seconds"][middle], row["boxes"][middle])]
        crops = _read_crops(shard, row["utterance_id"])
        shown = np.unique(np.linspace(0, n_faces - 1, min(CROPS, n_faces)).round().astype(int))
        pictures += [_decode(cv2, crops[i]) for i in shown]
        text = f"{n_faces} of {row['n_frames']} frames" + (f"; {row['reason']}" if row["reason"] else "")
    else:
        pictures = [_draw_frame(cv2, root, clip, None, None)]
        text = f"{row['status']}: {row['reason']}"
    scaled = [_scale(cv2, picture) for picture in pictures]
    gap = np.full((_HEIGHT, _GAP, 3), _PAPER, np.uint8)
    strip = np.hstack([part for picture in scaled for part in (picture, gap)])
    label = np.full((2 * _MARGIN + _GAP, strip.shape[1], 3), _PAPER, np.uint8)
    for line, words in enumerate((row["utterance_id"], text)):
        # OpenCV's fonts know ASCII only.
        plain = words.encode("ascii", "replace").decode()
        place = (0, (line + 1) * _MARGIN - 3)
        cv2.putText(label, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)
    return np.vstack([label, strip])


def _draw_frame(
    cv2: Any, root: Path, clip: dict[str, Any], seconds: float | None, box: Sequence[float] | None
) -> np.ndarray:
    """The frame at a time, or the first one, with its box; grey where the clip cannot be read."""
    path = root / clip["media"]
    frame: np.ndarray | None = None
    try:
        # From a little before: the frame at that time is the first one that is not earlier.
        begin = clip["start"] if seconds is None else max(seconds - 1e-3, 0.0)
        frame = next(media.iterate_frames(path, begin, clip["end"]))[1].copy()
    except (ClipError, StopIteration):
        return np.full((_HEIGHT, _HEIGHT, 3), 200, np.uint8)
    if box is not None:
        corners = [round(value) for value in box]
        # Two pixels on the sheet.
        width = max(2, round(2 * frame.shape[0] / _HEIGHT))
        cv2.rectangle(frame, tuple(corners[:2]), tuple(corners[2:]), _BOX, width)
    return frame


def _read_crops(shard: Path, utterance_id: str) -> list[bytes]:
    table = read_table(shard, columns=["utterance_id", "crops"])
    return table.column("crops")[table.column("utterance_id").to_pylist().index(utterance_id)].as_py()


def _decode(cv2: Any, crop: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _scale(cv2: Any, picture: np.ndarray) -> np.ndarray:
    """To the height of a strip."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * _HEIGHT / height)), _HEIGHT)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if height > _HEIGHT else cv2.INTER_LINEAR)


def _arrange(strips: Sequence[np.ndarray]) -> np.ndarray:
    """All clips on one sheet, in columns."""
    width = max(strip.shape[1] for strip in strips)
    height = strips[0].shape[0]
    per_column = -(-len(strips) // min(_COLUMNS, len(strips)))
    n_columns = -(-len(strips) // per_column)
    sheet = np.full((per_column * (height + _GAP), n_columns * (width + _MARGIN), 3), _PAPER, np.uint8)
    for index, strip in enumerate(strips):
        column, line = divmod(index, per_column)
        top, left = line * (height + _GAP), column * (width + _MARGIN)
        sheet[top : top + height, left : left + strip.shape[1]] = strip
    return sheet
