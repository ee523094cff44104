import threading
from pathlib import Path

import cv2
import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from skimage.data import astronaut

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.faces.embedding import FaceEmbeddingExtractor
from emoadapt.faces.network_settings import OnnxNetwork, UntrainedNetwork
from emoadapt.features.base import Context
from emoadapt.features.face_embedding import Config as FaceEmbeddingConfig


@pytest.fixture
def mean_colour(tmp_path):
    """Extractor whose embedding is the crop's mean colour: red, green, blue in 0 to 1."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 16, 16])
    output = helper.make_tensor_value_info("means", TensorProto.FLOAT, ["batch", 3])
    node = helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "mean", [image], [output])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "mean.onnx"
    )
    network = OnnxNetwork(file="mean.onnx", input_size=16, mean=(0.0,) * 3, std=(1.0,) * 3, output="means")
    return FaceEmbeddingExtractor(FaceEmbeddingConfig(network=network, batch_size=2), Context(tmp_path))


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _uniform(*colour: int) -> bytes:
    return _jpeg(np.tile(np.array(colour, np.uint8), (32, 32, 1)))


def test_embedding_is_the_mean_over_frames(mean_colour):
    """Clips of 3 and 1 crops in batches of 2: the second batch holds crops of both."""
    rows = [
        {"crops": [_uniform(255, 0, 0), _uniform(0, 255, 0), _uniform(0, 0, 255)]},
        {"crops": [_uniform(200, 100, 50)]},
    ]
    first, second = mean_colour.extract(rows)
    np.testing.assert_allclose(first["face_embedding"], [1 / 3] * 3, atol=0.01)
    np.testing.assert_allclose(second["face_embedding"], [200 / 255, 100 / 255, 50 / 255], atol=0.01)
    assert (first["n_frames"], second["n_frames"]) == (3, 1)


def test_a_clip_is_embedded_the_same_alone_and_among_others(tmp_path):
    network = UntrainedNetwork(untrained="tiny_cnn", dimension=16)
    extractor = FaceEmbeddingExtractor(FaceEmbeddingConfig(network=network, batch_size=3), Context(tmp_path))
    portrait = astronaut()
    rows = [{"crops": [_jpeg(portrait[i : i + 100, i : i + 100]) for i in range(j, 60, 20)]} for j in (0, 10, 30)]
    together = extractor.extract(rows)
    for row, result in zip(rows, together, strict=True):
        (alone,) = extractor.extract([row])
        np.testing.assert_allclose(alone["face_embedding"], result["face_embedding"], rtol=1e-4, atol=1e-6)


def test_results_fit_the_table(mean_colour):
    (result,) = mean_colour.extract([{"crops": [_uniform(0, 0, 0)]}])
    row = {"utterance_id": "a/b", "key": "k", "status": "ok", **result}
    assert pa.Table.from_pylist([row], schema=schema.feature_table("face_embedding")).column(
        "n_frames"
    ).to_pylist() == [1]


def test_a_network_that_gives_no_number_sets_the_clip_aside(mean_colour):
    class Broken:
        """Gives no number for black pictures."""

        def prepare(self, images):
            return np.stack([image.mean((0, 1)) for image in images])

        def run(self, batch):
            return np.where(batch.any(1, keepdims=True), batch, np.nan).astype(np.float32)

    mean_colour._network = Broken()
    black, white = _uniform(0, 0, 0), _uniform(255, 255, 255)
    broken, whole = mean_colour.extract([{"crops": [white, black, white]}, {"crops": [white]}])
    assert broken["status"] == "failed" and broken["reason"].startswith("no_embedding:")
    assert "status" not in whole and whole["face_embedding"] == [255.0] * 3


def test_a_clip_without_crops_is_set_aside_among_others(mean_colour):
    nobody, somebody = mean_colour.extract([{"crops": []}, {"crops": [_uniform(255, 255, 255)]}])
    assert nobody["status"] == "failed" and "0 face(s)" in nobody["reason"]
    np.testing.assert_allclose(somebody["face_embedding"], 1.0, atol=0.01)
    assert mean_colour.extract([]) == []


def test_crops_that_lost_nothing_are_read_as_they_are(mean_colour):
    """PNG crops of random pixels, 16 x 16 as the network wants them: the mean of their pixels to the last digit."""
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    (result,) = mean_colour.extract([{"crops": [_png(image) for image in images]}])
    np.testing.assert_allclose(result["face_embedding"], images.mean((0, 1, 2)) / 255, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_each_clip_gets_the_mean_of_its_own_crops_in_any_batches(mean_colour, batch_size):
    """Clips of 0 to 9 crops whose levels are known."""
    mean_colour._batch_size = batch_size
    generator = np.random.default_rng(1)
    levels = [generator.integers(0, 256, (n, 3)) for n in (4, 1, 0, 9, 2, 7)]
    rows = [{"crops": [_png(np.full((16, 16, 3), level, np.uint8)) for level in clip]} for clip in levels]
    for clip, result in zip(levels, mean_colour.extract(rows), strict=True):
        if len(clip):
            np.testing.assert_allclose(result["face_embedding"], clip.mean(0) / 255, rtol=1e-6)
            assert result["n_frames"] == len(clip)
        else:
            assert result["status"] == "failed"


def test_each_batch_is_a_sign_of_life(tmp_path):
    """Five crops in batches of two."""
    beats = []
    network = UntrainedNetwork(untrained="tiny_cnn", dimension=8)
    context = Context(tmp_path, beat=lambda: beats.append(1))
    FaceEmbeddingExtractor(FaceEmbeddingConfig(network=network, batch_size=2), context).extract(
        [{"crops": [_uniform(1, 2, 3)] * 3}, {"crops": [_uniform(4, 5, 6)] * 2}]
    )
    assert len(beats) == 3


def test_a_damaged_table_is_a_sentence(mean_colour):
    """The picture that is none lies in a later batch, and the thread that reads pictures ends."""
    rows = [{"utterance_id": "a/a", "crops": [_uniform(0, 0, 0)] * 4}, {"utterance_id": "a/b", "crops": [b"junk"]}]
    with pytest.raises(DataError, match="face crop of a/b is no picture"):
        mean_colour.extract(rows)
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_missing_network_stops_the_job():
    from emoadapt.errors import ModelError

    with pytest.raises(ModelError, match="enet_b2_8"):
        FaceEmbeddingExtractor(FaceEmbeddingConfig(), Context(Path("nowhere")))
