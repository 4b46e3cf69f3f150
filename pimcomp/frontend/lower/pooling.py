"""MaxPool, AveragePool, their global forms, and reductions over rows and columns -> `Pool`; over channels -> `Conv`."""

import math
from collections.abc import Sequence

import numpy as np

from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported, normal_axes
from pimcomp.frontend.lower.rearrange import map_order, spatial_order, squeeze
from pimcomp.frontend.lower.tensor import Tensor
from pimcomp.frontend.lower.window_geometry import misses_map, sliding
from pimcomp.ir.graph import Conv, Pool, Window


def lower_pool(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """MaxPool and AveragePool."""
    tensor = node.tensor(0)
    if len(tensor.axes) not in (3, 4):
        raise Unsupported(f"its input has {len(tensor.axes)} axes; 1-D and 2-D pooling is supported")
    if len(node.outputs) > 1 and node.outputs[1] in node.used_outputs:
        raise Unsupported("its Indices output is used")
    order = spatial_order(tensor)
    kernel = node.integers("kernel_shape")
    if kernel is None or len(kernel) != len(order) - 2:
        raise BadShape(f"kernel_shape {None if kernel is None else list(kernel)} for {list(tensor.shape)}")
    slide = sliding(node, kernel, tensor.height, tensor.width)
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
    order = spatial_order(tensor)
    return _over(node, builder, tensor, range(2, len(order)), "avg" if node.op == "GlobalAveragePool" else "max")


def lower_reduce(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """ReduceMean, ReduceSum and ReduceMax over rows, columns or both, the first two over all channels as well.

    axes: an attribute before opset 18 (ReduceSum: 13), an input from then on.
    """
    tensor = node.tensor(0)
    rank = len(tensor.axes)
    given = node.attribute_or_input("axes", 1)
    if not given and node.integer("noop_with_empty_axes", 0):
        return tensor
    axes = normal_axes(given or range(rank), rank)
    kinds = {kind for axis in axes for kind, _ in tensor.axes[axis]}
    elements = math.prod(tensor.shape[axis] for axis in axes)
    spatial = [axis for axis in axes if not any(kind == "c" for kind, _ in tensor.axes[axis])]
    reduced = _over(node, builder, tensor, spatial, "max" if node.op == "ReduceMax" else "avg")
    channels = math.prod(tensor.shape[axis] for axis in axes if axis not in spatial)
    if "c" in kinds and node.op != "ReduceMax":
        weight = 1 / channels if node.op == "ReduceMean" else elements / channels
        reduced = _over_channels(node, builder, reduced, [axis for axis in axes if axis not in spatial], weight)
    elif "c" in kinds:
        raise Unsupported(f"a maximum over the channels of {list(tensor.shape)}; rows and columns are supported")
    elif node.op == "ReduceSum":
        full = np.full(tensor.cells.size, float(elements))
        reduced = builder.scale(node.name, reduced, full, np.zeros_like(full))
    return reduced if node.integer("keepdims", 1) else squeeze(reduced, axes)


def _over_channels(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, axes: Sequence[int], weight: float) -> Tensor:
    """The sum of all channels times `weight`: a 1 x 1 convolution with equal weights."""
    channels = tensor.cells.size
    order = map_order(tensor)
    if order is None or math.prod(tensor.shape[axis] for axis in axes) != channels:
        raise Unsupported(f"it reduces over a part of the channels of {list(tensor.shape)}")
    weights = np.full((1, channels, 1, 1), weight, np.float32)
    operation = Conv(window=Window(kernel=(1, 1)), weights=weights)
    return builder.layer(node.name, operation, tensor, (1, tensor.height, tensor.width), order)


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
