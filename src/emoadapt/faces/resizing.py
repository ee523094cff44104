"""Images of another size than an ONNX network was exported for.

Convolutions and pooling over all places know no size, but an export may have frozen one: in the shape of a tensor, the window of a
pooling layer, the padding of a convolution. Shapes are inferred at both sizes. A node whose tensors have the same shapes at
both lies behind the pooling and stays as it is. All others must be of a kind that works at any size, or the network is refused.

TensorFlow's padding `SAME`, which EfficientNets have, depends on the size: a convolution of kernel 5 and stride 2 pads 65 pixels by
(2, 2) and 56 by (1, 2). An export holds the numbers of its own size, with which other sizes would be read shifted by a pixel.
A network has it if all strided windows are padded so at the exported size, at least one of them on one side more than on
the other; its padding is then computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from emoadapt.errors import ModelError

Side = int
Shapes = dict[str, tuple[int, ...]]
"""Tensor -> its shape, for one image."""

WINDOWS = ("Conv", "MaxPool", "AveragePool")
POOLS = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")
"""Over all places, whatever their number."""
ANY_SIZE = {
    *WINDOWS, *POOLS, "Abs", "Add", "BatchNormalization", "Cast", "Clip", "Concat", "Div", "Dropout", "Elu", "Erf", "Exp",
    "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad", "Pow", "Relu",
    "Shape", "Sigmoid", "Softplus", "Sqrt", "Sub", "Swish", "Tanh",
}  # fmt: skip
"""Kinds of nodes that may stand before the pooling. Fixed operands would have a shape that does not fit, which is refused too."""
FROZEN_WINDOW = 4
"""A pooling layer whose windows are this wide and do not overlap divides the map into a fixed number of parts."""


class Resized(NamedTuple):
    """A network for images of another size.

    Args:
        model: the ONNX model.
        side: of the images it was exported for.
        padded: how many convolutions and pooling layers have another padding.
    """

    model: Any
    side: Side
    padded: int


class _Fixed(Exception):
    """What in a graph is fixed to the exported size."""


def find_fixed_side(model: Any) -> Side | None:
    """Side of the square images that a model is fixed to; None if it takes any, or no images."""
    image = _find_image(model)
    dimensions = [] if image is None else image.type.tensor_type.shape.dim
    sides = [dimension.dim_value for dimension in dimensions[2:]]
    return sides[0] if len(sides) == 2 and sides[0] == sides[1] and sides[0] > 0 else None


def resize_network(model: Any, origin: str, output: str, side: Side) -> Resized:
    """Give a network with a fixed input another one.

    Args:
        model: the ONNX model, with one input of square images; it is changed.
        origin: where it comes from, for error messages.
        output: the embedding.
        side: of the images, in pixels.

    Raises:
        ModelError: something in it is fixed to the exported size.
    """
    from onnx import inliner

    exported = find_fixed_side(model)
    assert exported is not None  # the caller has looked
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        _fold_padding(model, exported)
        _keep_only(model, output)
        before = _infer_shapes(model, exported)
        _refuse_frozen_pools(model, before)
        padded = _pad_anew(model, before, exported, side)
        after = _infer_shapes(model, side, strict=True)
        _refuse_fixed(model, before, after, output)
    except _Fixed as error:
        raise ModelError(
            f"{origin} was exported for images of {exported} x {exported} and cannot be run at {side} x {side}: {error}; set "
            f"input_size to {exported}, or export it for {side} x {side}"
        ) from None
    return Resized(_set_input(model, side), exported, padded)


def _find_image(model: Any) -> Any:
    """The only input that is no weight, or None."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return inputs[0] if len(inputs) == 1 else None


def _set_input(model: Any, side: Side, batch: int | None = None) -> Any:
    """The model with another input size; shapes noted for the old one are removed."""
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    outputs = [onnx.ValueInfoProto(name=value.name) for value in changed.graph.output]
    del changed.graph.output[:]
    changed.graph.output.extend(outputs)
    dimensions = _find_image(changed).type.tensor_type.shape.dim
    for dimension in dimensions[2:]:
        dimension.dim_value = side
    if batch is not None:
        dimensions[0].dim_value = batch
    return changed


def _infer_shapes(model: Any, side: Side, *, strict: bool = False) -> Shapes:
    """Shapes of all tensors for one image of this size, as far as they can be inferred.

    Raises:
        _Fixed: shapes do not fit each other, which only `strict` looks for.
    """
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(_set_input(model, side, batch=1), strict_mode=strict, data_prop=True)
    except shape_inference.InferenceError as error:
        raise _Fixed(f"a tensor in it has a fixed shape ({' '.join(str(error).split())})") from None
    values = [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    known = {
        name: tuple(dimension.dim_value for dimension in dimensions)
        for name, dimensions in shapes.items()
        if all(dimension.HasField("dim_value") for dimension in dimensions)
    }
    return known | {tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer}


def _fold_padding(model: Any, side: Side) -> None:
    """Give windows the padding that nodes before them add, with the numbers it has at the exported size."""
    import onnx

    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    pads = [node for node in model.graph.node if node.op_type == "Pad" and len(node.input) <= 3]
    for node, values in zip(pads, _evaluate(model, side, [list(node.input[1:]) for node in pads]), strict=True):
        amounts, fill = (*values, None, None)[:2]
        if amounts is None:  # of operators before 2019
            amounts, fill = np.array(_read(node, "pads", [])), np.array(_read(node, "value", 0.0))
        after = users.get(node.output[0], [])
        if _can_fold(node, amounts, fill, after):
            begin, end = np.split(amounts, 2)
            for user in after:
                own = _read(user, "pads", [0, 0, 0, 0])
                _write_pads(user, [int(a + b) for a, b in zip([*begin[-2:], *end[-2:]], own, strict=True)])
                user.input[0] = node.input[0]
        elif len(node.input) > 1:
            node.input[1] = f"{node.output[0]}/pads"
            model.graph.initializer.append(onnx.numpy_helper.from_array(amounts, node.input[1]))


def _can_fold(node: Any, amounts: np.ndarray, fill: np.ndarray | None, after: list[Any]) -> bool:
    """Whether windows may add what a node pads along rows and columns: convolutions zeros, largest values nothing."""
    value, along = 0.0 if fill is None else float(fill), np.split(amounts, 2)
    constant = _read(node, "mode", b"constant") == b"constant" and not any(part[:-2].any() for part in along)
    fits = {"Conv": value == 0, "MaxPool": value <= np.finfo(np.float32).min}
    return constant and all(fits.get(user.op_type, False) for user in after)


def _keep_only(model: Any, output: str) -> None:
    """Remove what does not lead to the embedding: the classifier, and the numbers of folded padding."""
    import onnx

    makers = {name: place for place, node in enumerate(model.graph.node) for name in node.output}
    needed, waiting = set(), [output]
    while waiting:
        place = makers.get(waiting.pop())
        if place is not None and place not in needed:
            needed.add(place)
            waiting += model.graph.node[place].input
    kept = [node for place, node in enumerate(model.graph.node) if place in needed]
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.output.append(onnx.ValueInfoProto(name=output))


def _evaluate(model: Any, side: Side, wanted: list[list[str]]) -> list[list[np.ndarray | None]]:
    """Values of tensors for one image of this size: constants, or numbers computed from shapes; None for absent ones."""
    import onnx
    import onnxruntime

    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = sorted({name for group in wanted for name in group if name and name not in known})
    if names:
        asked = _set_input(model, side, batch=1)
        del asked.graph.output[:]
        asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        session = onnxruntime.InferenceSession(asked.SerializeToString(), providers=["CPUExecutionProvider"])
        image = session.get_inputs()[0]
        known |= zip(names, session.run(names, {image.name: np.zeros(image.shape, np.float32)}), strict=True)
    return [[known.get(name) for name in group] for group in wanted]


class _Window(NamedTuple):
    """A strided window along one axis of a map."""

    kernel: int
    stride: int
    pads: tuple[int, int]
    length: int

    def pad_same(self, length: int) -> tuple[int, int]:
        """Padding `SAME` of TensorFlow for a map of this length."""
        total = max((math.ceil(length / self.stride) - 1) * self.stride + self.kernel - length, 0)
        return total // 2, total - total // 2


def _list_strided(model: Any, shapes: Shapes) -> Iterator[tuple[Any, list[_Window]]]:
    """Nodes with strided windows, and these along both axes."""
    for node in model.graph.node:
        strides = _read(node, "strides", [1, 1])
        if node.op_type not in WINDOWS or max(strides) == 1 or _read(node, "auto_pad", b"NOTSET") != b"NOTSET":
            continue
        lengths = shapes.get(node.input[0], ())[2:]
        if len(lengths) != 2:
            raise _Fixed(f"the shape of the input of {_name(node)} cannot be inferred")
        kernel = shapes[node.input[1]][2:] if node.op_type == "Conv" else _read(node, "kernel_shape", [])
        widths = [(k - 1) * d + 1 for k, d in zip(kernel, _read(node, "dilations", [1, 1]), strict=True)]
        pads = _read(node, "pads", [0, 0, 0, 0])
        yield node, [_Window(widths[i], strides[i], (pads[i], pads[i + 2]), lengths[i]) for i in (0, 1)]


def _pad_anew(model: Any, before: Shapes, exported: Side, side: Side) -> int:
    """Give a network with padding `SAME` that of another size; returns how many nodes have another one.

    Raises:
        _Fixed: whether it has it cannot be known, and the two would differ.
    """
    strided = list(_list_strided(model, before))
    windows = [window for _, found in strided for window in found]
    if not windows or any(window.pads != window.pad_same(window.length) for window in windows):
        return 0
    told = any(begin != end for begin, end in (window.pads for window in windows))
    changed: set[int] = set()
    # Each round settles at least the first layer that the one before has left.
    for _ in strided:
        anew = list(_list_strided(model, _infer_shapes(model, side)))
        wrong = [
            (node, pads)
            for node, found in anew
            if (pads := [w.pad_same(w.length) for w in found]) != [w.pads for w in found]
        ]
        if not wrong:
            break
        if not told:
            raise _Fixed(
                f"the padding of {_name(wrong[0][0])} is that of {exported} x {exported}, or a fixed one; the graph does not tell"
            )
        for node, pads in wrong:
            _write_pads(node, [begin for begin, _ in pads] + [end for _, end in pads])
            changed.add(id(node))
    return len(changed)


def _refuse_frozen_pools(model: Any, shapes: Shapes) -> None:
    """Refuse windows that an export made of a pooling over all places, or over a fixed number of parts."""
    for node in model.graph.node:
        if node.op_type not in ("AveragePool", "MaxPool", "LpPool"):
            continue
        kernel, strides = _read(node, "kernel_shape", []), _read(node, "strides", [1, 1])
        whole = tuple(kernel) == shapes.get(node.input[0], ())[2:]
        parts = kernel == strides and min(kernel) >= FROZEN_WINDOW
        if not any(_read(node, "pads", [0])) and (whole or parts):
            raise _Fixed(f"{_name(node)} has a fixed window of {' x '.join(map(str, kernel))}")


def _refuse_fixed(model: Any, before: Shapes, after: Shapes, output: str) -> None:
    """Refuse nodes before the pooling that do not work at any size, and an embedding of another shape."""
    for node in model.graph.node:
        names = [name for name in (*node.input, *node.output) if name]
        lost = [name for name in names if name not in before or name not in after]
        if lost and node.op_type not in ("Constant", "Shape"):
            raise _Fixed(f"the shape of {lost[0]} ({_name(node)}) cannot be inferred")
        moving = [name for name in names if before.get(name) != after.get(name)]
        if moving and node.op_type not in ANY_SIZE:
            raise _Fixed(f"{_name(node)} depends on the size")
        pooled = node.input[0:1] and node.input[0] in moving and node.output[0] not in moving
        if pooled and node.op_type not in (*POOLS, *WINDOWS, "Shape"):
            raise _Fixed(f"{_name(node)} gives a fixed shape whatever its input")
    if before[output] != after[output]:
        raise _Fixed(f"the embedding {output} would have the shape {after[output]} instead of {before[output]}")


def _name(node: Any) -> str:
    return f"{node.name or node.output[0]} ({node.op_type})"


def _read(node: Any, attribute: str, default: Any) -> Any:
    """Value of an attribute."""
    import onnx

    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == attribute), default)


def _write_pads(node: Any, pads: list[int]) -> None:
    """Set the padding of a window: begins, then ends."""
    import onnx

    kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads)])
