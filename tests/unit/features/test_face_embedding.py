from pathlib import Path

import cv2
import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from skimage.data import astronaut

from emoadapt import schema
from emoadapt.config import FaceEmbeddingConfig, OnnxNetwork, UntrainedNetwork
from emoadapt.errors import DataError
from emoadapt.features.base import Context
from emoadapt.features.face_embedding import FaceEmbeddingExtractor


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
    assert pa.Table.from_pylist([row], schema=schema.FACE_EMBEDDING).column("n_frames").to_pylist() == [1]


def test_a_network_that_gives_no_number_sets_the_clip_aside(mean_colour):
    class Broken:
        def embed(self, images):
            return np.full((len(images), 3), np.nan, np.float32)

    mean_colour._network = Broken()
    (result,) = mean_colour.extract([{"crops": [_uniform(0, 0, 0)]}])
    assert result["status"] == "failed" and result["reason"].startswith("no_embedding:")


def test_a_damaged_table_is_a_sentence(mean_colour):
    with pytest.raises(DataError, match="a/b is not a JPEG"):
        mean_colour.extract([{"utterance_id": "a/b", "crops": [b"junk"]}])


def test_missing_network_stops_the_job():
    from emoadapt.errors import ModelError

    with pytest.raises(ModelError, match="enet_b2_8"):
        FaceEmbeddingExtractor(FaceEmbeddingConfig(), Context(Path("nowhere")))
