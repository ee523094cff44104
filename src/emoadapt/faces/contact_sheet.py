"""Contact sheet of detected faces, or of landmarks.

Of faces it shows a frame of each clip, and crops; of landmarks, frames with their points and the action units that are detected in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import media, schema
from emoadapt.errors import ClipError, DataError, ModelError
from emoadapt.faces.action_units import THRESHOLDS, detect_units
from emoadapt.faces.cropping import crop_square
from emoadapt.faces.opencv import load_opencv
from emoadapt.faces.traces import read_coefficients, read_points
from emoadapt.features.landmark_motion import UPPER
from emoadapt.landmarkers.base import enclose
from emoadapt.storage.tables import read_table

if TYPE_CHECKING:
    from emoadapt.features.action_units import Config

CROPS, MESHES = 6, 4
"""Crops, or frames with landmarks, shown of a clip, spread over its frames with a face."""
_HEIGHT, _MESH_HEIGHT, _GAP, _MARGIN = 120, 240, 6, 16
_COLUMNS = 2
_UNITS_PER_LINE = 6
_BOX, _UPPER, _LOWER, _TEXT, _PAPER = (240, 228, 66), (255, 80, 60), (70, 170, 255), (34, 34, 34), (255, 255, 255)
"""RGB."""
_MESH_MARGIN = 0.2
"""Widening of the square about the landmarks on each side."""


def draw_contact_sheet(
    root: Path,
    manifests: Sequence[Path],
    tables: Sequence[Path],
    n_clips: int,
    feature: str = "faces",
    classes: Mapping[str, Sequence[str]] | None = None,
    units: Config | None = None,
) -> np.ndarray:
    """Draw clips spread over the corpus, or over each class.

    Args:
        root: corpus root.
        manifests: MANIFEST shards.
        tables: shards of the feature, of the same corpus.
        n_clips: at most so many, of each class if there are some; clips without a face are shown too, with the reason.
        feature: `faces` or `landmarks`.
        classes: heading -> its clips, as from `data.target_classes.group_by_class`. None: all clips, without a heading.
        units: section `features.action_units`, by which units are detected in frames with landmarks. None: none is named.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: a table is missing, or holds no clips.
    """
    cv2 = load_opencv(1)
    drawn: dict[str, tuple[Callable[..., list[np.ndarray]], int]] = {
        "faces": (_draw_faces, _HEIGHT),
        "landmarks": (partial(_draw_landmarks, units), _MESH_HEIGHT),
    }
    draw, height = drawn[feature]
    columns = ["utterance_id", "status", "reason", "n_frames", "frame_seconds"]
    rows = {
        row["utterance_id"]: (path, row) for path in tables for row in read_table(path, columns=columns).to_pylist()
    }
    clips = {
        row["utterance_id"]: row
        for path in manifests
        for row in read_table(path, schema.MANIFEST).to_pylist()
        if row["utterance_id"] in rows
    }
    if not clips:
        raise DataError(f"the tables of {feature} hold no clips; compute them first (a Snakemake run does)")

    def draw_strip(name: str) -> np.ndarray:
        shard, row = rows[name]
        if row["status"] == "ok":
            pictures = draw(cv2, root, clips[name], row | _read_row(shard, name))
            text = f"{len(row['frame_seconds'])} of {row['n_frames']} frames"
            text += f"; {row['reason']}" if row["reason"] else ""
        else:
            pictures, text = [_draw_frame(cv2, root, clips[name], None, None)], f"{row['status']}: {row['reason']}"
        return _make_strip(cv2, [_scale(cv2, picture, height) for picture in pictures], name, text)

    parts = []
    for heading, members in (classes or {"": [*clips]}).items():
        names = sorted(clips.keys() & set(members))
        strips = [draw_strip(names[i]) for i in _spread(len(names), n_clips)]
        parts += [_write_lines(cv2, f"{heading} ({len(names)} clips)")] if heading else []
        parts += [_arrange(strips)] if strips else []
    return _stack(parts)


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


def _draw_faces(cv2: Any, root: Path, clip: dict[str, Any], row: dict[str, Any]) -> list[np.ndarray]:
    """A frame with the box, and crops."""
    middle = len(row["boxes"]) // 2
    frame = _draw_frame(cv2, root, clip, row["frame_seconds"][middle], row["boxes"][middle])
    return [frame, *(_decode(cv2, row["crops"][i]) for i in _spread(len(row["crops"]), CROPS))]


def _draw_landmarks(
    units: Config | None, cv2: Any, root: Path, clip: dict[str, Any], row: dict[str, Any]
) -> list[np.ndarray]:
    """The face in several frames, with the points of upper and lower part (`features.landmark_motion`) and action units."""
    points, pictures = read_points(row), []
    detected = _detect_units(units, row)
    for i in _spread(len(points), MESHES):
        frame = _read_frame(root, clip, row["frame_seconds"][i])
        picture = _draw_missing() if frame is None else _draw_mesh(cv2, frame, points[i])
        _write_units(cv2, picture, [f"AU{unit}" for unit, seen in detected.items() if seen[i]])
        pictures.append(picture)
    return pictures


def _detect_units(units: Config | None, row: dict[str, Any]) -> dict[int, np.ndarray]:
    """Action unit -> whether it is detected, (n_frames,); empty where the detector measures none."""
    if units is None or not row.get("coefficient_names"):
        return {}
    try:
        return detect_units(
            row["coefficient_names"], read_coefficients(row), THRESHOLDS | units.thresholds, units.cheek_raiser
        )
    except ModelError:
        return {}


def _write_units(cv2: Any, picture: np.ndarray, names: Sequence[str]) -> None:
    """Write names into the lower left corner, light on a dark rim."""
    lines = [" ".join(names[i : i + _UNITS_PER_LINE]) for i in range(0, len(names), _UNITS_PER_LINE)]
    for number, words in enumerate(reversed(lines)):
        place = (4, len(picture) - 6 - number * (_MARGIN - 2))
        for colour, width in (((0, 0, 0), 3), (_PAPER, 1)):
            cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, width, cv2.LINE_AA)


def _draw_mesh(cv2: Any, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A square about the face, at the height of a strip, with the points."""
    box = enclose(points)
    square = crop_square(frame, box, _MESH_MARGIN)
    scale = _MESH_HEIGHT / len(square)
    picture = np.ascontiguousarray(_scale(cv2, square, _MESH_HEIGHT))
    places = (points - (np.array(box[:2]) + np.array(box[2:])) / 2) * scale + _MESH_HEIGHT / 2
    for number, place in enumerate(places.round().astype(int).tolist()):
        cv2.circle(picture, place, 2, _UPPER if number in UPPER else _LOWER, -1, cv2.LINE_AA)
    return picture


def _spread(n: int, shown: int) -> list[int]:
    """At most `shown` of n places, evenly."""
    return np.unique(np.linspace(0, n - 1, min(shown, n)).round().astype(int)).tolist()


def _make_strip(cv2: Any, pictures: Sequence[np.ndarray], *lines: str) -> np.ndarray:
    """The pictures of one clip, of one height, side by side below its name and what is said of it."""
    gap = np.full((len(pictures[0]), _GAP, 3), _PAPER, np.uint8)
    strip = np.hstack([part for picture in pictures for part in (picture, gap)])
    return np.vstack([_write_lines(cv2, *lines, width=strip.shape[1]), strip])


def _write_lines(cv2: Any, *lines: str, width: int = 2 * _MESH_HEIGHT) -> np.ndarray:
    """Lines of text on white."""
    label = np.full((len(lines) * _MARGIN + _GAP, width, 3), _PAPER, np.uint8)
    for number, words in enumerate(lines):
        # OpenCV's fonts know ASCII only.
        plain = words.encode("ascii", "replace").decode()
        place = (0, (number + 1) * _MARGIN - 3)
        cv2.putText(label, plain, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)
    return label


def _draw_missing() -> np.ndarray:
    return np.full((_HEIGHT, _HEIGHT, 3), 200, np.uint8)


def _draw_frame(
    cv2: Any, root: Path, clip: dict[str, Any], seconds: float | None, box: Sequence[float] | None
) -> np.ndarray:
    """The frame at a time, or the first one, with its box; grey where the clip cannot be read."""
    frame = _read_frame(root, clip, seconds)
    if frame is None:
        return _draw_missing()
    if box is not None:
        corners = [round(value) for value in box]
        # Two pixels on the sheet.
        width = max(2, round(2 * frame.shape[0] / _HEIGHT))
        cv2.rectangle(frame, tuple(corners[:2]), tuple(corners[2:]), _BOX, width)
    return frame


def _read_frame(root: Path, clip: dict[str, Any], seconds: float | None) -> np.ndarray | None:
    """The frame at a time, or the first one; None where the clip cannot be read."""
    # From a little before: the frame at that time is the first one that is not earlier.
    begin = clip["start"] if seconds is None else max(seconds - 1e-3, 0.0)
    try:
        return next(media.iterate_frames(root / clip["media"], begin, clip["end"]))[1].copy()
    except (ClipError, StopIteration):
        return None


def _read_row(shard: Path, utterance_id: str) -> dict[str, Any]:
    table = read_table(shard)
    return table.slice(table.column("utterance_id").to_pylist().index(utterance_id), 1).to_pylist()[0]


def _decode(cv2: Any, crop: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _scale(cv2: Any, picture: np.ndarray, wanted: int) -> np.ndarray:
    """To the height of a strip."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * wanted / height)), wanted)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if height > wanted else cv2.INTER_LINEAR)


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures below each other, the narrower ones filled with white."""
    width = max(part.shape[1] for part in parts)
    filled = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    return np.vstack(filled)


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
