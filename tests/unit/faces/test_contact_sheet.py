"""The picture of the faces that were found."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.faces import contact_sheet
from emoadapt.faces.action_units import BLENDSHAPES
from emoadapt.faces.contact_sheet import draw_contact_sheet, write_contact_sheet
from emoadapt.features.action_units import Config
from emoadapt.storage.tables import write_table

YELLOW, BLUE = (240, 228, 66), (20, 40, 200)
BOX = [40.0, 30.0, 90.0, 80.0]


def write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 240, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Two clips: one with a blue face in three of five frames, one whose media are gone."""
    write_video(tmp_path / "a.mp4")
    clips = [{"utterance_id": f"talks/{name}", "media": f"{name}.mp4", "fingerprint": "x"} for name in "ab"]
    write_table(tmp_path / "manifest.parquet", clips, schema.MANIFEST)
    crop = cv2.imencode(".jpg", np.full((64, 64, 3), BLUE[::-1], np.uint8))[1].tobytes()
    found = {
        "n_frames": 5,
        "frame_seconds": [0.0, 0.1, 0.2],
        "boxes": [BOX] * 3,
        "scores": [1.0] * 3,
        "n_candidates": [1] * 3,
        "detected": [True] * 3,
        "crops": [crop] * 3,
    }
    rows = [
        {"utterance_id": "talks/a", "key": "k", "status": "ok", **found},
        {"utterance_id": "talks/b", "key": "k", "status": "failed", "reason": "file_missing: b.mp4"},
    ]
    write_table(tmp_path / "faces.parquet", rows, schema.feature_table("faces"))
    return tmp_path / "manifest.parquet", tmp_path / "faces.parquet"


def near(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(sheet.astype(int) - colour).max(axis=2) < 25).nonzero()


def test_box_and_crops_are_where_they_belong(tables: tuple[Path, Path], tmp_path: Path) -> None:
    sheet = draw_contact_sheet(tmp_path, [tables[0]], [tables[1]], 1)
    rows, columns = near(sheet, YELLOW)
    assert columns.min() == pytest.approx(40, abs=3) and columns.max() == pytest.approx(90, abs=3)
    assert np.ptp(rows) == pytest.approx(50, abs=4)
    # Three square crops as high as the frame, to its right.
    rows, columns = near(sheet, BLUE)
    assert len(rows) == pytest.approx(3 * 120 * 120, rel=0.02) and columns.min() > 160


def test_a_clip_without_media_or_face_is_shown_too(tables: tuple[Path, Path], tmp_path: Path) -> None:
    one = draw_contact_sheet(tmp_path, [tables[0]], [tables[1]], 1)
    both = draw_contact_sheet(tmp_path, [tables[0]], [tables[1]], 5)
    assert both.shape[1] > one.shape[1]
    assert len(near(both, (200, 200, 200))[0]) >= 0.9 * 120 * 120


def test_nothing_to_show_and_odd_names_are_one_sentence(tables: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clips"):
        draw_contact_sheet(tmp_path, [tables[0]], [], 5)
    with pytest.raises(DataError, match=r"\.png or \.jpg"):
        write_contact_sheet(np.zeros((4, 4, 3), np.uint8), tmp_path / "sheet.gif")
    write_contact_sheet(np.zeros((4, 4, 3), np.uint8), tmp_path / "new" / "sheet.png")
    assert cv2.imread(str(tmp_path / "new" / "sheet.png")).shape == (4, 4, 3)


def test_landmarks_are_where_they_belong(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """A face of 60 x 50 pixels: the square about it, 84 pixels wide, is 240 on the sheet."""
    points = np.stack([np.linspace(40, 100, 68), np.full(68, 55.0)], axis=1)
    points[0, 1], points[67, 1] = 30, 80
    row = {"utterance_id": "talks/a", "key": "k", "status": "ok", "n_frames": 5, "frame_seconds": [0.0, 0.2]}
    row |= {"landmarks": np.stack([points, points]).astype("<f4").tobytes()}
    write_table(tmp_path / "landmarks.parquet", [row], schema.feature_table("landmarks"))
    sheet = draw_contact_sheet(tmp_path, [tables[0]], [tmp_path / "landmarks.parquet"], 1, "landmarks")
    lower, upper = near(sheet, (70, 170, 255)), near(sheet, (255, 80, 60))
    # The outermost are of the lower part; brows and eyes lie between, on the line in the middle.
    first = lower[1][lower[1] < 240]
    assert first.min() == pytest.approx(120 - 30 * 240 / 84, abs=4) and first.max() == pytest.approx(
        120 + 30 * 240 / 84, abs=4
    )
    assert np.ptp(lower[0]) == pytest.approx(50 * 240 / 84, abs=6) and np.ptp(upper[0]) < 8 and len(upper[0])
    assert sheet.shape[1] > 2 * 240, "both frames"


def write_landmarks(tmp_path: Path, **coefficients: float) -> Path:
    """Two frames of a face; the blendshapes that are named have these values in the second one, and are 0 else."""
    points = np.stack([np.linspace(40, 100, 68), np.linspace(30, 80, 68)], axis=1)
    names = sorted({*BLENDSHAPES.values(), *coefficients})
    values = [[0.0] * len(names), [coefficients.get(name, 0.0) for name in names]]
    row = {"utterance_id": "talks/a", "key": "k", "status": "ok", "n_frames": 5, "frame_seconds": [0.0, 0.2]}
    row |= {"landmarks": np.stack([points, points]).astype("<f4").tobytes(), "coefficient_names": names}
    row |= {"coefficients": np.array(values, "<f4").tobytes()}
    absent = {"utterance_id": "talks/b", "key": "k", "status": "failed", "reason": "file_missing: b.mp4"}
    write_table(tmp_path / "landmarks.parquet", [row, absent], schema.feature_table("landmarks"))
    return tmp_path / "landmarks.parquet"


def test_action_units_of_a_frame_are_written_into_it(
    tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[str]] = []
    monkeypatch.setattr(contact_sheet, "_write_units", lambda _cv2, _picture, names: written.append([*names]))
    shard = write_landmarks(tmp_path, mouthSmile=0.6, eyeSquint=0.5, jawOpen=0.2)

    def draw(units: Config | None) -> list[list[str]]:
        written.clear()
        draw_contact_sheet(tmp_path, [tables[0]], [shard], 1, "landmarks", units=units)
        return [*written]

    assert draw(Config()) == [[], ["AU6", "AU12", "AU25"]]
    assert draw(Config(thresholds={12: 0.7, 26: 0.2}, cheek_raiser="cheekSquint")) == [[], ["AU25", "AU26"]]
    assert draw(None) == [[], []]


def test_many_action_units_fit_into_the_picture() -> None:
    """Light letters in the lower left corner, in lines of six."""
    picture = np.zeros((240, 240, 3), np.uint8)
    contact_sheet._write_units(cv2, picture, [f"AU{unit}" for unit in range(10, 24)])
    rows, columns = near(picture, (255, 255, 255))
    assert len(rows) and 235 > rows.max() > 220 and rows.min() > 180 and columns.max() < 236


def test_clips_are_shown_below_the_heading_of_their_class(
    tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[str, ...]] = []
    write = contact_sheet._write_lines
    monkeypatch.setattr(
        contact_sheet, "_write_lines", lambda cv2, *said, **width: (lines.append(said), write(cv2, *said, **width))[1]
    )
    shard = write_landmarks(tmp_path)
    classes = {"other": ["talks/b"], "anger": ["talks/a", "talks/unlisted"], "surprise": []}
    sheet = draw_contact_sheet(tmp_path, [tables[0]], [shard], 1, "landmarks", classes)
    # A strip is drawn before the heading above it.
    assert [line[0] for line in lines] == [
        "talks/b",
        "other (1 clips)",
        "talks/a",
        "anger (1 clips)",
        "surprise (0 clips)",
    ]
    one = draw_contact_sheet(tmp_path, [tables[0]], [shard], 1, "landmarks")
    assert sheet.shape[0] == pytest.approx(2 * one.shape[0] + 3 * 22)
