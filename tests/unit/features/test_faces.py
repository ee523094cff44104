import itertools
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from emoadapt import media, schema
from emoadapt.config import FacesConfig
from emoadapt.features import faces as module
from emoadapt.features.base import Context
from emoadapt.features.faces import FacesExtractor, batch_frames, crop_square
from emoadapt.models.detectors import Face

CONTEXT = Context(Path(os.environ.get("EMOADAPT_MODELS", "models")))
BLANK = np.full((256, 320, 3), 120, np.uint8)


def _portrait() -> np.ndarray:
    """Head and shoulders, 256 x 320; the face's middle is about (166, 117)."""
    return np.ascontiguousarray(astronaut()[:256, 58:378])


def _write_video(path: Path, frames: list[np.ndarray], fps: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def _row(path: Path, start: float | None = None, end: float | None = None) -> dict:
    return {"utterance_id": f"test/{path.stem}", "path": path, "start": start, "end": end}


def _decode(crop: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


class FakeDetector:
    """Finds what the test says, frame by frame and then from the beginning."""

    def __init__(self, boxes: list[list[tuple[float, float, float, float]]]) -> None:
        self.boxes = itertools.cycle(boxes)

    def detect(self, frames):
        found = [next(self.boxes) for _ in frames]
        return [[Face(box, 0.5 + 0.1 * i) for i, box in enumerate(boxes)] for boxes in found]

    def close(self):
        pass


def _extract(monkeypatch, frames, boxes, **options):
    """Result of an extractor whose frames and detections are given."""
    monkeypatch.setattr(module, "load_detector", lambda *args: FakeDetector(boxes))
    monkeypatch.setattr(media, "iterate_frames", lambda *args: ((i / 10, frame) for i, frame in enumerate(frames)))
    (result,) = FacesExtractor(FacesConfig(**options), CONTEXT).extract([_row(Path("clip.mp4"))])
    return result


def test_crop_of_a_square_box_is_the_box():
    frame = np.arange(20 * 30 * 3, dtype=np.uint16).astype(np.uint8).reshape(20, 30, 3)
    np.testing.assert_array_equal(crop_square(frame, (5, 3, 11, 9), 0), frame[3:9, 5:11])


def test_crop_is_widened_to_the_longer_side_about_the_centre():
    """Box 4 x 8 about (10, 8): the square is columns 6..14, rows 4..12; with margin 0.25 it is 12 wide, 4..16 and 2..14."""
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_square(frame, (8, 4, 12, 12), 0), frame[4:12, 6:14])
    np.testing.assert_array_equal(crop_square(frame, (8, 4, 12, 12), 0.25), frame[2:14, 4:16])


def test_crop_over_the_border_repeats_the_border():
    frame = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    padded = np.pad(frame, ((3, 3), (3, 3), (0, 0)), mode="edge")
    np.testing.assert_array_equal(crop_square(frame, (-3, -3, 3, 3), 0), padded[:6, :6])
    np.testing.assert_array_equal(crop_square(frame, (7, 5, 13, 11), 0), padded[8:14, 10:16])


def test_the_largest_face_is_kept(monkeypatch):
    frame = BLANK.copy()
    frame[100:180, 200:280] = (250, 20, 30)
    small, large = (10.0, 10.0, 70.0, 70.0), (200.0, 100.0, 280.0, 180.0)
    result = _extract(monkeypatch, [frame, frame], [[small, large, small]], crop_size=40)
    assert result["n_frames"] == 2 and result["n_candidates"] == [3, 3]
    assert result["boxes"] == [list(large)] * 2
    np.testing.assert_allclose(result["scores"], 0.6)
    crop = _decode(result["crops"][0])
    assert crop.shape == (40, 40, 3)
    assert np.abs(crop.astype(int) - (250, 20, 30)).max() < 8


def test_frames_without_a_face_are_left_out(monkeypatch):
    box = (10.0, 10.0, 70.0, 70.0)
    result = _extract(monkeypatch, [BLANK] * 4, [[], [box], [], [box]])
    assert result["n_frames"] == 4
    assert result["frame_seconds"] == [0.1, 0.3]
    assert len(result["crops"]) == 2


def test_a_clip_without_any_face_is_absent(monkeypatch):
    result = _extract(monkeypatch, [BLANK] * 3, [[]])
    assert result == {"status": "absent", "reason": "no_face: no face found in 3 frames"}


def test_memory_does_not_follow_the_clip(monkeypatch):
    """At most one batch of frames is alive, however long the clip."""
    alive, most = 0, 0

    class Frame:
        shape = (480, 640, 3)

        def __init__(self):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    sizes = []
    for batch in batch_frames((i, Frame()) for i in range(100)):
        sizes.append(len(batch))
        del batch
    assert sizes == [8] * 12 + [4]
    assert most <= 16


def test_large_frames_come_one_by_one():
    assert [len(batch) for batch in batch_frames((i, np.zeros((2160, 3840, 3), np.uint8)) for i in range(3))] == [
        1,
        1,
        1,
    ]


def test_crops_of_a_real_portrait(tmp_path):
    """Half of the frames show the portrait; its crop is an eyes-and-mouth close-up, in the right colours."""
    video = _write_video(tmp_path / "clip.mp4", [_portrait()] * 4 + [BLANK] * 4)
    (result,) = FacesExtractor(FacesConfig(detector="haar", crop_size=96), CONTEXT).extract([_row(video)])
    assert result["n_frames"] == 8
    np.testing.assert_allclose(result["frame_seconds"], [0, 0.1, 0.2, 0.3], atol=1e-3)
    x0, y0, x1, y1 = result["boxes"][0]
    assert abs((x0 + x1) / 2 - 166) < 25 and abs((y0 + y1) / 2 - 117) < 30
    expected = cv2.resize(crop_square(_portrait(), (x0, y0, x1, y1), 0), (96, 96), interpolation=cv2.INTER_AREA)
    difference = np.abs(_decode(result["crops"][0]).astype(int) - expected.astype(int))
    assert difference.mean() < 6


def test_the_stretch_and_the_frame_rate_are_kept_to(tmp_path):
    video = _write_video(tmp_path / "clip.mp4", [_portrait()] * 20)
    (result,) = FacesExtractor(FacesConfig(detector="haar", fps=5), CONTEXT).extract([_row(video, 0.5, 1.5)])
    assert result["n_frames"] == 5
    np.testing.assert_allclose(result["frame_seconds"], [0.5, 0.7, 0.9, 1.1, 1.3], atol=1e-3)


def test_a_clip_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    video = _write_video(tmp_path / "clip.mp4", [_portrait()] * 3)
    results = FacesExtractor(FacesConfig(detector="haar"), CONTEXT).extract([_row(broken), _row(video)])
    assert results[0]["status"] == "failed" and "status" not in results[1]


def test_results_fit_the_table(monkeypatch):
    import pyarrow as pa

    result = _extract(monkeypatch, [BLANK], [[(1.5, 2.5, 80.0, 90.0)]])
    row = {"utterance_id": "test/clip", "key": "k", "status": "ok", **result}
    table = pa.Table.from_pylist([row], schema=schema.FACES)
    assert table.column("boxes").to_pylist() == [[[1.5, 2.5, 80.0, 90.0]]]
    assert set(result) == set(schema.FACES.names) - {"utterance_id", "key", "status", "reason"}


@pytest.mark.skipif(
    not {"EMOADAPT_MODELS", "EMOADAPT_DATA"} <= set(os.environ), reason="EMOADAPT_MODELS and EMOADAPT_DATA"
)
def test_mtcnn_and_yunet_agree_on_real_clips():
    clips = sorted((Path(os.environ["EMOADAPT_DATA"]) / "clips").glob("[bls][bsw]*.mp4"))
    boxes = {}
    for name in ("mtcnn", "yunet"):
        results = FacesExtractor(FacesConfig(detector=name, fps=1), CONTEXT).extract([_row(clip) for clip in clips])
        boxes[name] = np.concatenate([result["boxes"] for result in results])
    a, b = boxes["mtcnn"], boxes["yunet"]
    assert len(a) == len(b) >= 12
    common = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - common
    assert np.median(common / union) > 0.7
