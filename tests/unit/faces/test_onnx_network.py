import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from skimage.data import astronaut

from emoadapt.errors import ModelError
from emoadapt.faces.network_settings import OnnxNetwork, UntrainedNetwork
from emoadapt.faces.onnx_network import build_untrained_network, load_network
from emoadapt.weights import registry
from emoadapt.weights.registry import WeightFile, Weights, hash_file

SIZE = 16
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def _save(
    path: Path, nodes, outputs, *, weights=(), channels=3, batch="batch", size=SIZE, kind=TensorProto.FLOAT
) -> Path:
    image = helper.make_tensor_value_info("image", kind, [batch, channels, size, size])
    values = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    graph = helper.make_graph(nodes, "test", [image], values, list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def _mean_graph(path: Path, **options) -> Path:
    """Mean over all places: the embedding is the mean of each channel as the network sees it."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0)]
    return _save(path, nodes, ["means"], **options)


def _declare(file: Path, output="means", colour="rgb", mean=MEAN, std=STD, size=SIZE) -> OnnxNetwork:
    return OnnxNetwork(file=str(file), input_size=size, colour=colour, mean=mean, std=std, output=output)


def _uniform(red: int, green: int, blue: int, size: int = SIZE) -> np.ndarray:
    return np.tile(np.array([red, green, blue], np.uint8), (size, size, 1))


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_colour_order_and_normalisation(tmp_path, colour):
    network = load_network(_declare(_mean_graph(tmp_path / "net.onnx"), colour=colour), tmp_path)
    order = [51, 102, 255] if colour == "rgb" else [255, 102, 51]
    expected = [(value / 255 - m) / s for value, m, s in zip(order, MEAN, STD, strict=True)]
    # 102 of 255 is the mean of green: what is left of it is rounding in single precision.
    np.testing.assert_allclose(network.embed([_uniform(51, 102, 255)]), [expected], rtol=1e-5, atol=5e-7)


def test_grey_is_luma(tmp_path):
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B = 104.188, of which OpenCV keeps 104."""
    declared = _declare(_mean_graph(tmp_path / "net.onnx", channels=1), colour="grey", mean=(0.5,), std=(0.5,))
    found = load_network(declared, tmp_path).embed([_uniform(51, 102, 255)])
    np.testing.assert_allclose(found, [[104 / 255 * 2 - 1]], rtol=1e-4)


def test_channels_come_before_rows_and_columns(tmp_path):
    """A graph that hands its input on as one vector."""
    file = _save(tmp_path / "net.onnx", [helper.make_node("Flatten", ["image"], ["flat"])], ["flat"])
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    found = load_network(_declare(file, "flat"), tmp_path).embed([image])
    expected = (image / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(found[0].reshape(3, SIZE, SIZE), expected.transpose(2, 0, 1), rtol=1e-4, atol=1e-5)


def test_shrinking_averages_pixels(tmp_path):
    """A fine chequerboard has the grey level 127.5; picking single pixels would give 0 or 255."""
    board = np.indices((SIZE * 4, SIZE * 4)).sum(0) % 2 * 255
    image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    file = _save(tmp_path / "net.onnx", [helper.make_node("Flatten", ["image"], ["flat"])], ["flat"])
    found = load_network(_declare(file, "flat", mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path).embed([image])
    np.testing.assert_allclose(found, 0.5, atol=0.5 / 255 + 1e-6)


def test_a_batch_keeps_its_order(tmp_path):
    network = load_network(_declare(_mean_graph(tmp_path / "net.onnx"), mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path)
    found = network.embed([_uniform(level, level, level, size) for level, size in [(10, SIZE), (200, 40), (90, 8)]])
    np.testing.assert_allclose(found, np.repeat([[10], [200], [90]], 3, axis=1) / 255, rtol=1e-5)


def test_a_network_for_single_images_takes_batches(tmp_path):
    network = load_network(
        _declare(_mean_graph(tmp_path / "net.onnx", batch=1), mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path
    )
    found = network.embed([_uniform(10, 10, 10), _uniform(200, 200, 200)])
    np.testing.assert_allclose(found[:, 0], [10 / 255, 200 / 255], rtol=1e-5)


@pytest.fixture
def classifier(tmp_path):
    """An EfficientNet in small: convolution, swish, pooling, classifier; only the classes are an output."""
    generator = np.random.default_rng(3)
    kernel = generator.normal(size=(5, 3, 1, 1)).astype(np.float32)
    classes = generator.normal(size=(5, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["/conv"]),
        helper.make_node("Sigmoid", ["/conv"], ["/gate"]),
        helper.make_node("Mul", ["/conv", "/gate"], ["/swish"]),
        helper.make_node("GlobalAveragePool", ["/swish"], ["/pool"]),
        helper.make_node("Flatten", ["/pool"], ["/flat"]),
        helper.make_node("MatMul", ["/flat", "classes"], ["output"]),
    ]
    weights = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(classes, "classes")]
    return _save(tmp_path / "effnet.onnx", nodes, ["output"], weights=weights), kernel


@pytest.mark.parametrize("output", ["/flat", "/pool"])
def test_a_tensor_inside_of_a_classifier_can_be_the_embedding(classifier, tmp_path, output):
    file, kernel = classifier
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    pixels = (image / 255 - np.array(MEAN)) / np.array(STD)
    x = pixels @ kernel[:, :, 0, 0].T
    expected = (x / (1 + np.exp(-x))).mean((0, 1))
    found = load_network(_declare(file, output), tmp_path).embed([image, image])
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-4)


def test_a_wrong_output_names_what_the_graph_has(classifier, tmp_path):
    with pytest.raises(ModelError, match=r"no tensor 'embedding'; its outputs are output, .*/pool, /flat"):
        load_network(_declare(classifier[0], "embedding"), tmp_path)


def test_an_output_that_is_no_vector_is_refused(classifier, tmp_path):
    network = load_network(_declare(classifier[0], "/swish"), tmp_path)
    with pytest.raises(ModelError, match=r"/swish has shape \(1, 5, 16, 16\)"):
        network.embed([_uniform(0, 0, 0)])


def test_another_input_names_what_the_graph_has(tmp_path):
    declared = {"colour": "grey", "mean": (0.5,), "std": (0.5,)}
    file = _mean_graph(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"input image tensor\(float\) \['batch', 3, 16, 16\]; declared is float"):
        load_network(_declare(file, **declared), tmp_path)


def _bare(file: Path, **keys) -> OnnxNetwork:
    return OnnxNetwork(file=str(file), output="means", **keys)


def test_the_side_is_the_file_s_own_where_none_is_declared(tmp_path):
    """Symptom: a network exported for 16 x 16 was run at 224 x 224, a default, and check passed."""
    network = load_network(_bare(_mean_graph(tmp_path / "net.onnx")), tmp_path)
    assert (network.side, network.change) == (SIZE, "")
    expected = (np.array([51, 102, 255]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(network.embed([_uniform(51, 102, 255, 40)]), [expected], rtol=1e-5, atol=1e-6)


def test_a_network_of_any_size_must_be_told_its_size(tmp_path):
    file = _mean_graph(tmp_path / "net.onnx", size=None)
    with pytest.raises(ModelError, match=r"net\.onnx is not fixed to square images of one size; set input_size"):
        load_network(_bare(file), tmp_path)
    assert load_network(_bare(file, input_size=24), tmp_path).side == 24


def test_a_network_of_one_channel_is_not_given_three(tmp_path):
    file = _mean_graph(tmp_path / "net.onnx", channels=1)
    with pytest.raises(
        ModelError, match=r"\['batch', 1, 16, 16\]; declared is float \(batch, 3, 16, 16\); set .*colour, mean"
    ):
        load_network(_bare(file), tmp_path)
    assert load_network(_bare(file, mean=(0.5,), std=(0.5,)), tmp_path).side == SIZE


def test_a_copy_of_a_registered_file_is_recognised_and_not_guessed(tmp_path, monkeypatch):
    file = _mean_graph(tmp_path / "copy.onnx")
    pinned = {"known/net.onnx": WeightFile(hash_file(file))}
    entry = Weights(
        "known", "face embedding", "s", "MIT", "BGR images", pinned, network={"colour": "bgr", "input_size": SIZE}
    )
    monkeypatch.setattr(registry, "list_weights", lambda: {"known": entry})
    with pytest.raises(
        ModelError,
        match=r"copy\.onnx is the registered known, whose input is: BGR images; .* declare colour, input_size",
    ):
        load_network(_bare(file), tmp_path)
    assert load_network(_bare(file, colour="rgb", input_size=SIZE), tmp_path).side == SIZE


def test_an_input_of_bytes_or_of_fixed_batches_is_refused(tmp_path):
    nodes = [helper.make_node("Identity", ["image"], ["same"])]
    for options in ({"kind": TensorProto.UINT8}, {"batch": 4}):
        file = _save(tmp_path / "net.onnx", nodes, ["same"], **options)
        with pytest.raises(ModelError, match="has input image"):
            load_network(_declare(file, "same"), tmp_path)


def test_a_file_that_is_no_network(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match=r"net\.onnx is not an ONNX model"):
        load_network(_declare(tmp_path / "net.onnx"), tmp_path)


def test_missing_enet_says_how_to_get_it(tmp_path):
    with pytest.raises(
        ModelError, match=rf"'enet_b2_8' are missing: there is no {tmp_path}/.*emoadapt models fetch enet_b2_8"
    ):
        load_network(OnnxNetwork(file="enet_b2_8", input_size=260), tmp_path)


@pytest.mark.parametrize(("size", "n", "at_once"), [(16, 5, 5), (130, 9, 4), (260, 3, 1), (300, 2, 1)])
def test_a_cpu_is_given_no_more_pixels_than_one_image_of_the_paper_has(tmp_path, size, n, at_once):
    """Parts of a batch are put together again in their order; 260 x 260 pixels are four images of 130 x 130."""
    network = load_network(
        _declare(_mean_graph(tmp_path / "net.onnx", size=size), size=size, mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path
    )
    given, session = [], network._session

    class Watched:
        def run(self, outputs, inputs):
            given.append(len(inputs["image"]))
            return session.run(outputs, inputs)

    network._session = Watched()
    found = network.embed([_uniform(20 * i, 20 * i, 20 * i, size) for i in range(n)])
    np.testing.assert_allclose(found[:, 0], np.arange(n) * 20 / 255, rtol=1e-4)
    assert sum(given) == n and max(given) == at_once


DIMENSION, CLASSES = 1408, 8


def _classifier_graph(path: Path, ending: str, kernel: np.ndarray, classes: np.ndarray) -> Path:
    """An EfficientNet-B2 of eight classes from its last convolution on, exported in one of several ways."""
    bias = np.linspace(-1, 1, CLASSES, dtype=np.float32)
    weights = {"kernel": kernel, "classes": classes, "rows": np.ascontiguousarray(classes.T), "bias": bias}
    weights |= {"rate": np.array(0.3, np.float32), "eighth": np.array(1 / 8, np.float32)}
    node = helper.make_node
    gemm = node("Gemm", ["last", "rows", "bias"], ["logits"], transB=1)
    linear = {
        "gemm": [node("Identity", ["flat"], ["last"]), gemm],
        "dropout": [node("Dropout", ["flat", "rate"], ["last"]), gemm],
        "matmul": [node("Identity", ["flat"], ["last"]), node("MatMul", ["last", "classes"], ["logits"])],
        "matmul_add": [
            node("Dropout", ["flat", "rate"], ["last"]),
            node("MatMul", ["last", "classes"], ["product"]),
            node("Add", ["bias", "product"], ["logits"]),
        ],
        "constant": [
            node("Identity", ["flat"], ["last"]),
            node("Constant", [], ["held"], value=numpy_helper.from_array(classes)),
            node("MatMul", ["last", "held"], ["logits"]),
        ],
    }
    name, *after = ending.split("+")
    tails = {
        "softmax": lambda x, y: node("Softmax", [x], [y], axis=1),
        "identity": lambda x, y: node("Identity", [x], [y]),
        "temperature": lambda x, y: node("Mul", [x, "eighth"], [y]),
    }
    nodes = [
        node("Conv", ["image", "kernel"], ["conv"]),
        node("Sigmoid", ["conv"], ["gate"]),
        node("Mul", ["conv", "gate"], ["swish"]),
        node("GlobalAveragePool", ["swish"], ["pool"]),
        node("Flatten", ["pool"], ["flat"]),
        *linear[name],
    ]
    last = "logits"
    for i, tail in enumerate(after):
        nodes.append(tails[tail](last, f"tail{i}"))
        last = f"tail{i}"
    used = {name for each in nodes for name in each.input}
    held = [numpy_helper.from_array(value, name) for name, value in weights.items() if name in used]
    return _save(path, nodes, [last], weights=held)


@pytest.mark.parametrize(
    "ending",
    [
        "gemm", "dropout", "matmul", "matmul_add", "constant", "gemm+softmax", "matmul_add+softmax", "dropout+identity+softmax",
        "matmul_add+temperature+softmax",
    ],
)  # fmt: skip
def test_what_goes_into_the_classifier_is_the_embedding(tmp_path, ending):
    """The 1,408-D mean of swish(W x) over all places, worked out by numpy, in whichever way the classifier was exported."""
    generator = np.random.default_rng(5)
    kernel = generator.normal(size=(DIMENSION, 3, 1, 1)).astype(np.float32)
    classes = generator.normal(size=(DIMENSION, CLASSES)).astype(np.float32)
    file = _classifier_graph(tmp_path / "net.onnx", ending, kernel, classes)
    image = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    x = ((image / 255 - np.array(MEAN)) / np.array(STD)) @ kernel[:, :, 0, 0].T
    found = load_network(_declare(file, None), tmp_path).embed([image, image])
    assert found.shape == (2, DIMENSION)
    np.testing.assert_allclose(found, [(x / (1 + np.exp(-x))).mean((0, 1))] * 2, rtol=1e-4, atol=1e-5)


def test_of_two_linear_layers_the_last_is_the_classifier(tmp_path):
    """Flatten, 12 hidden units, ReLU, classes: the embedding is what ReLU gives."""
    generator = np.random.default_rng(6)
    hidden = generator.normal(size=(3 * SIZE * SIZE, 12)).astype(np.float32)
    classes = generator.normal(size=(12, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "hidden"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["relu"]),
        helper.make_node("MatMul", ["relu", "classes"], ["logits"]),
    ]
    weights = [numpy_helper.from_array(hidden, "hidden"), numpy_helper.from_array(classes, "classes")]
    file = _save(tmp_path / "net.onnx", nodes, ["logits"], weights=weights)
    image = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    flat = ((image / 255 - np.array(MEAN)) / np.array(STD)).transpose(2, 0, 1).reshape(-1)
    found = load_network(_declare(file, None), tmp_path).embed([image])
    np.testing.assert_allclose(found[0], np.maximum(flat @ hidden, 0), rtol=1e-3, atol=1e-3)


def _pooled(*nodes):
    return [
        helper.make_node("GlobalAveragePool", ["image"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        *nodes,
    ]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param(_pooled(), ["flat"], id="no linear layer"),
        pytest.param(_pooled(helper.make_node("MatMul", ["flat", "w"], ["a"])), ["a", "flat"], id="two outputs"),
        pytest.param(
            _pooled(
                helper.make_node("MatMul", ["flat", "w"], ["a"]),
                helper.make_node("MatMul", ["flat", "w"], ["b"]),
                helper.make_node("Add", ["a", "b"], ["sum"]),
            ),
            ["sum"],
            id="two linear layers side by side",
        ),
        pytest.param(
            _pooled(
                helper.make_node("MatMul", ["flat", "w"], ["weights"]),
                helper.make_node("MatMul", ["flat", "weights"], ["product"]),
            ),
            ["product"],
            id="a product of two computed tensors",
        ),
        pytest.param([helper.make_node("MatMul", ["image", "w"], ["a"])], ["a"], id="the image itself"),
    ],
)
def test_a_network_that_does_not_end_in_a_classifier_asks_for_the_name(tmp_path, nodes, outputs):
    weights = [numpy_helper.from_array(np.ones((3, 3), np.float32), "w")]
    file = _save(tmp_path / "net.onnx", nodes, outputs, weights=weights)
    message = rf"net\.onnx does not end in one linear layer; its outputs are {', '.join(outputs)}, .*set `output`"
    with pytest.raises(ModelError, match=message):
        load_network(_declare(file, None), tmp_path)


def test_untrained_network_is_a_valid_graph_of_the_dimension():
    config = UntrainedNetwork(untrained="tiny_cnn", dimension=24, input_size=48)
    model = onnx.load_from_string(build_untrained_network(config))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": np.zeros((2, 3, 48, 48), np.float32)})
    assert output.shape == (2, 24) and not output.any()


def test_untrained_network_is_its_seed():
    first, again, other = (
        build_untrained_network(UntrainedNetwork(untrained="tiny_cnn", seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_untrained_network_keeps_the_scale_of_its_input(tmp_path):
    """Kaiming weights keep the second moment through each ReLU layer; pooled noise must not vanish or explode."""
    network = load_network(UntrainedNetwork(untrained="tiny_cnn"), tmp_path)
    portrait = astronaut()
    views = network.embed([portrait[60:170, 170:280], portrait[200:400, 100:300], portrait[:100, 400:]])
    assert 0.05 < np.sqrt((views**2).mean()) < 10
    spread = np.linalg.norm(views - views.mean(0), axis=1)
    assert (spread > 0.1 * np.linalg.norm(views.mean(0))).all()


@pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
def test_real_network_gives_the_embedding_that_its_probabilities_come_from():
    """mini-Xception, declared as in weights.toml, calls a smiling portrait happy (class 3)."""
    declared = {
        "file": "mini_xception/mini_xception_fer2013.onnx", "input_size": 64, "colour": "grey", "mean": (0.5,), "std": (0.5,),
    }  # fmt: skip
    folder = Path(os.environ["EMOADAPT_MODELS"])
    face = astronaut()[60:175, 167:282]
    probabilities = load_network(OnnxNetwork(**declared, output="probabilities"), folder).embed([face])
    assert probabilities.argmax() == 3 and probabilities.sum() == pytest.approx(1, abs=1e-4)
    embedding = load_network(OnnxNetwork(**declared, output="embedding"), folder).embed([face, face])
    assert embedding.shape == (2, 128)
    np.testing.assert_allclose(embedding[0], embedding[1], rtol=1e-4, atol=1e-5)
