"""CSV files of OpenFace 2.0, by time stamp."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openface_files import make_face, write_openface

from emoadapt.errors import ModelError
from emoadapt.features.base import Context
from emoadapt.features.landmarks import Config, load


def extract(folder: Path, media: str = "a.mp4", **row: Any) -> dict[str, Any]:
    extractor = load(Config(detector="openface_csv", folder=str(folder)), Context(folder))
    (found,) = extractor.extract([{"utterance_id": f"talks/{media[:-4]}", "media": media, **row}])
    return found


def read_left(row: dict[str, Any]) -> np.ndarray:
    """X of the first point of each frame."""
    return np.frombuffer(row["landmarks"], "<f4").reshape(-1, 68, 2)[:, 0, 0]


def test_points_units_and_turn_of_a_whole_clip(tmp_path: Path) -> None:
    faces = [make_face(x=number) for number in range(5)]
    units = [{1: 1}, {}, {12: 1}, {12: 1}, {45: 1}]
    write_openface(tmp_path / "a.csv", faces, units, yaw=math.pi / 9)
    row = extract(tmp_path)
    assert row["reason"] is None and row["n_frames"] == 5
    np.testing.assert_allclose(np.frombuffer(row["landmarks"], "<f4").reshape(5, 68, 2), np.stack(faces))
    assert row["frame_seconds"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4]) and row["yaw"] == pytest.approx([20] * 5)
    names, found = row["coefficient_names"], np.frombuffer(row["coefficients"], "<f4").reshape(5, -1)
    assert names[0] == "AU01_c" and len(names) == 18, "presence, not intensity"
    assert found[:, names.index("AU12_c")].tolist() == [0, 0, 1, 1, 0] and found.sum() == 4


def test_a_segment_has_the_frames_from_its_start_to_before_its_end(tmp_path: Path) -> None:
    write_openface(tmp_path / "a.csv", [make_face(x=number) for number in range(50)])
    first, second = (extract(tmp_path, start=start, end=start + 2.0) for start in (0.0, 1.5))
    assert first["frame_seconds"] == pytest.approx(np.arange(20) / 10) and first["n_frames"] == 20
    assert second["frame_seconds"] == pytest.approx(np.arange(15, 35) / 10)
    assert read_left(second)[[0, -1]].tolist() == [15, 34]
    beyond = extract(tmp_path, start=9.0, end=11.0)
    assert beyond["status"] == "failed" and beyond["reason"] == "bad_openface: a.csv has no frame from 9.0 s to 11.0"


def test_frames_without_a_face_and_doubtful_ones(tmp_path: Path) -> None:
    write_openface(tmp_path / "a.csv", [None, make_face(x=1), None, make_face(x=3)], confidence=0.4)
    row = extract(tmp_path)
    assert (
        row["n_frames"] == 4 and row["frame_seconds"] == pytest.approx([0.1, 0.3]) and read_left(row).tolist() == [1, 3]
    )
    extractor = load(Config(detector="openface_csv", folder=str(tmp_path), min_score=0.5), Context(tmp_path))
    (strict,) = extractor.extract([{"utterance_id": "talks/a", "media": "a.mp4"}])
    assert strict == {"status": "absent", "reason": "no_face: no face found in 4 frames"}


def test_a_turned_head_is_noted(tmp_path: Path) -> None:
    write_openface(tmp_path / "a.csv", [make_face()] * 4, yaw=math.radians(35))
    assert extract(tmp_path)["reason"] == (
        "profile_view: the head is turned by more than 30 degrees in 4 of 4 frames with a face"
    )


def test_several_faces_of_a_frame_are_followed(tmp_path: Path) -> None:
    """`FaceLandmarkVidMulti` writes a row for each face."""
    file = write_openface(tmp_path / "a.csv", [make_face(1 + number % 2, x=500 * (number % 2)) for number in range(12)])
    header, *rows = file.read_text().splitlines()
    timed = []
    for number, row in enumerate(rows):
        cells = row.split(", ")
        timed.append(", ".join([*cells[:2], str(number // 2 / 10), *cells[3:]]))
    file.write_text("\n".join([header, *timed]) + "\n")
    row = extract(tmp_path)
    assert row["n_frames"] == 6 and row["n_candidates"] == [2] * 6 and read_left(row).tolist() == [500] * 6
    assert row["reason"].startswith("several_faces: others than the one kept in 6 of 6 frames")


def test_files_lie_where_their_clips_do(tmp_path: Path) -> None:
    write_openface(tmp_path / "day/a.csv", [make_face(x=1)])
    write_openface(tmp_path / "talks/night/a.csv", [make_face(x=2)])
    assert read_left(extract(tmp_path, "day/a.mp4")).tolist() == [1]
    assert read_left(extract(tmp_path, "night/a.mp4")).tolist() == [2]
    missing = extract(tmp_path, "b.mp4")
    assert missing == {"status": "absent", "reason": f"no_openface: {tmp_path} has no b.csv"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace("x_0,", "z_0,"), "a.csv has no column x_0"),
        (lambda text: text.replace("_c", "_d"), "a.csv has no column AU01_c; run OpenFace with -aus"),
        (lambda text: text[: len(text) - 40], "a.csv cannot be read"),
        (lambda text: text.replace("0.98", "nan"), "a.csv holds values that are no numbers"),
        (lambda text: "", "a.csv has no column confidence"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_row_that_says_so(tmp_path: Path, spoil: Any, said: str) -> None:
    file = write_openface(tmp_path / "a.csv", [make_face()] * 3)
    file.write_text(spoil(file.read_text()))
    row = extract(tmp_path)
    assert row["status"] == "failed" and row["reason"].startswith(f"bad_openface: {said}")


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"features.landmarks.folder: .*/nowhere is not a folder; name the one with the CSV"
    ):
        load(Config(detector="openface_csv", folder=str(tmp_path / "nowhere")), Context(tmp_path))
