import os
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from emoadapt import media, schema
from emoadapt.detectors.base import Face
from emoadapt.errors import ClipError
from emoadapt.faces import cropping as module
from emoadapt.faces.cropping import FacesExtractor, crop_square
from emoadapt.faces.tracking import NOTED_AREA, NOTED_SHARE
from emoadapt.features.base import Context
from emoadapt.features.faces import Config as FacesConfig

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
    """Finds what the test says, frame by frame and then from the beginning; the frames' places are asked for by identity."""

    def __init__(self, frames: list[np.ndarray], boxes: list[list[tuple[float, float, float, float]]]) -> None:
        self.boxes = {id(frame): boxes[i % len(boxes)] for i, frame in enumerate(frames)}

    def detect(self, frames):
        return [[Face(box, 0.5 + 0.1 * i) for i, box in enumerate(self.boxes[id(frame)])] for frame in frames]

    def detect_near(self, frame, known):
        return self.detect([frame])[0]

    def close(self):
        pass


def _extract(monkeypatch, frames, boxes, context=CONTEXT, **options):
    """Result of an extractor whose frames, ten a second, and detections are given."""
    frames = [frame.copy() for frame in frames]
    monkeypatch.setattr(module, "load_detector", lambda *args: FakeDetector(frames, boxes))
    monkeypatch.setattr(media, "iterate_frames", lambda *args: ((i / 10, frame) for i, frame in enumerate(frames)))
    (result,) = FacesExtractor(FacesConfig(**options), context).extract([_row(Path("clip.mp4"))])
    return result


def _square(x: float, y: float, side: float) -> tuple[float, float, float, float]:
    """A box about a middle."""
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _at_work() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


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
    small, large, third = (10.0, 10.0, 70.0, 70.0), (200.0, 100.0, 280.0, 180.0), (100.0, 20.0, 130.0, 50.0)
    result = _extract(monkeypatch, [frame, frame], [[small, large, third]], crop_size=40)
    assert result["n_frames"] == 2 and result["n_candidates"] == [3, 3]
    assert result["boxes"] == [list(large)] * 2
    np.testing.assert_allclose(result["scores"], 0.6)
    assert result["detected"] == [True, True]
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


def test_one_face_in_one_frame(monkeypatch):
    """A clip is not set aside for a face that is seen but once."""
    box = (10.0, 10.0, 70.0, 70.0)
    result = _extract(monkeypatch, [BLANK] * 9, [[box] if i == 4 else [] for i in range(9)])
    assert result["n_frames"] == 9 and result["frame_seconds"] == [0.4] and result["boxes"] == [list(box)]
    assert len(result["crops"]) == 1 and result["reason"] is None
    assert "status" not in result


def _painted(n: int, places: list[tuple[float, float]], side: int = 100) -> list[np.ndarray]:
    """Frames with squares about these places, whose colours tell the place (red) and the frame (green)."""
    frames = []
    for number in range(n):
        frame = BLANK.copy()
        for i, (x, y) in enumerate(places):
            frame[int(y) - side // 2 : int(y) + side // 2, int(x) - side // 2 : int(x) + side // 2] = (
                80 * i + 40,
                8 * number,
                0,
            )
        frames.append(frame)
    return frames


def _shown(result: dict) -> list[tuple[int, int]]:
    """Place and frame of each crop, told by its colour."""
    means = [_decode(crop).mean((0, 1)) for crop in result["crops"]]
    return [(round((red - 40) / 80), round(green / 8)) for red, green, _ in means]


PLACES = [(60.0, 100.0), (240.0, 100.0)]


def _cross(n: int) -> list[list[tuple[float, float, float, float]]]:
    """The left face grows from 44 to 90 pixels, the right one shrinks from 80 to 40: left leads in area, but late."""
    steps = np.linspace(0, 1, n)
    return [[_square(*PLACES[0], 44 + 46 * t), _square(*PLACES[1], 80 - 40 * t)] for t in steps]


def test_a_person_is_kept_when_two_faces_cross_in_size(monkeypatch):
    """And their crops are all there, though another person led until late: those frames are decoded once more."""
    decoded = []
    boxes, frames = _cross(20), _painted(20, PLACES)
    monkeypatch.setattr(module, "load_detector", lambda *args: FakeDetector(frames, boxes))

    def iterate(*args):
        decoded.append(args)
        yield from ((i / 10, frame) for i, frame in enumerate(frames))

    monkeypatch.setattr(media, "iterate_frames", iterate)
    row = _row(Path("clip.mp4"), 1.0, 3.0)
    (result,) = FacesExtractor(FacesConfig(crop_size=32, crop_format="png"), CONTEXT).extract([row])
    np.testing.assert_allclose(result["boxes"], [left for left, _ in boxes])
    assert _shown(result) == [(0, number) for number in range(20)]
    assert result["n_candidates"] == [2] * 20 and not _at_work()
    # The same stretch of the same file, at the same rate.
    assert len(decoded) == 2 and decoded[0] == decoded[1] and decoded[0][1:3] == (1.0, 3.0)


def test_the_largest_of_each_frame_whosever_it_is(monkeypatch):
    boxes = _cross(20)
    result = _extract(monkeypatch, _painted(20, PLACES), boxes, several="largest", crop_size=32, crop_format="png")
    larger = [0 if left[2] - left[0] > right[2] - right[0] else 1 for left, right in boxes]
    assert larger[0] == 1 and larger[-1] == 0
    np.testing.assert_allclose(result["boxes"], [pair[i] for pair, i in zip(boxes, larger, strict=True)])
    assert _shown(result) == [(i, number) for number, i in enumerate(larger)]


def test_one_person_is_decoded_once(monkeypatch):
    """Nobody else leads: no second decoding. Beside them somebody smaller comes and goes."""
    calls = []
    frames = _painted(20, PLACES)
    boxes = [[_square(*PLACES[0], 80)] + ([_square(*PLACES[1], 50)] if i % 4 else []) for i in range(20)]
    monkeypatch.setattr(module, "load_detector", lambda *args: FakeDetector(frames, boxes))

    def iterate(*args):
        calls.append(args)
        yield from ((i / 10, frame) for i, frame in enumerate(frames))

    monkeypatch.setattr(media, "iterate_frames", iterate)
    (result,) = FacesExtractor(FacesConfig(crop_size=32), CONTEXT).extract([_row(Path("clip.mp4"))])
    assert len(result["crops"]) == 20 and len(calls) == 1


def test_crops_follow_a_face_that_changes_its_size(monkeypatch):
    """A chequerboard of 8 x 8 squares that comes nearer fills its crop in all frames; PNG shows it to the pixel."""
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8)[..., None] * np.uint8(255)
    frames, boxes = [], []
    for number, side in enumerate((64, 96, 128, 160)):
        frame = BLANK.copy()
        x, y = 20 + 10 * number, 10 + 5 * number
        frame[y : y + side, x : x + side] = cv2.resize(board, (side, side), interpolation=cv2.INTER_NEAREST)[..., None]
        frames.append(frame)
        boxes.append([(float(x), float(y), float(x + side), float(y + side))])
    result = _extract(monkeypatch, frames, boxes, crop_size=64, crop_format="png")
    assert len(result["crops"]) == 4
    crops = [_decode(crop).astype(int) for crop in result["crops"]]
    np.testing.assert_array_equal(crops[0], np.repeat(board, 3, 2))
    for crop in crops[1:]:
        middles = crop.reshape(8, 8, 8, 8, 3)[:, 3:5, :, 3:5].mean((1, 3, 4))
        np.testing.assert_allclose(middles, board[::8, ::8, 0], atol=1)


def test_crops_between_detections_are_of_the_frames_between(monkeypatch):
    """Detected on frames 0, 3, 6 and 7; the crops and times are those of every frame."""
    frames = _painted(8, PLACES[:1])
    result = _extract(monkeypatch, frames, [[_square(*PLACES[0], 80)]], detect_every=3, crop_size=32, crop_format="png")
    assert result["detected"] == [True, False, False, True, False, False, True, True]
    assert _shown(result) == [(0, number) for number in range(8)]
    assert result["frame_seconds"] == pytest.approx([i / 10 for i in range(8)])
    np.testing.assert_allclose(result["boxes"], [_square(*PLACES[0], 80)] * 8)


@pytest.mark.parametrize(
    ("side", "n_others", "noted"),
    [(60, 20, True), (60, 2, True), (60, 1, False), (50, 20, True), (48, 20, False), (60, 0, False)],
)
def test_a_clip_is_noted_where_another_face_is_seen_often_and_large(monkeypatch, side, n_others, noted):
    """From a tenth of 20 frames on, and from a quarter of the area of 100 x 100 on."""
    assert (NOTED_SHARE, NOTED_AREA) == (0.1, 0.25)
    boxes = [[_square(*PLACES[0], 100)] + ([_square(*PLACES[1], side)] if i < n_others else []) for i in range(20)]
    result = _extract(monkeypatch, [BLANK] * 20, boxes, crop_size=32)
    note = f"several_faces: others than the one kept in {n_others} of 20 frames with a face"
    assert result["reason"] == (note if noted else None)
    assert "status" not in result and len(result["crops"]) == 20


def test_a_note_counts_the_frames_with_a_face(monkeypatch):
    """One of ten frames with a face, of 100 in all; and the frames in which only another one is seen count."""
    here, there = _square(*PLACES[0], 100), _square(*PLACES[1], 60)
    boxes = [[here] if i < 9 else [there] if i == 9 else [] for i in range(100)]
    result = _extract(monkeypatch, [BLANK] * 100, boxes, crop_size=32)
    assert result["reason"] == "several_faces: others than the one kept in 1 of 10 frames with a face"
    assert len(result["boxes"]) == 9 and result["n_frames"] == 100


def test_largest_of_each_frame_is_noted_as_well(monkeypatch):
    result = _extract(monkeypatch, [BLANK] * 20, _cross(20), several="largest", crop_size=32)
    assert result["reason"].startswith("several_faces: others than the one kept in ")


def test_near_search_gives_the_same_faces(monkeypatch):
    frames, boxes = _painted(20, PLACES), _cross(20)
    full = _extract(monkeypatch, frames, boxes, crop_size=32)
    assert _extract(monkeypatch, frames, boxes, crop_size=32, search="near") == full


def test_memory_does_not_follow_the_clip(monkeypatch):
    """Alive are three batches of eight, in use, ready and in the making, and the few frames that are decoded ahead."""
    alive, most, lock = 0, 0, threading.Lock()

    class Frame:
        shape = (480, 640, 3)

        def __init__(self):
            nonlocal alive, most
            with lock:
                alive += 1
                most = max(most, alive)

        def __del__(self):
            nonlocal alive
            with lock:
                alive -= 1

    class Blind:
        def detect(self, frames):
            return [[] for _ in frames]

    monkeypatch.setattr(module, "load_detector", lambda *args: Blind())
    monkeypatch.setattr(media, "iterate_frames", lambda *args: ((i / 10, Frame()) for i in range(1000)))
    (result,) = FacesExtractor(FacesConfig(), CONTEXT).extract([_row(Path("clip.mp4"))])
    assert result["reason"] == "no_face: no face found in 1000 frames"
    assert 8 < most <= 4 * 8 + 8


def test_each_batch_is_a_sign_of_life(monkeypatch):
    """20 frames of 256 x 320 are one batch of 30; with larger ones there are more."""
    beats = []
    context = Context(CONTEXT.models_dir, beat=lambda: beats.append(1))
    _extract(monkeypatch, [BLANK] * 70, [[_square(100, 100, 60)]], context, crop_size=32)
    assert len(beats) == 3


def test_a_clip_that_breaks_off_is_set_aside_and_leaves_no_thread(monkeypatch):
    frames = [BLANK] * 50

    def iterate(*args):
        yield from ((i / 10, frame) for i, frame in enumerate(frames))
        raise ClipError("truncated", "clip.mp4 ends early")

    monkeypatch.setattr(module, "load_detector", lambda *args: FakeDetector([BLANK], [[_square(100, 100, 60)]]))
    monkeypatch.setattr(media, "iterate_frames", iterate)
    (result,) = FacesExtractor(FacesConfig(crop_size=32), CONTEXT).extract([_row(Path("clip.mp4"))])
    assert result == {"status": "failed", "reason": "truncated: clip.mp4 ends early"}
    assert not _at_work()


def test_a_detector_that_fails_stops_the_decoder(monkeypatch):
    """What the detector says is no clip's fault, and neither thread outlives it, though the clip goes on for long."""
    closed, given = threading.Event(), []

    class Broken:
        def detect(self, frames):
            raise RuntimeError("out of memory")

    def iterate(*args):
        try:
            for number in range(100_000):
                given.append(number)
                yield number / 10, BLANK
        finally:
            closed.set()

    monkeypatch.setattr(module, "load_detector", lambda *args: Broken())
    monkeypatch.setattr(media, "iterate_frames", iterate)
    extractor = FacesExtractor(FacesConfig(), CONTEXT)
    with pytest.raises(RuntimeError, match="out of memory"):
        extractor.extract([_row(Path("clip.mp4"))])
    assert closed.is_set() and not _at_work()
    # A batch is 30 of these frames, and the decoder is a few ahead.
    assert len(given) < 50


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
    table = pa.Table.from_pylist([row], schema=schema.feature_table("faces"))
    assert table.column("boxes").to_pylist() == [[[1.5, 2.5, 80.0, 90.0]]]
    assert set(result) == set(schema.feature_table("faces").names) - {"utterance_id", "key", "status"}


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
