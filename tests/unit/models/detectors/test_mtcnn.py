import os
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch.nn import functional

from emoadapt.errors import ModelError
from emoadapt.models.detectors.mtcnn import (
    MtcnnDetector,
    ONet,
    PNet,
    RNet,
    average_boxes,
    clip_boxes,
    integrate,
    list_scales,
    make_square,
    shift,
    suppress,
)

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
    for one, together in zip(alone, detector.detect(frames), strict=True):
        np.testing.assert_allclose([f.box for f in one], [f.box for f in together], atol=1e-2)


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
    with pytest.raises(ModelError, match=r"pnet\.pt, which is not there"):
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
    np.testing.assert_allclose(list_scales(40, 100, 20), [0.6, 0.4254, 0.3016086])
    assert list_scales(19, 100, 20) == []


def test_average_boxes_is_adaptive_average_pooling():
    generator = np.random.default_rng(0)
    frame = torch.from_numpy(generator.integers(0, 256, (3, 90, 110), dtype=np.uint8))
    boxes = np.array([[0, 0, 110, 90], [10, 20, 17, 29], [5, 5, 77, 77], [109, 89, 110, 90]])
    averaged = average_boxes(integrate(frame), boxes, 24)
    for (x0, y0, x1, y1), found in zip(boxes, averaged, strict=True):
        torch.testing.assert_close(found, functional.adaptive_avg_pool2d(frame[:, y0:y1, x0:x1].float(), 24))


def test_clip_boxes_counts_from_one_and_includes_the_last():
    boxes = np.array([[1.9, 2.0, 10.7, 20.2], [-5.0, -3.0, 200.0, 200.0]])
    assert clip_boxes(boxes, 100, 120).tolist() == [[0, 1, 10, 20], [0, 0, 120, 100]]


def test_suppress_by_union_and_by_smaller_box():
    """Boxes 0 and 1 share 50 of 150 (1/3); box 2 lies in box 0: 25 of 100 (union), 25 of 25 (smaller)."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 5, 5], [50, 50, 60, 60]], np.float64)
    scores = np.array([0.7, 0.9, 0.8, 0.6])
    assert suppress(boxes, scores, 0.34).tolist() == [1, 2, 0, 3]
    assert suppress(boxes, scores, 0.33).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.7, smaller=True).tolist() == [1, 2, 3]
    assert suppress(np.empty((0, 4)), np.empty(0), 0.5).tolist() == []


def test_shift_and_square():
    boxes = np.array([[10.0, 20.0, 30.0, 60.0]])
    moved = shift(boxes, np.array([[0.1, -0.1, 0.0, 0.5]]), boxes[:, 2:] - boxes[:, :2])
    assert moved.tolist() == [[12.0, 16.0, 30.0, 80.0]]
    assert make_square(boxes).tolist() == [[0.0, 20.0, 40.0, 60.0]]


@pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
def test_boxes_are_those_of_facenet_pytorch():
    """Reference: facenet-pytorch 2.6.0, `detect_face(portrait, 20, ..., [.6, .7, .7], .709)`."""
    (faces,) = MtcnnDetector(Path(os.environ["EMOADAPT_MODELS"]) / "mtcnn").detect([astronaut()])
    reference = [(181.0514, 62.1561, 267.7473, 172.0502, 0.9999977)]
    assert len(faces) == len(reference)
    for face, (*box, score) in zip(faces, reference, strict=True):
        np.testing.assert_allclose(face.box, box, atol=0.05)
        assert face.score == pytest.approx(score, abs=1e-4)
