"""What landmark detectors declare is true, and a study may only use what they honour."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bad_clips import make_portrait, write_film, write_good_clips
from PIL import Image

from emoadapt.errors import ModelError
from emoadapt.faces.mediapipe import import_mediapipe
from emoadapt.features.base import Context
from emoadapt.features.landmarks import Config, load
from emoadapt.landmarkers.base import load_landmarker
from emoadapt.landmarkers.mediapipe import IBUG, MediapipeLandmarker, choose_points, measure_yaw
from emoadapt.plugins import find_source, list_plugins, read_declaration, use_folder
from emoadapt.weights.registry import find_entry

LANDMARKERS = list_plugins("landmarkers")
OPTIONAL = {"weights": "x.task", "folder": "x", "fps": 5.0, "max_faces": 1, "min_score": 0.7, "max_seconds": 5.0}
models = Path(os.environ.get("EMOADAPT_MODELS", "models"))
needs_mediapipe = pytest.mark.skipif(find_spec("mediapipe") is None, reason="MediaPipe is not installed")
needs_weights = pytest.mark.skipif(
    find_spec("mediapipe") is None or not (models / "mediapipe/face_landmarker_with_blendshapes.task").exists(),
    reason="weights are not here",
)


@pytest.mark.parametrize("name", LANDMARKERS)
def test_declarations_are_complete_and_true(name: str) -> None:
    source = find_source(f"emoadapt.landmarkers.{name}")
    found = {key: read_declaration("landmarkers", name, key) for key in ("WEIGHTS", "STATE", "GPU", "HONOURS")}
    assert source and all(f"\n{key} = " in source.read_text() for key in found), "nothing is taken for granted"
    assert found["WEIGHTS"] is None or find_entry(found["WEIGHTS"])
    assert found["STATE"] in ("pretrained", "untrained", "rules")
    assert {*found["HONOURS"]} <= {*OPTIONAL} == {*Config.OPTIONAL}


@pytest.mark.parametrize("name", LANDMARKERS)
def test_keys_that_a_detector_does_not_honour_are_refused(name: str) -> None:
    for key, value in OPTIONAL.items():
        if key in read_declaration("landmarkers", name, "HONOURS"):
            assert Config(detector=name, **{key: value})
        else:
            with pytest.raises(ValueError, match=f"{key}: {name} has no such setting; leave the key out, or use "):
                Config(detector=name, **{key: value})


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine/landmarkers").mkdir(parents=True)
    yield tmp_path / "mine"
    use_folder(None)


OWN = """
import numpy as np
from emoadapt.landmarkers.base import LandmarkedFace, PictureLandmarker, enclose

WEIGHTS = None
STATE = "rules"
GPU = False
HONOURS = ("fps", "max_seconds")

def load(config, models_dir, device, threads):
    return Middle(config)

class Middle(PictureLandmarker):
    coefficient_names = ("brightness",)

    def find(self, frame):
        points = np.tile(np.array(frame.shape[1::-1], np.float32) / 2, (68, 1)) + np.arange(68)[:, None]
        return [LandmarkedFace(enclose(points), 1.0, points, 0.0, np.array([frame.mean()], np.float32))]

    def close(self):
        pass
"""


def test_a_detector_of_a_study_is_one_file(own: Path, tmp_path: Path) -> None:
    (own / "landmarkers/centre.py").write_text(OWN)
    use_folder(own)
    write_good_clips(tmp_path, 1)
    config = Config(detector="centre", fps=5.0)
    clip = {"path": tmp_path / "good0.mp4", "utterance_id": "c/good0", "media": "good0.mp4"}
    (row,) = load(config, Context(tmp_path)).extract([clip])
    # Eight frames at 10 a second, of which every second one is looked at; 320 x 256.
    assert row["n_frames"] == 4 and row["frame_seconds"] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert np.frombuffer(row["landmarks"], "<f4").reshape(4, 68, 2)[3, 5].tolist() == [165, 133]
    assert row["coefficient_names"] == ["brightness"] and len(row["coefficients"]) == 16


def test_what_a_detector_does_not_declare_is_not_guessed(own: Path) -> None:
    (own / "landmarkers/centre.py").write_text(OWN.replace("GPU = False\n", ""))
    use_folder(own)
    with pytest.raises(ValueError, match=r"landmark detector centre does not declare GPU; see docs/add-a-detector\.md"):
        Config(detector="centre")


# --- MediaPipe -----------------------------------------------------------------------------------------


MIRROR = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
          54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip
"""Published 68-point scheme: which point a point becomes in a mirror (as used to augment 300-W by flips)."""


@needs_mediapipe
def test_the_list_has_68_points_on_the_contours_that_mediapipe_names() -> None:
    """Independent source: the contours in MediaPipe's package."""
    lines = import_mediapipe().tasks.vision.FaceLandmarksConnections
    assert len(IBUG) == 68 and all(1 <= len(points) <= 2 for points in IBUG)

    def contour(name: str) -> set[int]:
        edges = getattr(lines, f"FACE_LANDMARKS_{name}")
        return {end for edge in edges for end in (edge.start, edge.end)}

    def used(begin: int, end: int) -> set[int]:
        return {point for points in IBUG[begin:end] for point in points}

    assert used(0, 17) <= contour("FACE_OVAL")
    assert used(17, 22) == contour("RIGHT_EYEBROW") and used(22, 27) == contour("LEFT_EYEBROW")
    assert used(36, 42) <= contour("RIGHT_EYE") and used(42, 48) <= contour("LEFT_EYE")
    assert used(48, 68) <= contour("LIPS")
    assert used(27, 36) <= contour("NOSE") | {197}


@needs_weights
def test_points_of_a_portrait_lie_as_in_the_published_scheme() -> None:
    """Jaw from the image's left over the chin to its right, brows above eyes, nose going down, inner lips within outer lips."""
    (face,) = find(make_portrait())
    points = face.points
    x, y = points.T
    assert (np.diff(y[:9]) > 0).all() and (np.diff(y[8:17]) < 0).all() and y.argmax() == 8
    assert (np.diff(x[17:27]) > 0).all() and y[17:22].max() < y[36:42].min() and y[22:27].max() < y[42:48].min()
    assert (np.diff(y[27:31]) > 0).all() and (np.diff(x[31:36]) > 0).all() and y[31:36].min() > y[29]
    for eye in (points[36:42], points[42:48]):
        assert eye[0, 0] == eye[:, 0].min() and eye[3, 0] == eye[:, 0].max()
        assert eye[[1, 2], 1].max() < eye[[4, 5], 1].min()
    assert (np.diff(x[48:55]) > 0).all() and (np.diff(x[54:60]) < 0).all()
    assert x[48] < x[60] and x[64] < x[54] and y[51] < y[62] <= y[66] < y[57] < y[8]


@needs_weights
def test_a_mirrored_portrait_has_mirrored_points_and_turn() -> None:
    """The scheme mirrors as published; without that left and right would be mixed up."""
    portrait = make_portrait()
    (face,), (mirrored,) = find(portrait), find(np.ascontiguousarray(portrait[:, ::-1]))
    expected = np.array([portrait.shape[1], 0]) + face.points[MIRROR] * [-1, 1]
    eyes = np.linalg.norm(face.points[36] - face.points[45])
    errors = np.linalg.norm(mirrored.points - expected, axis=1) / eyes
    assert errors.mean() < 0.05 and errors.max() < 0.2
    assert face.yaw == pytest.approx(-mirrored.yaw, abs=3)


def find(picture: np.ndarray) -> list:
    return landmarker().find(picture)


def landmarker() -> MediapipeLandmarker:
    found = load_landmarker(Config(), models)
    assert isinstance(found, MediapipeLandmarker)
    return found


@needs_weights
def test_a_frame_without_and_one_with_two_faces(tmp_path: Path) -> None:
    """The portrait beside a smaller one, then nobody."""
    head = make_portrait()[40:240, 70:270]
    two, nobody = np.zeros((200, 400, 3), np.uint8), np.zeros((200, 400, 3), np.uint8)
    two[:, :200], two[:160, 200:360] = head, np.array(Image.fromarray(head).resize((160, 160)))
    write_film(tmp_path / "a.mp4", [two] * 4 + [nobody] * 4, None)
    (row,) = load(Config(), Context(models)).extract(
        [{"path": tmp_path / "a.mp4", "utterance_id": "c/a", "media": "a.mp4"}]
    )
    assert row["n_frames"] == 8 and row["frame_seconds"] == pytest.approx([0, 0.1, 0.2, 0.3])
    points = np.frombuffer(row["landmarks"], "<f4").reshape(4, 68, 2)
    assert points[:, :, 0].max() < 200, "the larger one is kept"
    assert len(row["coefficient_names"]) == 52 and row["coefficient_names"][1] == "browDownLeft"
    assert row["n_candidates"] == [2] * 4
    assert row["reason"] == "several_faces: others than the one kept in 4 of 4 frames with a face"


def test_points_are_means_and_the_turn_is_an_angle() -> None:
    mesh = np.zeros((478, 3))
    mesh[46], mesh[70], mesh[4] = (2, 4, 0), (4, 8, 0), (7, 9, 0)
    points = choose_points(mesh[:, :2])
    assert points[17].tolist() == [3, 6] and points[30].tolist() == [7, 9] and points.dtype == np.float32
    # Corners of the eyes 30 and 40 pixels apart in x and y, 50 in depth.
    mesh[33], mesh[263] = (0, 0, 0), (30, 40, 50)
    assert measure_yaw(mesh) == pytest.approx(45)


@needs_mediapipe
def test_missing_and_wrong_weights_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="`emoadapt models fetch mediapipe_blendshapes --models-dir"):
        load_landmarker(Config(), tmp_path)
    (tmp_path / "wrong.task").write_bytes(b"<not a model>")
    with pytest.raises(ModelError, match=r"wrong\.task is not a face landmarker with blendshapes"):
        load_landmarker(Config(weights=str(tmp_path / "wrong.task")), tmp_path)


@needs_weights
def test_a_landmarker_without_blendshapes_is_refused() -> None:
    with pytest.raises(ModelError, match="is not a face landmarker with blendshapes"):
        load_landmarker(Config(weights="mediapipe_landmarker"), models)
