"""MaxPool, AveragePool, their global forms, and reductions over rows and columns -> `Pool`; over channels -> `Conv`."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pimcomp.frontend.lower.activation import sloped
from pimcomp.frontend.lower.elementwise import eltwise, extreme, negated
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported, normal_axes
from pimcomp.frontend.lower.rearrange import squeeze
from pimcomp.frontend.lower.tensor import Cells, Tensor, channels_of, node_cells, tidy
from pimcomp.frontend.lower.window_geometry import misses_map, sliding
from pimcomp.ir.graph import Conv, Pool, Window


def lower_pool(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """MaxPool and AveragePool."""
    tensor = node.tensor(0)
    if len(tensor.axes) not in (3, 4):
        raise Unsupported(f"its input has {len(tensor.axes)} axes; 1-D and 2-D pooling is supported")
    if len(node.outputs) > 1 and node.outputs[1] in node.used_outputs:
        raise Unsupported("its Indices output is used")
    tensor, order = as_map(node.name, builder, tensor, ("nchw", "ncw"))
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != len(order) - 2:
        raise BadShape(f"kernel_shape {None if kernel is None else list(kernel)} for {list(tensor.shape)}")
    slide = sliding(node, kernel, tensor.height, tensor.width, tensor.border or (0, 0, 0, 0))
    tensor = replace(tensor, border=None)
    if misses_map(slide.window, (tensor.height, tensor.width), (slide.height, slide.width)):
        raise Unsupported("a pooling window covers nothing but padding")  # it has no maximum and no average
    if slide.window == Window(kernel=(1, 1)):
        return tensor
    average = node.op == "AveragePool"
    padded = any(p > over for p, over in zip(slide.window.pads, (0, 0, *slide.overhang)))
    operation = Pool(
        method="avg" if average else "max",
        window=slide.window,
        count_padding=average and padded and bool(node.integer("count_include_pad", 0)),
        overhang=slide.overhang,
    )
    return builder.layer(node.name, operation, tensor, (tensor.cells.size, slide.height, slide.width), order)


def lower_global_pool(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """GlobalAveragePool and GlobalMaxPool."""
    tensor = node.tensor(0)
    tensor, order = as_map(node.name, builder, tensor, ("nchw", "ncw"))
    return _over(node, builder, tensor, range(2, len(order)), "avg" if node.op == "GlobalAveragePool" else "max")


def lower_reduce(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """ReduceMean, ReduceSum, ReduceL1, ReduceSumSquare, ReduceMax and ReduceMin over any axes.

    axes: an attribute before opset 18 (ReduceSum: 13), an input from then on.
    """
    tensor = node.tensor(0)
    rank = len(tensor.axes)
    given = node.attribute_or_input("axes", 1)
    if not given and node.integer("noop_with_empty_axes", 0):
        if node.op in ("ReduceL1", "ReduceSumSquare"):
            raise Unsupported("noop_with_empty_axes: what it means for this operator is not settled")
        return tensor
    axes = normal_axes(given or range(rank), rank)
    if node.op == "ReduceMin":
        tensor = negated(node, builder, tensor)
    elif node.op == "ReduceL1":
        tensor = sloped(node.name, builder, tensor, np.full(tensor.cells.size, -1.0))
    elif node.op == "ReduceSumSquare":
        tensor = eltwise(node.name, builder, "mul", [tensor, tensor])
    most = node.op in ("ReduceMax", "ReduceMin")
    elements = math.prod(tensor.shape[axis] for axis in axes)
    reduced = _over(node, builder, tensor, axes, "max" if most else "avg")
    channels = math.prod(size for axis in axes for kind, size in tensor.axes[axis] if kind == "c")
    if channels > 1:
        weight = 1 / channels if node.op == "ReduceMean" else elements / channels
        reduced = _over_channels(node, builder, reduced, axes, None if most else weight)
    elif not most and node.op != "ReduceMean":
        full = np.full(reduced.cells.size, float(elements))
        reduced = builder.scale(node.name, reduced, full, np.zeros_like(full))
    if node.op == "ReduceMin":
        reduced = negated(node, builder, reduced)
    return reduced if node.integer("keepdims", 1) else squeeze(reduced, axes)


def _over_channels(
    node: OnnxNode, builder: GraphBuilder, tensor: Tensor, axes: Sequence[int], weight: float | None
) -> Tensor:
    """The sum of the channels in some axes times `weight`, a 1 x 1 convolution; their maximum if it is None."""
    grouped = channels_of(tensor, axes)
    left = [[f for f in factors if a not in axes or f[0] != "c"] for a, factors in enumerate(tensor.axes)]
    if weight is None:
        return tidy(left, _highest(node, builder, tensor, grouped), tensor)
    count, each = grouped.shape
    operation = Conv(
        window=Window(kernel=(1, 1)), weights=np.full((count, each, 1, 1), weight, np.float32), groups=count
    )
    view = Tensor((), grouped, 1, 1).view
    index = builder.emit(node.name, operation, (view,), (count, tensor.height, tensor.width))
    return tidy(left, node_cells(index, count), tensor)


def _highest(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, grouped: Cells) -> Cells:
    """The maximum of every row of channels, one half against the other until one is left."""
    while grouped.shape[1] > 1:
        half = grouped.shape[1] // 2
        parts = [grouped[:, :half], grouped[:, half : 2 * half]]
        maps = [
            tidy([[("c", part.size)], [("h", tensor.height)], [("w", tensor.width)]], part, tensor) for part in parts
        ]
        higher = extreme(node.name, builder, maps[0], maps[1], "Max").cells.reshape(len(grouped), half)
        grouped = np.concatenate([higher, grouped[:, 2 * half :]], axis=1)
    return grouped[:, 0]


def _over(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, axes: Sequence[int], method: str) -> Tensor:
    """Pool the rows and columns that the given axes hold; the axes stay with size 1."""
    kinds = {kind for axis in axes for kind, _ in tensor.axes[axis]}
    if not kinds:
        return tensor
    kernel = (tensor.height if "h" in kinds else 1, tensor.width if "w" in kinds else 1)
    height, width = tensor.height // kernel[0], tensor.width // kernel[1]
    operation = Pool(method=method, window=Window(kernel=kernel))
    index = builder.emit(node.name, operation, (tensor.view,), (tensor.cells.size, height, width))
    return tensor.on_node(index, height=height, width=width)
