"""What the axes of every network input are: channels, rows, columns, images of a batch, as the first reader that needs
to know tells.

An input is data in memory in whatever order the file says. Every element gets its number; operators that only rearrange
carry the numbers along; where a convolution (or a product with weights, a pooling, ...) reads them, the steps between
neighbouring numbers along its axes say which axis of the input is which.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from pimcomp.frontend.lower.constant_fold import fold, tensor_values
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, Unsupported, of_proto

Factors = tuple[tuple[str, int], ...]  # ("n" | "c" | "h" | "w", size > 1), outermost first
Numbers = npt.NDArray[np.int64]

MOVING = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split"})
_KEEPING = frozenset(
    {"Identity", "Cast", "Dropout", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Pad", "Clip", "Relu", "Neg"}
    | {"Concat"}  # with constants: the others keep their numbers
    | {"QuantizeLinear", "DequantizeLinear", "Sigmoid", "Tanh", "LeakyRelu", "PRelu", "Softmax", "Gelu", "Erf"}
)
OVER_MAPS = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN", "DepthToSpace"}
    | {"SpaceToDepth"}
)
_OVER_LAST = frozenset(
    {"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization"}
    | {"Attention", "Einsum"}  # of tokens
)
_SMALL_BYTES = 4096
_LARGEST_INPUT = 1 << 24


def input_axes(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], opset: int
) -> Mapping[str, tuple[Factors, ...]]:
    """The factors of every axis of the inputs whose order some reader tells; a dynamic batch counts as 1."""
    walk = _Walk(model, opset)
    for node in nodes:
        walk.visit(node)
    return walk.found


class _Walk:
    """Constants that are small, numbered tensors, and what has been found out."""

    def __init__(self, model: onnx.ModelProto, opset: int) -> None:
        self.opset = opset
        self.constants: dict[str, Constant] = {}
        self.shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self.numbers: dict[str, tuple[str, Numbers]] = {}
        self.found: dict[str, tuple[Factors, ...]] = {}
        self.given: dict[str, tuple[int, ...]] = {}
        for tensor in model.graph.initializer:
            if tensor.ByteSize() <= _SMALL_BYTES:
                self._keep(tensor.name, tensor)
        for value in model.graph.input:
            shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            shape = (1, *shape[1:]) if shape and not shape[0] else shape
            if value.name not in self.shapes and min(shape, default=0) > 0 and math.prod(shape) <= _LARGEST_INPUT:
                self.given[value.name] = shape
                numbers = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
                self.numbers[value.name] = (value.name, numbers)

    def _keep(self, name: str, tensor: onnx.TensorProto) -> None:
        try:
            self.constants[name] = tensor_values(tensor)
        except BadShape:
            return  # lowering says what is wrong with it

    def visit(self, node: onnx.NodeProto) -> None:
        read = [name for name in node.input if name in self.numbers]
        known = [name for name in node.input if not name or name in self.constants]
        if not read or node.op_type in ("Shape", "Size"):
            if len(read) + len(known) == len(node.input):
                self.constants.update(zip(node.output, self._run(node)))
        elif node.op_type in MOVING:
            if len(read) == 1 and len(known) == len(node.input) - 1:
                origin = self.numbers[read[0]][0]
                results = [np.asarray(array, np.int64) for array in self._run(node)]
                self.numbers.update((name, (origin, array)) for name, array in zip(node.output, results))
        elif node.op_type in _KEEPING:
            if len(read) == 1 and all(self._broadcasts(name, read[0]) for name in node.input):
                self.numbers[node.output[0]] = self.numbers[read[0]]
        else:
            self._ask(node, read[0])

    def _run(self, node: onnx.NodeProto) -> Sequence[Constant]:
        operands = tuple(
            self.numbers[name][1] if name in self.numbers else self.constants.get(name) for name in node.input
        )
        try:
            return fold(of_proto(node, self.opset, operands))
        except (Unsupported, BadShape):
            return ()

    def _broadcasts(self, name: str, other: str) -> bool:
        """Whether an operand leaves the shape of another as it is."""
        shape = np.shape(self.constants[name]) if name in self.constants else self.shapes.get(name, ())
        return len(shape) <= max(1, self.numbers[other][1].ndim)

    def _ask(self, node: onnx.NodeProto, name: str) -> None:
        """What a reader's own order of axes says about the input."""
        origin, numbers = self.numbers[name]
        rank = numbers.ndim
        order = ""
        if node.op_type in OVER_MAPS and name == node.input[0]:
            order = {3: "ncw", 4: "nchw"}.get(rank, "")
        elif name == node.input[0] and (
            node.op_type in _OVER_LAST or (node.op_type == "MatMul" and len(self.shapes.get(node.input[1], ())) == 2)
        ):
            order = {3: "nwc", 4: "" if node.op_type in ("Attention", "Einsum") else "nhwc"}.get(rank, "")
        elif node.op_type == "MatMul" and name == node.input[1]:
            order = {2: "cw", 3: "ncw"}.get(rank, "")
        elif node.op_type == "Gemm" and any(a.name == "transA" and a.i for a in node.attribute):
            order = "cw"
        if order and origin not in self.found:
            axes = _axes(self.given[origin], _factors(numbers, order))
            if axes is not None:
                self.found[origin] = axes


def _factors(numbers: Numbers, order: str) -> list[tuple[str, int]]:
    """The kinds of a numbered tensor's axes from the longest step between neighbours down, and their sizes."""
    steps = {}
    for axis, kind in enumerate(order):
        if numbers.shape[axis] > 1:
            steps[kind] = int(np.gcd.reduce(np.abs(np.diff(numbers, axis=axis)), axis=None))
    sizes, rest = [], None
    if 0 in steps.values():  # an element taken more than once
        return []
    for kind in sorted(steps, key=lambda kind: -steps[kind]):
        sizes.append((kind, 0 if rest is None else rest // steps[kind]))
        rest = steps[kind]
    return [(kind, size) for kind, size in sizes] + ([("rest", rest)] if rest is not None and rest > 1 else [])


def _axes(shape: tuple[int, ...], factors: list[tuple[str, int]]) -> tuple[Factors, ...] | None:
    """The factors dealt out to the axes of the input, None if they do not fit or are no order that programs read."""
    known = math.prod(size for _, size in factors[1:])
    missing = next((kind for kind in "cwh" if kind not in dict(factors)), "")
    if not factors or math.prod(shape) % known or (not missing and factors[-1][0] == "rest"):
        return None
    factors = [(factors[0][0], math.prod(shape) // known), *factors[1:]]
    pool = [(missing if kind == "rest" else kind, size) for kind, size in factors if size > 1][::-1]
    kinds = "".join(kind for kind, _ in pool[::-1])
    if kinds.removeprefix("n") not in ("", "c", "h", "w", "ch", "cw", "hw", "chw", "hc", "wc", "hwc"):
        return None
    axes = []
    for size in shape:
        taken, wanted = [], size
        while wanted > 1 and pool and wanted % pool[-1][1] == 0:
            taken.append(pool.pop())
            wanted //= taken[-1][1]
        if wanted > 1:
            return None
        axes.append(tuple(taken))
    return None if pool or any(kind == "n" for axis in axes[1:] for kind, _ in axis) else tuple(axes)
