"""Embedding networks in ONNX format, and a small untrained network."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt.errors import ModelError
from emoadapt.faces.network_settings import OnnxNetwork, UntrainedNetwork
from emoadapt.faces.opencv import load_opencv, resize
from emoadapt.faces.resizing import find_fixed_side, resize_network
from emoadapt.weights.registry import find_entry_of, resolve

logger = logging.getLogger(__name__)

UNTRAINED_CHANNELS = (16, 32, 64)
"""Of the convolutions of `build_untrained_network`; each halves the side."""
CPU_PIXELS = 260 * 260
"""Pixels of the input that a CPU is given at once: beyond one large image the caches miss, and batches cost more than they save."""


class EmbeddingNetwork:
    """An ONNX network from square images to one vector each.

    Args:
        graph: the ONNX model, serialised.
        origin: where it comes from, for error messages.
        declared: input size (None: the graph's own), colour order, mean and standard deviation, name of the output; its
            `file` is not read.
        device: `cpu`, or `cuda` to use a GPU where onnxruntime finds one.
        threads: threads of onnxruntime.

    Raises:
        ModelError: the graph has no such output or another input than declared, is fixed to another size of images, takes
            any size where none is declared, or cannot be read.

    Attributes:
        side: of the square input, in pixels.
        change: what was changed in a graph that was exported for another size of images; empty if nothing was.
    """

    def __init__(self, graph: bytes, origin: str, declared: OnnxNetwork, device: str = "cpu", threads: int = 1) -> None:
        self._cv2 = load_opencv(threads)
        self._declared = declared
        self._origin = origin
        graph, self._output = _expose_output(graph, origin, declared.output)
        graph, self.side, self.change = _fit_input(graph, origin, self._output, declared.input_size)
        self._session = _open_session(graph, origin, device, threads)
        self._input, one_by_one = _check_input(self._session, origin, declared, self.side)
        self._at_once: int | None = None
        if one_by_one:
            self._at_once = 1
        elif self._session.get_providers()[0] == "CPUExecutionProvider":
            self._at_once = max(1, CPU_PIXELS // self.side**2)

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Embed a batch.

        Args:
            images: (H, W, 3) uint8 RGB each, of any size; resized to the network's input.

        Returns:
            (n_images, dimension) float32.

        Raises:
            ModelError: the output is not one vector per image.
        """
        return self.run(self.prepare(images))

    def prepare(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The input for a batch of images, (n_images, channels, size, size) float32."""
        square = np.stack([resize(self._cv2, image, self.side) for image in images])
        if self._declared.read_colour() == "grey":
            square = np.stack([self._cv2.cvtColor(image, self._cv2.COLOR_RGB2GRAY)[:, :, None] for image in square])
        elif self._declared.read_colour() == "bgr":
            square = square[..., ::-1]
        mean, std = (np.array(values, np.float32) for values in self._declared.read_statistics())
        planes = np.ascontiguousarray(square.transpose(0, 3, 1, 2)).astype(np.float32)
        planes *= (1 / (255 * std))[:, None, None]
        planes -= (mean / std)[:, None, None]
        return planes

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Embed what `prepare` made; see `embed`."""
        step = self._at_once or max(len(batch), 1)
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]
        output = np.concatenate([self._session.run([self._output], {self._input: part})[0] for part in parts])
        # Pooling layers leave axes of length one behind the channels.
        if output.ndim < 2 or len(output) != len(batch) or math.prod(output.shape[2:]) != 1:
            raise ModelError(
                f"{self._origin}: output {self._output} has shape {output.shape} for {len(batch)} image(s), "
                "not one vector each; set `output` to the name of the tensor before the classifier"
            )
        return output.reshape(len(batch), -1).astype(np.float32, copy=False)


def load_network(
    config: OnnxNetwork | UntrainedNetwork, models_dir: Path, device: str = "cpu", threads: int = 1
) -> EmbeddingNetwork:
    """Load a configured network.

    Raises:
        ModelError: the file is missing, is not as declared, or is a registered one of which too little is declared.
    """
    if isinstance(config, UntrainedNetwork):
        declared = OnnxNetwork(
            file="", input_size=config.input_size, colour="rgb", mean=(0.5,) * 3, std=(0.25,) * 3, output="embedding"
        )
        return EmbeddingNetwork(build_untrained_network(config), "the untrained network", declared, device, threads)
    file = resolve(config.file, models_dir)
    _refuse_guesses(config, file)
    return EmbeddingNetwork(file.read_bytes(), str(file), config, device, threads)


def _refuse_guesses(config: OnnxNetwork, file: Path) -> None:
    """Refuse to guess the input of a registered file that is named by another path.

    Raises:
        ModelError: the registry knows an input that is not declared.
    """
    entry = find_entry_of(file)
    unknown = [key for key in entry.network if getattr(config, key) is None] if entry else []
    if entry and unknown:
        raise ModelError(
            f"{file} is the registered {entry.name}, whose input is: {entry.input}; name it by `file: {entry.name}`, or declare "
            f"{', '.join(unknown)}"
        )


def build_untrained_network(config: UntrainedNetwork) -> bytes:
    """A convolutional network with seeded random weights, serialised ONNX.

    Strided 3 x 3 convolutions with ReLU, mean over all places, one linear layer. Kaiming initialisation (He et al., 2015)
    keeps the activations' scale from layer to layer; with smaller weights all images would end in the same vector.

    Args:
        config: seed, dimension of the embedding, side of the input.

    Returns:
        A graph with input `image` (batch, 3, size, size) and output `embedding` (batch, dimension).
    """
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(config.seed)
    nodes, weights, last, inputs = [], [], "image", 3
    for layer, channels in enumerate(UNTRAINED_CHANNELS):
        kernel = generator.normal(0, math.sqrt(2 / (inputs * 9)), (channels, inputs, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{layer}"))
        nodes += [
            helper.make_node("Conv", [last, f"kernel{layer}"], [f"conv{layer}"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]),
        ]
        last, inputs = f"relu{layer}", channels
    linear = generator.normal(0, math.sqrt(1 / inputs), (inputs, config.dimension)).astype(np.float32)
    weights.append(numpy_helper.from_array(linear, "linear"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "linear"], ["embedding"]),
    ]
    size = config.input_size
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, size, size])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", config.dimension])
    graph = helper.make_graph(nodes, "untrained", [image], [embedding], weights)
    # An old operator set, so that every onnxruntime since 2020 reads it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString(deterministic=True)


def _expose_output(graph: bytes, origin: str, output: str | None) -> tuple[bytes, str]:
    """The model with the embedding among its outputs, and its name: exported classifiers keep their embedding inside."""
    import onnx

    try:
        model = onnx.load_from_string(graph)
    except Exception:
        raise ModelError(f"{origin} is not an ONNX model; name an .onnx file") from None
    _refuse_external(model, origin)
    outputs = [value.name for value in model.graph.output]
    inside = [name for node in model.graph.node for name in node.output if name]
    if output is None:
        output = _find_classifier_input(model.graph)
        if output is None:
            raise ModelError(
                f"{origin} does not end in one linear layer; its outputs are {', '.join(outputs)}, and its last tensors "
                f"inside {', '.join(inside[-6:])}; set `output` to the embedding's name"
            )
    if output in outputs:
        return graph, output
    if output not in inside:
        raise ModelError(
            f"{origin} has no tensor {output!r}; its outputs are {', '.join(outputs)}, and its last tensors inside "
            f"{', '.join(inside[-6:])}; set `output` to the embedding's name"
        )
    model.graph.output.append(onnx.ValueInfoProto(name=output))
    return model.SerializeToString(), output


def _refuse_external(model: Any, origin: str) -> None:
    """Refuse weights outside of the file: it could name any file of this machine.

    Raises:
        ModelError: the model names another file.
    """
    from onnx import TensorProto

    waiting = [model]
    while waiting:
        message = waiting.pop()
        if isinstance(message, TensorProto) and message.data_location == TensorProto.EXTERNAL:
            names = {entry.key: entry.value for entry in message.external_data}
            raise ModelError(
                f"{origin} takes its weights {message.name} from another file ({names.get('location')}), which is not read; "
                "save the model with all its weights in one file"
            )
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else value


def _fit_input(graph: bytes, origin: str, output: str, side: int | None) -> tuple[bytes, int, str]:
    """The model for images of the declared size, the size, and what was changed for it; see `emoadapt.faces.resizing`."""
    import onnx

    model = onnx.load_from_string(graph)
    fixed = find_fixed_side(model)
    side = side or fixed
    if side is None:
        raise ModelError(
            f"{origin} is not fixed to square images of one size; set input_size to the side in pixels that it was trained with"
        )
    if fixed in (None, side):
        return graph, side, ""
    resized = resize_network(model, origin, output, side)
    change = f"{origin} was exported for images of {resized.side} x {resized.side} and is run at {side} x {side}"
    if resized.padded:
        change += f"; {resized.padded} layers have the padding SAME of that size instead of the exported one"
    logger.info(change)
    return resized.model.SerializeToString(), side, change


def _find_classifier_input(graph: Any) -> str | None:
    """What enters the last linear layer (`Gemm`, or `MatMul` with or without `Add`) before the graph's only output.

    Between the two lie at most operations on one computed tensor, such as a bias or a softmax. None = it ends otherwise.
    """
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    makers = {name: node for node in graph.node for name in node.output}
    if len(graph.output) != 1:
        return None
    node = makers.get(graph.output[0].name)
    while node is not None:
        computed = [name for name in node.input if name and name not in constants]
        if len(computed) != 1:
            return None
        if node.op_type in ("Gemm", "MatMul"):
            # The image itself is no embedding.
            return computed[0] if computed[0] in makers else None
        node = makers.get(computed[0])
    return None


def _open_session(graph: bytes, origin: str, device: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait for work would otherwise use up the time of other jobs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # onnxruntime does not look into the folders where pip puts CUDA; this does.
        onnxruntime.preload_dlls()
        providers.insert(0, "CUDAExecutionProvider")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:
        # onnxruntime raises classes of its extension module without a public common one.
        raise ModelError(f"{origin} cannot be run by onnxruntime {onnxruntime.__version__}: {error}") from None


def _check_input(session: Any, origin: str, declared: OnnxNetwork, side: int) -> tuple[str, bool]:
    """Name of the image input, and whether it takes only one image at a time."""
    inputs = session.get_inputs()
    found = "; ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
    wanted = [1 if declared.read_colour() == "grey" else 3, side, side]
    shape = inputs[0].shape
    fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) == 4
    # A named axis takes any length.
    fits = fits and all(not isinstance(has, int) or has == wants for has, wants in zip(shape[1:], wanted, strict=True))
    if not fits or (isinstance(shape[0], int) and shape[0] != 1):
        raise ModelError(
            f"{origin} has input {found}; declared is float (batch, {', '.join(map(str, wanted))}); "
            "set input_size, colour, mean and std to those that the network was trained with"
        )
    return inputs[0].name, shape[0] == 1
