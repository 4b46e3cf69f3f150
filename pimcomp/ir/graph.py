"""The network as the compiler sees it: feature maps, the operations that produce them, and channel views between them.

Every node produces exactly one feature map of shape (channels, height, width); the batch dimension is gone. Layout
operators (Concat, channel Slice/Split, channel shuffle, Flatten, Identity, Dropout) are not nodes: they are absorbed by
`View`, which says for each channel of an operand which node produces it and as which channel. Fully connected layers
are convolutions whose kernel covers the whole input map.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import assert_never

import numpy as np
import numpy.typing as npt

from pimcomp.ir.brief import brief
from pimcomp.ir.precision import CHIPS, Precision

Shape = tuple[int, int, int]  # channels, height, width
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


class ActivationKind(StrEnum):
    """Element-wise functions the instruction set can express."""

    RELU = "relu"
    CLIP = "clip"  # clamp to [low, high]; ReLU6 is clip(0, 6)
    LEAKY_RELU = "leaky_relu"  # max(x, alpha * x), 0 <= alpha <= 1
    SIGMOID = "sigmoid"
    TANH = "tanh"
    HARD_SIGMOID = "hard_sigmoid"  # clamp(alpha * x + beta, 0, 1)
    HARD_SWISH = "hard_swish"  # x * clamp(x / 6 + 0.5, 0, 1)
    ERF = "erf"  # the error function
    GELU = "gelu"  # x / 2 * (1 + erf(x / sqrt(2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """One element-wise function with its parameters (unused ones keep their defaults)."""

    kind: ActivationKind
    low: float = float("-inf")  # clip only
    high: float = float("inf")  # clip only
    alpha: float = 0.0
    beta: float = 0.0


@brief
@dataclass(frozen=True, eq=False)  # without slots: what was found of its channels is kept
class View:
    """Channels gathered from earlier nodes: channel k of the view is channel `channels[k]` of node `sources[k]`.

    Both arrays are int32[channels]. All sources have the same height and width.
    """

    sources: IntArray
    channels: IntArray

    @cached_property
    def runs(self) -> LongArray:
        """int64[4, runs]: channels side by side in a node, as place in the view, source, first channel and number."""
        breaks = (self.sources[1:] != self.sources[:-1]) | (self.channels[1:] != self.channels[:-1] + 1)
        edges = np.flatnonzero(np.r_[len(self.sources) > 0, breaks, True])
        return np.stack([edges[:-1], self.sources[edges[:-1]], self.channels[edges[:-1]], np.diff(edges)])

    @cached_property
    def nodes(self) -> list[int]:
        """The sources, each once, ascending."""
        return sorted(set(self.runs[1].tolist()))


def whole(source: int, channels: int) -> View:
    """All channels of one node, in order."""
    return View(np.full(channels, source, np.int32), np.arange(channels, dtype=np.int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A sliding window: (height, width) pairs; pads are (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from its first element to its last."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns


@dataclass(frozen=True, slots=True)
class Input:
    """A network input. `layout` tells how the ONNX tensor holds it: "NCHW", "NHWC" or "NC" (1 x 1 map).

    Axes of size 1 may be missing from the ONNX tensor: [1, T, F] is "NHWC", too, with one row of T columns.
    """

    onnx_shape: tuple[int, ...]
    layout: str = "NCHW"


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A map of constants, float32[channels, height, width]: positions, masks. It lies in global memory as inputs do."""

    values: FloatArray


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Conv:
    """Convolution or fully connected layer: the work of the crossbars.

    weights: float32[out_channels, in_channels / groups, kernel_h, kernel_w]; bias: float32[out_channels] or None.
    vector: the vector unit computes it from weights in local memory (depthwise layers only); it occupies no crossbars.
    """

    window: Window
    weights: FloatArray
    bias: FloatArray | None = None
    groups: int = 1
    vector: bool = False
    precision: Precision = field(default=CHIPS, metadata={"digest": False})  # a choice of the compile


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Max or average pooling. `count_padding`: average divides by the kernel size even at the border.

    Padding never contributes to a maximum and adds zero to a sum; windows beyond the explicit pads (ceil_mode) have
    larger bottom/right pads, of which `overhang` = (rows, columns) never count in the divisor.
    """

    method: str  # "max" | "avg"
    window: Window
    count_padding: bool = False
    overhang: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Eltwise:
    """Element-wise "add" or "mul" of two or more operands, "sub" of exactly two; a 1 x 1 operand is broadcast."""

    method: str


@dataclass(frozen=True, slots=True)
class Standalone:
    """Nothing but the node's activation (an activation that could not be fused into its producer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lrn:
    """Local response normalisation across channels: x / (bias + alpha / size * sum of squares) ** beta (ONNX LRN)."""

    size: int
    alpha: float
    beta: float
    bias: float


@dataclass(frozen=True, slots=True)
class Crop:
    """Spatial Pad/Slice: output (y, x) is input (y + top, x + left), zero where that lies outside."""

    top: int
    left: int


@dataclass(frozen=True, slots=True)
class Pick:
    """Rows and columns, repeated, mirrored ...: output (y, x) is input (rows[y], columns[x]), 0 where either is -1.
    Several operands take turns: row y is of operand y modulo their number."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Softmax:
    """exp(x) / sum of exp, across the channels of every pixel."""


@dataclass(frozen=True, slots=True)
class Normalise:
    """x / sqrt(mean square + epsilon) across the channels of every pixel; `centred`: of x less its mean.

    LayerNormalization and RMSNormalization without their factors.
    """

    epsilon: float
    centred: bool = True


@dataclass(frozen=True, slots=True)
class Product:
    """Of two maps: channel k of a pixel is its inner product in operand 0 with pixel k (row by row) of operand 1."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Channels and pixels exchanged: channel k of pixel c, all in one row, is channel c of the operand's pixel k."""


Loaded = Input | Fixed  # what lies in global memory before the network runs
Windowed = Conv | Pool  # what has a `window` that slides over the operand
Copying = Crop | Pick  # what moves pixels as they are
PerPixel = Standalone | Lrn | Softmax | Normalise  # what computes every pixel from the same pixel of one operand
Operation = Loaded | Windowed | Copying | Eltwise | PerPixel | Product | Turn


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """One feature map and the operation that produces it; `activation` is applied to the result."""

    name: str
    operation: Operation
    inputs: tuple[View, ...]
    channels: int
    height: int
    width: int
    activation: Activation | None = None


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Output:
    """A network output: a view, the ONNX tensor's name and shape, its layout and what the host still has to do.

    The elements of the view in (channel, row, column) order, or (row, column, channel) for layout "NHWC", are the
    elements of the ONNX tensor in its row-major order. `epilogue` is "softmax" or "log_softmax" (over the last axis of
    the ONNX shape, or over `epilogue_axis`) or None.
    """

    name: str
    view: View
    onnx_shape: tuple[int, ...]
    layout: str = "NCHW"
    epilogue: str | None = None
    epilogue_axis: int = -1


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Graph:
    """A network: nodes in topological order (views refer to earlier nodes by index) and its outputs."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...] = ()  # what the import changed or dropped, for the manifest ("LRN dropped", ...)

    def shape_of(self, view: View) -> Shape:
        """Of what a view gathers."""
        first = self.nodes[int(view.sources[0])]
        return len(view.channels), first.height, first.width

    def stored(self) -> list[int]:
        """The nodes that outputs read, ascending."""
        return sorted({source for output in self.outputs for source in output.view.nodes})

    def readers(self) -> list[set[int]]:
        """For every node the nodes that read it; network output k counts as reader -1 - k."""
        found: list[set[int]] = [set() for _ in self.nodes]
        reads = [(i, view) for i, node in enumerate(self.nodes) for view in node.inputs]
        reads += [(-1 - k, output.view) for k, output in enumerate(self.outputs)]
        for reader, view in reads:
            for source in view.nodes:
                found[source].add(reader)
        return found

    def weighted(self) -> tuple[int, ...]:
        """Indices of the nodes that occupy crossbars, in order."""
        return tuple(i for i, node in enumerate(self.nodes) if on_crossbars(node.operation))


# What many stages ask of an operation. Each question has a case for each operation: mypy finds the one that is missing.


def on_crossbars(operation: Operation) -> bool:
    """Whether an operation's weights are stored in crossbars."""
    return isinstance(operation, Conv) and not operation.vector


def window_of(operation: Operation) -> Window:
    """What an output pixel reads of an operand, as a window; where a `Pick` reads it, `first_read` says."""
    match operation:
        case Conv() | Pool():
            return operation.window
        case Crop():
            return Window(kernel=(1, 1), pads=(-operation.top, -operation.left, 0, 0))
        case Input() | Fixed() | Eltwise() | Pick() | Product() | Turn():
            return Window(kernel=(1, 1))
        case Standalone() | Lrn() | Softmax() | Normalise():
            return Window(kernel=(1, 1))
        case _:
            assert_never(operation)


def first_read(operation: Operation, axis: int, at: LongArray) -> LongArray:
    """Where output rows (axis 0) or columns (1) begin to read an operand, maybe outside it; zeros of a `Pick`: -1."""
    if isinstance(operation, Pick):
        return np.array((operation.rows, operation.columns)[axis], np.int64)[at]
    window = window_of(operation)
    return at * window.stride[axis] - window.pads[axis]


def spreads(node: Node, source: Node) -> bool:
    """Whether a source is one pixel that the node combines with all of its own."""
    return isinstance(node.operation, Eltwise) and source.height * source.width == 1 < node.height * node.width


def vector_passes(node: Node) -> int:
    """Vector instructions per output pixel, about: how often the vector unit goes over a node's data."""
    match operation := node.operation:
        case Input() | Fixed():
            return 0
        case Conv():
            return 0 if on_crossbars(operation) else 2 * math.prod(operation.window.kernel)
        case Pool():
            return sum(operation.window.kernel)
        case Eltwise():
            return len(node.inputs) - 1
        case Standalone() | Lrn() | Crop() | Pick() | Turn():
            return 1
        case Softmax() | Normalise() | Product():
            return node.channels if isinstance(operation, Product) else 12
        case _:
            assert_never(operation)


def expected_shape(node: Node, operands: Sequence[Shape]) -> Shape:
    """The shape of a node's map that follows from its operation and operands; ValueError says why they do not fit."""
    operation, found = node.operation, (node.channels, node.height, node.width)
    arity = 0 if isinstance(operation, Loaded) else 2 if isinstance(operation, Product) else 1
    if not isinstance(operation, Eltwise | Pick) and len(operands) != arity:
        raise ValueError(f"{type(operation).__name__} with {len(operands)} operands")
    match operation:
        case Input() | Fixed():
            return found
        case Eltwise():
            return _eltwise_shape(operation, operands)
        case Conv():
            _check_weights(operation, operands[0])
            return (len(operation.weights), *_windows(operation.window, operands[0]))
        case Pool():
            return (operands[0][0], *_windows(operation.window, operands[0]))
        case Crop():
            return (operands[0][0], node.height, node.width)
        case Pick():
            if len(set(operands)) != 1:
                raise ValueError(f"operands of shapes {list(operands)}")
            for chosen, size in zip((operation.rows, operation.columns), operands[0][1:], strict=True):
                if min(chosen) < -1 or max(chosen) >= size:
                    raise ValueError(f"picks {min(chosen)} to {max(chosen)} out of {size}")
            return (operands[0][0], len(operation.rows), len(operation.columns))
        case Standalone() | Lrn() | Softmax() | Normalise():
            return operands[0]
        case Product():
            if operands[0][0] != operands[1][0]:
                raise ValueError(f"inner products of {operands[0][0]} and {operands[1][0]} channels")
            return (operands[1][1] * operands[1][2], *operands[0][1:])
        case Turn():
            return (operands[0][1] * operands[0][2], 1, operands[0][0])
        case _:
            assert_never(operation)


def _eltwise_shape(operation: Eltwise, operands: Sequence[Shape]) -> Shape:
    if len(operands) < 2 or (operation.method == "sub" and len(operands) > 2):
        raise ValueError(f"{operation.method} of {len(operands)} operands")
    expected = (operands[0][0], max(s[1] for s in operands), max(s[2] for s in operands))
    if any(shape not in (expected, (expected[0], 1, 1)) for shape in operands):
        raise ValueError(f"operands of shapes {list(operands)}")
    return expected


def _check_weights(conv: Conv, operand: Shape) -> None:
    shape = outs, per_group, *kernel = conv.weights.shape
    if tuple(kernel) != conv.window.kernel or per_group * conv.groups != operand[0] or outs % conv.groups:
        raise ValueError(f"weights of shape {shape} in {conv.groups} groups for an input of shape {operand}")
    if conv.bias is not None and conv.bias.shape != (outs,):
        raise ValueError(f"a bias of shape {conv.bias.shape} for {outs} channels")


def _windows(window: Window, operand: Shape) -> tuple[int, int]:
    """Rows and columns of windows over a map."""
    top, left, bottom, right = window.pads
    axes = zip(operand[1:], (top + bottom, left + right), window.extent, window.stride, strict=True)
    rows, columns = ((size + pads - extent) // stride + 1 for size, pads, extent, stride in axes)
    return rows, columns
