import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch.nn import functional

from emoadapt import media
from emoadapt.detectors.base import Face
from emoadapt.detectors.mtcnn import (
    Level,
    MtcnnDetector,
    ONet,
    PNet,
    RNet,
    Window,
    average_boxes,
    clip_boxes,
    list_levels,
    list_near_windows,
    make_square,
    shift,
    shrink,
    suppress,
    suppress_nested,
)
from emoadapt.errors import ModelError

needs_weights = pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
needs_clips = pytest.mark.skipif("EMOADAPT_DATA" not in os.environ, reason="EMOADAPT_DATA is not set")

LAYOUT = {
    "pnet": {
        "conv1": (10, 3, 3, 3), "prelu1": 10, "conv2": (16, 10, 3, 3), "prelu2": 16, "conv3": (32, 16, 3, 3), "prelu3": 32,
        "conv4_1": (2, 32, 1, 1), "conv4_2": (4, 32, 1, 1),
    },
    "rnet": {
        "conv1": (28, 3, 3, 3), "prelu1": 28, "conv2": (48, 28, 3, 3), "prelu2": 48, "conv3": (64, 48, 2, 2), "prelu3": 64,
        "dense4": (128, 576), "prelu4": 128, "dense5_1": (2, 128), "dense5_2": (4, 128),
    },
    "onet": {
        "conv1": (32, 3, 3, 3), "prelu1": 32, "conv2": (64, 32, 3, 3), "prelu2": 64, "conv3": (64, 64, 3, 3), "prelu3": 64,
        "conv4": (128, 64, 2, 2), "prelu4": 128, "dense5": (256, 1152), "prelu5": 256, "dense6_1": (2, 256),
        "dense6_2": (4, 256), "dense6_3": (10, 256),
    },
}  # fmt: skip
"""Shapes of facenet-pytorch's state dicts."""


@pytest.fixture
def made_up(tmp_path):
    """A folder of random state dicts of that layout."""
    generator = torch.Generator().manual_seed(0)
    for name, layers in LAYOUT.items():
        state = {}
        for layer, shape in layers.items():
            sizes = (shape,) if isinstance(shape, int) else shape
            state[f"{layer}.weight"] = 0.2 * torch.randn(sizes, generator=generator)
            if len(sizes) > 1:
                state[f"{layer}.bias"] = torch.zeros(sizes[0])
        torch.save(state, tmp_path / f"{name}.pt")
    return tmp_path


def test_state_dicts_of_the_published_layout_load(made_up):
    detector = MtcnnDetector(made_up)
    state = torch.load(made_up / "rnet.pt", weights_only=True)
    torch.testing.assert_close(detector._rnet.dense4.weight, state["dense4.weight"])
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for faces in detector.detect([noise, noise]):
        assert all(len(face.box) == 4 and 0.7 < face.score <= 1 for face in faces)


def test_detection_does_not_depend_on_the_batch(made_up):
    detector = MtcnnDetector(made_up, min_score=0.0)
    generator = np.random.default_rng(1)
    frames = [generator.integers(0, 256, size, dtype=np.uint8) for size in [(50, 60, 3), (50, 60, 3), (70, 40, 3)]]
    alone = [detector.detect([frame])[0] for frame in frames]
    assert any(alone)
    assert detector.detect([]) == []
    for one, together in zip(alone, detector.detect(frames), strict=True):
        np.testing.assert_allclose([f.box for f in one], [f.box for f in together], atol=1e-2, rtol=1e-5)


def test_a_frame_smaller_than_the_smallest_face_has_none(made_up):
    assert MtcnnDetector(made_up).detect([np.zeros((19, 200, 3), np.uint8)]) == [[]]


def test_a_file_of_another_network_is_a_sentence(made_up):
    (made_up / "pnet.pt").write_bytes((made_up / "rnet.pt").read_bytes())
    with pytest.raises(ModelError, match=r"pnet\.pt is not MTCNN's PNet"):
        MtcnnDetector(made_up)
    (made_up / "pnet.pt").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"pnet\.pt is not MTCNN's PNet"):
        MtcnnDetector(made_up)
    (made_up / "pnet.pt").unlink()
    with pytest.raises(ModelError, match=r"pnet\.pt, which is missing"):
        MtcnnDetector(made_up)


@pytest.mark.parametrize(
    ("network", "size", "cells"), [(PNet(), 12, (1, 1)), (PNet(), 24, (7, 7)), (RNet(), 24, ()), (ONet(), 48, ())]
)
def test_networks_have_the_papers_receptive_fields(network, size, cells):
    scores, shifts = network(torch.zeros(2, 3, size, size))
    assert scores.shape == (2, *cells) and shifts.shape == (2, *cells, 4)


def test_dense_layers_read_width_height_channels():
    """Only the input column of (x=2, y=1, channel 5) is set: 2 * 3 * 64 + 1 * 64 + 5."""
    network = RNet()
    with torch.no_grad():
        network.dense4.weight.zero_()[0, 2 * 3 * 64 + 1 * 64 + 5] = 1
        network.dense4.bias.zero_()
    seen = {}
    network.prelu3.register_forward_hook(lambda *args: seen.update(maps=args[2]))
    network.dense4.register_forward_hook(lambda *args: seen.update(dense=args[2]))
    network(torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(seen["dense"][:, 0], seen["maps"][:, 5, 1, 2])


def test_pyramid_from_the_smallest_face_to_the_frame():
    """40 pixels: 12/20 = 0.6 gives 24 px, times 0.709 17.0, 12.06; the next, 8.6, is smaller than P-Net's cell."""
    levels = list_levels(40, 100, 20)
    np.testing.assert_allclose([level.scale for level in levels], [0.6, 0.4254, 0.3016086])
    assert [(level.height, level.width) for level in levels] == [(25, 61), (18, 43), (13, 31)]
    np.testing.assert_allclose([level.cell for level in levels], [20, 28.2087, 39.7866], rtol=1e-5)
    assert list_levels(19, 100, 20) == []


def test_min_face_is_what_the_first_cell_sees():
    for min_face in (12, 20, 57, 200):
        levels = list_levels(480, 640, min_face)
        assert levels[0].cell == pytest.approx(min_face) and 480 * 0.709 < levels[-1].cell <= 480
        assert all(a.cell < b.cell for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 14), (15, 16), (17, 90), (61, 43), (64, 37)])
def test_cells_of_a_level_are_those_that_pnet_gives(height, width):
    with torch.no_grad():
        scores, _ = PNet()(torch.zeros(1, 3, height, width))
    assert Level(0.6, height, width).whole == Window(0, scores.shape[1], 0, scores.shape[2])


def _integrate(frames: np.ndarray) -> torch.Tensor:
    """Integral images of frames (n, h, w, 3), by numpy: a row and a column of zeros, then cumulative sums."""
    return torch.from_numpy(np.pad(frames.astype(np.int64), ((0, 0), (1, 0), (1, 0), (0, 0))).cumsum(1).cumsum(2)).int()


def _pool(frame: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """(h, w, 3) uint8 -> (3, *size) as facenet-pytorch resizes and normalises."""
    planes = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))).double()
    return ((functional.adaptive_avg_pool2d(planes, size) - 127.5) * 0.0078125).float()


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_opencv_integrates_frames_as_numpy_does():
    frame = np.full((90, 110, 3), 255, np.uint8)
    assert np.array_equal(cv2.integral(frame), _integrate(frame[None])[0].numpy())


def test_a_shrunk_frame_is_adaptive_average_pooling():
    """Levels from enlargement, which every frame with faces below twelve pixels needs, to a tenth."""
    frames = _noise(2, 90, 110, 3)
    for height, width in [(13, 17), (55, 67), (90, 110), (121, 147)]:
        level = Level(height / 90, height, width)
        found = shrink(_integrate(frames), level, level.whole)
        seen_rows, seen_columns = found.shape[2:]
        # P-Net's pooling drops nothing, but its last cell may end a pixel before the level does.
        assert height - seen_rows in (0, 1) and width - seen_columns in (0, 1)
        for frame, planes in zip(frames, found, strict=True):
            expected = _pool(frame, (height, width))[:, :seen_rows, :seen_columns]
            torch.testing.assert_close(planes, expected, rtol=0, atol=1e-5)


def test_pnet_gives_the_same_in_a_window_as_in_the_whole():
    generator = torch.Generator().manual_seed(0)
    network = PNet()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    integrals, level = _integrate(_noise(2, 77, 96, 3)), Level(0.6, 47, 58)
    with torch.no_grad():
        whole = network(shrink(integrals, level, level.whole))
        rows, columns = level.whole.bottom, level.whole.right
        for window in [Window(0, 1, 0, 1), Window(3, 9, 5, 20), Window(rows - 2, rows, columns - 1, columns)]:
            part = network(shrink(integrals, level, window))
            for mine, all_cells in zip(part, whole, strict=True):
                expected = all_cells[:, window.top : window.bottom, window.left : window.right]
                torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_average_boxes_is_adaptive_average_pooling():
    """Of one crop after the other, from two frames; crops smaller than the cells, and down to one pixel, too."""
    pictures = _noise(2, 90, 110, 3)
    boxes = np.array([[0, 0, 110, 90], [10, 20, 17, 29], [5, 5, 77, 77], [109, 89, 110, 90], [0, 30, 110, 31]])
    frames = np.array([0, 1, 1, 0, 1])
    for size in (24, 48):
        averaged = average_boxes(_integrate(pictures), frames, boxes, size)
        assert averaged.shape == (5, 3, size, size) and averaged.dtype == torch.float32
        for frame, (x0, y0, x1, y1), found in zip(frames, boxes, averaged, strict=True):
            expected = _pool(pictures[frame, y0:y1, x0:x1], (size, size))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_near_windows_hold_the_known_faces_and_nothing_far_off():
    """At each level that is looked at, cells centred on the face are in the window, and the window is a small part."""
    levels = list_levels(480, 640, 20)
    face = Face((200.0, 120.0, 280.0, 220.0), 0.99)
    looks = list_near_windows(levels, [face])
    cells = [level.cell for level, _ in looks]
    assert {level for level in levels if 60 <= level.cell <= 140} <= {level for level, _ in looks}
    assert min(cells) >= 30 and max(cells) <= 180
    for level, window in looks:
        # Middles, in pixels of the frame, of what the first and the last cell of the window see.
        first = np.array([2 * window.left + 6.5, 2 * window.top + 6.5]) / level.scale
        last = np.array([2 * (window.right - 1) + 6.5, 2 * (window.bottom - 1) + 6.5]) / level.scale
        assert (first <= (240, 170)).all() and (last >= (240, 170)).all()
        assert (last - first <= 2 * 0.9 * 100 + 4 / level.scale).all()
        whole = level.whole
        assert 0 <= window.top < window.bottom <= whole.bottom and 0 <= window.left < window.right <= whole.right


def test_near_windows_stay_inside_of_the_frame():
    levels = list_levels(100, 100, 20)
    beyond = [Face((500.0, 500.0, 560.0, 560.0), 0.9), Face((-400.0, 20.0, -340.0, 80.0), 0.9)]
    assert list_near_windows(levels, beyond) == []
    at_the_border = list_near_windows(levels, [Face((-20.0, -20.0, 40.0, 40.0), 0.9)])
    assert at_the_border and all(window.top == window.left == 0 for _, window in at_the_border)
    at_the_end = list_near_windows(levels, [Face((60.0, 60.0, 120.0, 120.0), 0.9)])
    assert at_the_end
    for level, window in at_the_end:
        assert (window.bottom, window.right) == (level.whole.bottom, level.whole.right)
    assert list_near_windows(levels, []) == []


def test_clip_boxes_counts_from_one_and_includes_the_last():
    boxes = np.array([[1.9, 2.0, 10.7, 20.2], [-5.0, -3.0, 200.0, 200.0]])
    assert clip_boxes(boxes, 100, 120).tolist() == [[0, 1, 10, 20], [0, 0, 120, 100]]


def test_suppress_by_union_and_by_smaller_box():
    """Boxes 0 and 1 share 50 of 150 (1/3); box 2 lies in box 0: 25 of 100 (union), 25 of 25 (smaller)."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 5, 5], [50, 50, 60, 60]], np.float64)
    scores = np.array([0.7, 0.9, 0.8, 0.6])
    assert suppress(cv2, boxes, scores, 0.34).tolist() == [1, 2, 0, 3]
    assert suppress(cv2, boxes, scores, 0.33).tolist() == [1, 2, 3]
    assert suppress_nested(boxes, scores, 0.7).tolist() == [1, 2, 3]
    for nothing in (
        suppress(cv2, np.empty((0, 4)), np.empty(0), 0.5),
        suppress_nested(np.empty((0, 4)), np.empty(0), 0.5),
    ):
        assert nothing.tolist() == [] and nothing.dtype == np.int64


def _suppress_by_definition(boxes: np.ndarray, scores: np.ndarray, threshold: float, smaller: bool) -> list[int]:
    """Best first, a box is kept unless it shares more than the threshold with one that is kept already."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for j in kept:
            width = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            height = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            common = max(width, 0) * max(height, 0)
            areas = [(boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1]) for k in (i, j)]
            if common > threshold * (min(areas) if smaller else sum(areas) - common):
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("n", [1, 2, 40, 300])
def test_suppress_is_greedy_suppression_by_definition(n, threshold):
    """Crowded boxes with distinct scores, some over the border."""
    generator = np.random.default_rng(n)
    corners = generator.uniform(-20, 80, (n, 2))
    boxes = np.hstack([corners, corners + generator.uniform(10, 60, (n, 2))])
    scores = generator.permutation(np.linspace(0.6, 1, n, dtype=np.float32)).astype(np.float64)
    assert suppress(cv2, boxes, scores, threshold).tolist() == _suppress_by_definition(boxes, scores, threshold, False)
    assert suppress_nested(boxes, scores, threshold).tolist() == _suppress_by_definition(boxes, scores, threshold, True)


def test_shift_and_square():
    boxes = np.array([[10.0, 20.0, 30.0, 60.0]])
    moved = shift(boxes, np.array([[0.1, -0.1, 0.0, 0.5]]), boxes[:, 2:] - boxes[:, :2])
    assert moved.tolist() == [[12.0, 16.0, 30.0, 80.0]]
    assert make_square(boxes).tolist() == [[0.0, 20.0, 40.0, 60.0]]


def test_candidates_are_judged_the_same_in_parts(made_up, monkeypatch):
    """What P-Net proposes goes through R-Net and O-Net all at once or three at a time."""
    judged = []
    detector = MtcnnDetector(made_up, min_score=0.0)
    detector._rnet.register_forward_hook(lambda module, inputs, output: judged.append(len(inputs[0])))
    noise = _noise(100, 120, 3, seed=4)
    (together,) = detector.detect([noise])
    assert together and sum(judged) > 3
    in_all = sum(judged)
    judged.clear()
    monkeypatch.setattr("emoadapt.detectors.mtcnn.JUDGED_AT_ONCE", 3)
    (in_parts,) = detector.detect([noise])
    assert sum(judged) == in_all and max(judged) == 3
    # Random weights move boxes by many of their sides.
    np.testing.assert_allclose([f.box for f in in_parts], [f.box for f in together], rtol=1e-5, atol=1e-2)


@needs_weights
def test_boxes_are_those_of_facenet_pytorch():
    """Reference: facenet-pytorch 2.6.0, `detect_face(portrait, 20, ..., [.6, .7, .7], .709)`."""
    (faces,) = MtcnnDetector(Path(os.environ["EMOADAPT_MODELS"]) / "mtcnn").detect([astronaut()])
    reference = [(181.0514, 62.1561, 267.7473, 172.0502, 0.9999977)]
    assert len(faces) == len(reference)
    for face, (*box, score) in zip(faces, reference, strict=True):
        np.testing.assert_allclose(face.box, box, atol=0.05)
        assert face.score == pytest.approx(score, abs=1e-4)


def _detector(**options) -> MtcnnDetector:
    return MtcnnDetector(Path(os.environ["EMOADAPT_MODELS"]) / "mtcnn", **options)


def _clip(name: str, n: int) -> list[np.ndarray]:
    frames = media.iterate_frames(Path(os.environ["EMOADAPT_DATA"]) / "clips" / name)
    return [frame for _, frame in itertools.islice(frames, n)]


@needs_weights
def test_real_faces_do_not_depend_on_the_batch():
    """The portrait moved about, upside down, twice as small, and a frame without any face: together as one by one."""
    detector, portrait = _detector(), astronaut()
    frames = [portrait, np.roll(portrait, 40, 1), np.full_like(portrait, 90), portrait[::-1].copy(), portrait[::2, ::2]]
    together = detector.detect(frames)
    assert len(together[0]) == len(together[1]) == len(together[4]) == 1 and together[2] == []
    for frame, faces in zip(frames, together, strict=True):
        (alone,) = detector.detect([frame])
        assert len(alone) == len(faces)
        for one, other in zip(alone, faces, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=1e-2)
            assert one.score == pytest.approx(other.score, abs=1e-4)


@needs_weights
def test_looking_near_a_face_finds_it_where_looking_everywhere_does():
    """The known face is where it was 15 pixels ago, and 8 % smaller; far from it nothing is found."""
    detector, portrait = _detector(), astronaut()
    ((face,),) = detector.detect([portrait])
    x0, y0, x1, y1 = face.box
    before = Face((x0 + 15, y0 - 10, x0 + 15 + 0.92 * (x1 - x0), y0 - 10 + 0.92 * (y1 - y0)), 0.99)
    (found,) = detector.detect_near(portrait, [before])
    np.testing.assert_allclose(found.box, face.box, atol=1e-2)
    # Two windows upon each other find it once.
    assert len(detector.detect_near(portrait, [before, face])) == 1
    assert detector.detect_near(portrait, [Face((400.0, 350.0, 480.0, 450.0), 0.99)]) == []
    assert detector.detect_near(portrait, []) == []


@needs_weights
@needs_clips
@pytest.mark.parametrize("name", ["bbaf2n.mp4", "sample_00000694.mp4"])
def test_near_search_gives_the_same_boxes_on_a_real_clip(name):
    """Each frame is searched near the faces of the frame before; the one that is kept gets the box of a full search."""
    detector = _detector()
    frames = _clip(name, 9)
    full = [max(faces, key=lambda face: face.area) for faces in detector.detect(frames)]
    for before, frame, expected in zip(full, frames[1:], full[1:], strict=False):
        found = max(detector.detect_near(frame, [before]), key=expected.overlap)
        np.testing.assert_allclose(found.box, expected.box, atol=0.05)
        assert found.score == pytest.approx(expected.score, abs=1e-3)


@needs_weights
@needs_clips
def test_a_larger_smallest_face_leaves_the_boxes_of_large_faces():
    """The talker's face is about 100 pixels high in frames of 288."""
    frames = _clip("bbaf2n.mp4", 2)
    usual, larger = (
        [max(faces, key=lambda face: face.area) for faces in _detector(min_face=side).detect(frames)]
        for side in (20, 40)
    )
    for one, other in zip(usual, larger, strict=True):
        assert one.overlap(other) > 0.9
    assert _detector(min_face=280).detect(frames) == [[], []]
