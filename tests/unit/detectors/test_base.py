import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from emoadapt.detectors.base import Face, load_detector
from emoadapt.errors import ModelError
from emoadapt.features.faces import Config as FacesConfig
from emoadapt.flow.code import list_libraries
from emoadapt.plugins import find_source, list_plugins, read_declaration, use_folder
from emoadapt.weights.registry import find_entry

NOSE = (224.0, 117.0)
"""Pixel of the tip of the nose in scikit-image's portrait, read off by hand."""

needs_weights = pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
ALL = ["haar", *(pytest.param(name, marks=needs_weights) for name in ("yunet", "mtcnn", "mediapipe"))]


def _load(name: str, **options):
    if name == "mediapipe":
        pytest.importorskip("mediapipe")
    return load_detector(FacesConfig(detector=name, **options), Path(os.environ.get("EMOADAPT_MODELS", "models")))


def _holds_face(face: Face) -> bool:
    x0, y0, x1, y1 = face.box
    centred = abs((x0 + x1) / 2 - NOSE[0]) < 25 and abs((y0 + y1) / 2 - NOSE[1]) < 30
    return centred and 70 < x1 - x0 < 170 and 80 < y1 - y0 < 190


def _only(detector, frame: np.ndarray) -> Face:
    (faces,) = detector.detect([frame])
    return max(faces, key=lambda face: face.area)


def test_geometry_of_faces():
    """3 x 5 at (1, 2) and 4 x 4 at (2, 5) share 2 x 2: 4 of 15 + 16 - 4."""
    face, other, apart = (
        Face((1.0, 2.0, 4.0, 7.0), 1.0),
        Face((2.0, 5.0, 6.0, 9.0), 0.5),
        Face((4.0, 7.0, 9.0, 9.0), 1.0),
    )
    assert face.area == 15.0 and face.middle == (2.5, 4.5)
    assert face.intersect(other) == other.intersect(face) == 4.0
    assert face.overlap(other) == other.overlap(face) == pytest.approx(4 / 27)
    assert face.overlap(face) == 1.0
    assert face.intersect(apart) == face.overlap(apart) == 0.0
    assert Face((20.0, 0.0, 30.0, 1.0), 1.0).intersect(face) == 0.0
    point = Face((2.0, 3.0, 2.0, 3.0), 1.0)
    assert point.overlap(point) == 0.0


@pytest.mark.parametrize("name", ALL)
def test_detector_finds_the_portrait_where_it_is(name):
    detector = _load(name)
    portrait = astronaut()
    blank = np.full_like(portrait, 90)
    smaller = portrait[::2, ::2].copy()
    found = detector.detect([portrait, blank, smaller])
    assert _holds_face(max(found[0], key=lambda face: face.area))
    assert found[1] == []
    x0, y0, x1, y1 = max(found[2], key=lambda face: face.area).box
    assert _holds_face(Face((2 * x0, 2 * y0, 2 * x1, 2 * y1), 1.0))
    detector.close()


@pytest.mark.parametrize("name", ALL)
def test_detector_follows_a_translation(name):
    detector = _load(name)
    portrait = astronaut()
    moved = np.pad(portrait, ((32, 0), (64, 0), (0, 0)), mode="edge")
    before, after = np.array(_only(detector, portrait).box), np.array(_only(detector, moved).box)
    np.testing.assert_allclose(after - before, [64, 32, 64, 32], atol=12)
    detector.close()


@pytest.mark.parametrize("name", ALL)
def test_min_score_takes_the_place_of_the_default(name):
    found = _only(_load(name), astronaut())
    refused = _load(name, min_score=found.score + 1e-6) if name != "mtcnn" else _load(name, min_score=1.0)
    assert all(not _holds_face(face) for face in refused.detect([astronaut()])[0])


@pytest.mark.parametrize("name", ["haar", pytest.param("mtcnn", marks=needs_weights)])
def test_no_face_much_smaller_than_min_face_is_found(name):
    """The portrait's face is about 90 x 110 pixels."""
    assert _holds_face(_only(_load(name, min_face=50), astronaut()))
    assert not any(_holds_face(face) for face in _load(name, min_face=300).detect([astronaut()])[0])


@needs_weights
def test_yunet_scales_boxes_of_large_frames_back():
    large = astronaut().repeat(4, axis=0).repeat(4, axis=1)
    box = _only(_load("yunet"), large).box
    assert _holds_face(Face((box[0] / 4, box[1] / 4, box[2] / 4, box[3] / 4), 1.0))


@pytest.mark.parametrize("name", ["yunet", "mtcnn", "mediapipe"])
def test_missing_weights_are_a_sentence(name, tmp_path):
    if name == "mediapipe":
        pytest.importorskip("mediapipe")
    command = rf"'{name}' are missing: there is no {tmp_path}/.*`emoadapt models fetch {name} --models-dir {tmp_path}`"
    with pytest.raises(ModelError, match=command):
        load_detector(FacesConfig(detector=name), tmp_path)


@pytest.mark.parametrize("name", ["haar", "yunet", "mediapipe"])
def test_a_file_that_is_no_detector_is_a_sentence(name, tmp_path):
    if name == "mediapipe":
        pytest.importorskip("mediapipe")
    file = tmp_path / "wrong.onnx"
    file.write_bytes(b"<not a model>")
    with pytest.raises(ModelError, match=r"wrong\.onnx is not"):
        load_detector(FacesConfig(detector=name, weights=str(file)), tmp_path)


def test_opencv_without_cascades_says_what_to_install(monkeypatch, tmp_path):
    import cv2

    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(ModelError, match=r"pip install 'opencv-python-headless<5'"):
        load_detector(FacesConfig(detector="haar"), tmp_path)


def test_missing_opencv_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ModelError, match=r"cv2 is missing; install it with: pip install 'emoadapt\[faces\]'"):
        load_detector(FacesConfig(detector="haar"), tmp_path)


def test_the_protocol_module_is_light():
    code = "import sys, emoadapt.detectors.base, emoadapt.weights.registry, emoadapt.faces.onnx_network\n"
    code += "print([name for name in ('torch', 'cv2', 'mediapipe', 'onnxruntime', 'onnx') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@needs_weights
def test_a_mediapipe_detector_that_was_let_go_of_does_not_complain_at_exit():
    pytest.importorskip("mediapipe")
    code = (
        "import os; from pathlib import Path; from emoadapt.features.faces import Config as FacesConfig\n"
        "from emoadapt.detectors.base import load_detector; from skimage.data import astronaut\n"
        "def run():\n"
        "    detector = load_detector(FacesConfig(detector='mediapipe'), Path(os.environ['EMOADAPT_MODELS']))\n"
        "    return len(detector.detect([astronaut()])[0])\n"
        "print(run())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1" and "Traceback" not in result.stderr


DETECTORS = list_plugins("detectors")


@pytest.mark.parametrize("name", DETECTORS)
def test_declarations_are_complete_and_true(name: str) -> None:
    """Read from the source, since half of the detectors need weights or libraries that may be missing."""
    source = find_source(f"emoadapt.detectors.{name}")
    text = source.read_text()
    found = {key: read_declaration("detectors", name, key) for key in ("WEIGHTS", "STATE", "GPU", "HONOURS")}
    assert all(f"\n{key} = " in text for key in found), "nothing is taken for granted"
    assert found["WEIGHTS"] is None or find_entry(found["WEIGHTS"])
    assert found["STATE"] in ("pretrained", "untrained", "rules")
    assert found["GPU"] == ("torch" in list_libraries(f"emoadapt.detectors.{name}"))
    assert ("min_face" in found["HONOURS"]) == ("config.min_face" in text)
    assert ("search" in found["HONOURS"]) == ("def detect_near(" in text)
    assert {*found["HONOURS"]} <= {"min_face", "search"}


@pytest.mark.parametrize("name", DETECTORS)
def test_keys_that_a_detector_does_not_honour_are_refused(name: str) -> None:
    for key, value in (("min_face", 40), ("search", "near")):
        if key in read_declaration("detectors", name, "HONOURS"):
            assert FacesConfig(detector=name, **{key: value})
        else:
            with pytest.raises(
                ValueError, match=f"{key}: {name} has no such setting; leave the key out, or use .*mtcnn"
            ):
                FacesConfig(detector=name, **{key: value})


@pytest.mark.parametrize("constant", ["WEIGHTS", "STATE", "GPU", "HONOURS"])
def test_what_a_detector_does_not_declare_is_not_guessed(tmp_path, constant):
    declared = {"WEIGHTS": None, "STATE": "rules", "GPU": False, "HONOURS": ()}
    (tmp_path / "detectors").mkdir()
    lines = [f"{name} = {value!r}" for name, value in declared.items() if name != constant]
    (tmp_path / "detectors/middle.py").write_text("\n".join(lines))
    use_folder(tmp_path)
    try:
        with pytest.raises(ValueError, match=f"face detector middle does not declare {constant}; see docs/"):
            FacesConfig(detector="middle")
    finally:
        use_folder(None)


def test_an_unknown_detector_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="face detector mtcn is not known; did you mean mtcnn"):
        FacesConfig(detector="mtcn")
