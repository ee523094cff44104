"""Networks exported for one size of images, run at another: against the torch modules that they come from."""

from __future__ import annotations

import logging
import math
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from emoadapt.errors import ModelError
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.faces.onnx_network import load_network

EXPORTED = 260
B2 = [(3, 1), (3, 2), (5, 2), (3, 2), (5, 1), (5, 2), (3, 1)]
"""Kernel and stride of the depth-wise convolutions of EfficientNet-B2's seven stages."""


class SameConv(nn.Conv2d):
    """TensorFlow's padding `SAME`, computed from the size of each input, as in timm's `tf_efficientnet` models."""

    def forward(self, maps: Tensor) -> Tensor:
        pads: list[int] = []
        for n, k, s in zip(maps.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(n / s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return nn.functional.conv2d(
            nn.functional.pad(maps, pads), self.weight, self.bias, self.stride, 0, 1, self.groups
        )


class FixedConv(nn.Conv2d):
    """PyTorch's own padding, the same at every size."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, **options: object) -> None:
        super().__init__(n_in, n_out, kernel, stride, padding=kernel // 2, **options)


class Block(nn.Module):
    """Inverted bottleneck with squeeze-and-excitation."""

    def __init__(self, conv: type[nn.Conv2d], width: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = 2 * width
        self.expand, self.norm = nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner)
        self.deep = conv(inner, inner, kernel, stride, groups=inner)
        self.squeeze, self.excite = nn.Conv2d(inner, 4, 1), nn.Conv2d(4, inner, 1)
        self.project, self.residual = nn.Conv2d(inner, width, 1), stride == 1

    def forward(self, maps: Tensor) -> Tensor:
        inner = nn.functional.silu(self.deep(nn.functional.silu(self.norm(self.expand(maps)))))
        gate = self.excite(nn.functional.silu(self.squeeze(inner.mean((2, 3), keepdim=True))))
        out = self.project(inner * torch.sigmoid(gate))
        return maps + out if self.residual else out


class EfficientNet(nn.Module):
    """The stages of an EfficientNet-B2, one narrow block each, and a classifier."""

    def __init__(self, conv: type[nn.Conv2d], pool: nn.Module | None = None, inputs: int = 24) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, 2)
        self.blocks = nn.Sequential(*[Block(conv, 8, *shape) for shape in B2])
        self.head, self.pool = nn.Conv2d(8, 24, 1), pool or nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, 8)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def embed(self, images: Tensor) -> Tensor:
        maps = self.head(self.blocks(nn.functional.silu(self.stem(images))))
        return self.pool(nn.functional.silu(maps)).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.embed(images))


def build(conv: type[nn.Conv2d], **options: object) -> EfficientNet:
    torch.manual_seed(0)
    return EfficientNet(conv, **options).eval()


def export(network: nn.Module, path: Path, exporter: str, side: int = EXPORTED) -> Path:
    """With a fixed input of one image of `side` x `side`."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    own = {"dynamo": True, "external_data": False, "verbose": False} if exporter == "dynamo" else {"dynamo": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = torch.zeros(1, 3, side, side)
        torch.onnx.export(network, (images,), path, input_names=["image"], output_names=["classes"], **own)
    return path


def load(file: Path, side: int, **options: object):
    return load_network(OnnxNetwork(file=str(file), input_size=side, **options), file.parent)


def draw(side: int) -> list[np.ndarray]:
    return list(np.random.default_rng(side).integers(0, 256, (2, side, side, 3), dtype=np.uint8))


@pytest.fixture(scope="module", params=["same", "fixed"])
def network(request: pytest.FixtureRequest) -> EfficientNet:
    return build({"same": SameConv, "fixed": FixedConv}[request.param])


@pytest.fixture(scope="module", params=["legacy", "dynamo"])
def file(request: pytest.FixtureRequest, network: EfficientNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(network, tmp_path_factory.mktemp("onnx") / "b2.onnx", request.param)


@pytest.mark.parametrize("side", [260, 224, 300, 257, 97])
def test_the_embedding_is_that_of_torch_at_the_same_size(network: EfficientNet, file: Path, side: int) -> None:
    found = load(file, side)
    images = draw(side)
    with torch.no_grad():
        expected = network.embed(torch.from_numpy(found.prepare(images))).numpy()
    np.testing.assert_allclose(found.embed(images), expected, rtol=1e-4, atol=1e-5)


def test_padding_of_the_exported_size_would_shift_the_image() -> None:
    """That the test above can see padding: at 224, three of B2's seven strided convolutions have another one than at 260."""
    same, images = build(SameConv), torch.from_numpy(np.stack(draw(224)).transpose(0, 3, 1, 2) / 255).float()
    frozen = build(FixedConv)
    frozen.load_state_dict(same.state_dict())
    with torch.no_grad():
        expected, shifted = same.embed(images), frozen.embed(images)
    assert float((expected - shifted).abs().max()) > 100 * 1e-5


def test_the_log_and_the_network_say_that_it_was_resized(
    file: Path, network: EfficientNet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert load(file, EXPORTED).change == ""
    assert not caplog.records
    change = f"{file} was exported for images of 260 x 260 and is run at 224 x 224"
    if isinstance(network.stem, SameConv):
        change += "; 3 layers have the padding SAME of that size instead of the exported one"
    assert load(file, 224).change == change
    assert [record.getMessage() for record in caplog.records] == [change]


def test_a_pooling_of_parts_is_refused(tmp_path: Path) -> None:
    """Exported as an average over windows of 4 x 4, whose number depends on the size."""
    network = build(FixedConv, pool=nn.AdaptiveAvgPool2d(2), inputs=96)
    file = export(network, tmp_path / "net.onnx", "legacy", side=256)
    with pytest.raises(
        ModelError, match=r"exported for images of 256 x 256 .* \(AveragePool\) has a fixed window of 4 x 4"
    ):
        load(file, 224)


def _save(path: Path, *nodes: onnx.NodeProto, side: int = EXPORTED, **weights: np.ndarray) -> Path:
    """A graph from `image` to `out`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, side, side])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "test", [image], [out], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _strided(kernel: int = 3, **options: object) -> tuple[onnx.NodeProto, np.ndarray]:
    weights = np.random.default_rng(0).standard_normal((4, 3, kernel, kernel)).astype(np.float32)
    return helper.make_node("Conv", ["image", "kernel"], ["map"], strides=[4, 4], **options), weights


_POOL = helper.make_node("GlobalAveragePool", ["map"], ["out"])
FIXED = {
    "window over all places": ([helper.make_node("AveragePool", ["map"], ["out"], kernel_shape=[65, 65])], r"fixed window of 65 x 65"),
    "shape": ([helper.make_node("Reshape", ["map", "shape"], ["flat"]), helper.make_node("ReduceMean", ["flat"], ["out"], axes=[2], keepdims=0)], r"\(Reshape\) depends on the size|fixed shape"),
    "sum": ([helper.make_node("ReduceSum", ["map", "places"], ["sum"]), helper.make_node("Div", ["sum", "number"], ["out"])], r"\(ReduceSum\) depends on the size"),
    "places": ([helper.make_node("Add", ["map", "embedded"], ["placed"]), helper.make_node("GlobalAveragePool", ["placed"], ["out"])], r"fixed shape"),
    "size": ([helper.make_node("Resize", ["map", "", "", "sizes"], ["large"]), helper.make_node("GlobalAveragePool", ["large"], ["out"])], r"\(Resize\)"),
    "crop": ([helper.make_node("Slice", ["map", "begin", "end", "rows"], ["part"]), helper.make_node("GlobalAveragePool", ["part"], ["out"])], r"\(Slice\)"),
    "vector": ([helper.make_node("Flatten", ["map"], ["out"])], r"\(Flatten\) depends on the size"),
    "map": ([helper.make_node("Relu", ["map"], ["out"])], r"the embedding out would have the shape \(1, 4, 56, 56\) instead of"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_to_the_size_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    nodes, message = FIXED[name]
    strided, kernel = _strided(4)
    weights = {
        "shape": np.array([-1, 4, 65 * 65]), "places": np.array([2, 3]), "number": np.array(65.0**2, np.float32),
        "embedded": np.ones((1, 4, 65, 65), np.float32), "sizes": np.array([1, 4, 130, 130]), "begin": np.array([0]),
        "end": np.array([60]), "rows": np.array([2]),
    }  # fmt: skip
    used = {name for node in nodes for name in node.input}
    held = {name: value for name, value in weights.items() if name in used}
    file = _save(tmp_path / "net.onnx", strided, *nodes, kernel=kernel, **held)
    assert load(file, EXPORTED, output="out")
    with pytest.raises(
        ModelError,
        match=rf"net\.onnx was exported for images of 260 x 260 and cannot .*{message}.*set input_size to 260",
    ):
        load(file, 224, output="out")


def test_padding_that_may_be_either_is_refused(tmp_path: Path) -> None:
    """(1, 1) pads 257 pixels for kernel 3 and stride 4 as `SAME` would, and as a fixed number would; 260 tells them apart."""
    strided, kernel = _strided(3, pads=[1, 1, 1, 1])
    file = _save(tmp_path / "net.onnx", strided, _POOL, side=257, kernel=kernel)
    with pytest.raises(
        ModelError, match=r"padding of map \(Conv\) is that of 257 x 257, or a fixed one; the graph does not tell"
    ):
        load(file, 224, output="out")
    assert load(_save(tmp_path / "net.onnx", strided, _POOL, side=260, kernel=kernel), 224, output="out")


def test_padding_that_a_graph_computes_itself_stays(tmp_path: Path) -> None:
    strided, kernel = _strided(5, auto_pad="SAME_UPPER")
    file = _save(tmp_path / "net.onnx", strided, _POOL, side=260, kernel=kernel)
    found, images = load(file, 225, output="out"), draw(225)
    maps = nn.functional.pad(torch.from_numpy(found.prepare(images)), (2, 2, 2, 2))
    expected = nn.functional.conv2d(maps, torch.from_numpy(kernel), stride=4).mean((2, 3))
    np.testing.assert_allclose(found.embed(images), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
@pytest.mark.parametrize("side", [48, 80, 96])
def test_a_real_network_finds_the_same_class_at_another_size(side: int) -> None:
    """mini-Xception, exported for 64 x 64, whose padding is hidden in chains of nodes before its pooling layers."""
    from skimage.data import astronaut

    file = Path(os.environ["EMOADAPT_MODELS"], "mini_xception", "mini_xception_fer2013.onnx")
    found = load(file, side, colour="grey", mean=(0.5,), std=(0.5,), output="probabilities")
    probabilities = found.embed([astronaut()[60:175, 167:282]])[0]
    assert probabilities.argmax() == 3 and probabilities.sum() == pytest.approx(1, abs=1e-4)
