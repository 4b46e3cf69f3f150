"""Add, Sum, Mean, Sub, Mul, Div, Min, Max, Pow, Neg, BatchNormalization, LRN.

Two feature maps make an `Eltwise`. A feature map with a constant per channel is a depthwise 1 x 1 convolution, which
later passes fold into a neighbouring layer wherever that is exact.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map, constant
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, NotRepeatable, OnnxNode, Unsupported
from pimcomp.frontend.lower.rearrange import of_rank
from pimcomp.frontend.lower.tensor import Cells, Factor, Tensor, node_cells, tidy
from pimcomp.ir.graph import Activation, ActivationKind, Eltwise, Lrn, Pick, View

Reals = npt.NDArray[np.float64]

_FAR_BELOW = -1e8  # added to values of below 30 in size, float32 rounds to it
_LEAST = float(np.finfo(np.float32).min)
LARGEST_EXPONENT = 4  # of Pow, by repeated multiplication


class NotPerChannel(Unsupported):
    """A constant is not one value per channel: it varies over rows or columns, or enlarges the tensor."""


def lower_sum(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Add, Sum and Mean of any number of operands, constants among them."""
    operands = [operand for operand in node.operands if operand is not None]
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    total = eltwise(node.name, builder, "add", tensors) if len(tensors) > 1 else tensors[0]
    for operand in operands:
        if not isinstance(operand, Tensor):
            total = affine(node, builder, total, None, operand)
    if node.op == "Mean":
        total = affine(node, builder, total, np.asarray(1.0 / len(operands)), None)
    return total


def lower_binary(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Sub, Mul and Div."""
    left, right = node.operand(0), node.operand(1)
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        if node.op == "Div":
            raise Unsupported("a quotient of two feature maps; division by a constant is supported")
        return eltwise(node.name, builder, "sub" if node.op == "Sub" else "mul", [left, right])
    if isinstance(left, Tensor):
        constant = np.asarray(node.constant(1, "the second operand"), np.float64)
        if node.op == "Sub":
            return affine(node, builder, left, None, -constant)
        if node.op == "Div" and not np.all(constant):
            raise Unsupported("division by zero")
        return affine(node, builder, left, 1 / constant if node.op == "Div" else constant, None)
    if node.op == "Div":
        raise Unsupported("a constant divided by a feature map")
    tensor, constant = node.tensor(1), np.asarray(left, np.float64)
    if node.op == "Sub":
        return affine(node, builder, tensor, np.asarray(-1.0), constant)
    return affine(node, builder, tensor, constant, None)


def lower_negative(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Neg."""
    return negated(node, builder, node.tensor(0))


def negated(node: OnnxNode, builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """-tensor."""
    return affine(node, builder, tensor, np.asarray(-1.0), None)


def lower_power(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Pow with a small whole exponent."""
    tensor, exponent = node.tensor(0), np.asarray(node.constant(1, "the exponent"), np.float64)
    power = float(exponent.ravel()[0]) if exponent.size == 1 else 0.0
    if power not in range(1, LARGEST_EXPONENT + 1):
        raise Unsupported(f"the exponent is no whole number from 1 to {LARGEST_EXPONENT}")
    return tensor if power == 1 else eltwise(node.name, builder, "mul", [tensor] * int(power))


def lower_bound(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Min and Max: with constants of one value a Clip, of feature maps and other constants b + relu(a - b)."""
    tensors = [operand for operand in node.operands if isinstance(operand, Tensor)]
    bounded = tensors[0]
    for other in tensors[1:]:
        bounded = extreme(node.name, builder, bounded, other, node.op)
    low, high = -math.inf, math.inf
    for operand in node.operands:
        if operand is None or isinstance(operand, Tensor):
            continue
        if operand.size == 0:
            raise BadShape("a bound without elements")
        if np.ptp(operand) != 0 or operand.ndim > len(bounded.axes):
            other = constant(node.name, builder, operand, bounded)
            bounded = extreme(node.name, builder, bounded, other, node.op)
            continue
        bound = float(operand.ravel()[0])
        low, high = (max(low, bound), high) if node.op == "Max" else (low, min(high, bound))
    return clip(node.name, builder, bounded, low, high)


def lower_where(node: OnnxNode, builder: GraphBuilder) -> Tensor | Constant:
    """Where by a constant condition: each operand times whether it is chosen, and the sum.

    A constant that is far below, as in masks, is only added: nothing is left of what was there.
    """
    chosen = np.asarray(node.constant(0, "the condition"), bool)
    terms, shift = list[Tensor](), np.zeros(())
    for position, where in ((1, chosen), (2, ~chosen)):
        operand = node.operand(position)
        if isinstance(operand, Tensor):
            other = node.operand(3 - position)
            below = not isinstance(other, Tensor) and np.all(np.where(where, _FAR_BELOW, other) <= _FAR_BELOW)
            factor = None if below else where.astype(np.float64)
            terms += [affine(node, builder, operand, factor, np.zeros(where.shape))] if where.any() else []
        else:
            shift = np.where(where, operand, 0.0)
    if not terms:
        return np.broadcast_to(
            shift, np.broadcast_shapes(*(operand.shape for operand in node.operands if operand is not None))
        )
    whole = eltwise(node.name, builder, "add", terms) if len(terms) > 1 else terms[0]
    return affine(node, builder, whole, None, shift)


def extreme(name: str, builder: GraphBuilder, a: Tensor, b: Tensor, op: str) -> Tensor:
    """max(a, b) = b + relu(a - b) for "Max"; min(a, b) = a - relu(a - b) for "Min"."""
    difference = eltwise(f"{name}.difference", builder, "sub", [a, b])
    excess = builder.activation(f"{name}.excess", difference, Activation(kind=ActivationKind.RELU))
    return eltwise(name, builder, *(("add", [b, excess]) if op == "Max" else ("sub", [a, excess])))


def clip(name: str, builder: GraphBuilder, tensor: Tensor, low: float, high: float) -> Tensor:
    """Clamp to [low, high], the upper bound after the lower one; ReLU where that is all it is."""
    low = min(low, high)
    if low == -math.inf and high == math.inf:
        return tensor
    if low == 0 and high == math.inf:
        return builder.activation(name, tensor, Activation(kind=ActivationKind.RELU))
    return builder.activation(name, tensor, Activation(kind=ActivationKind.CLIP, low=low, high=high))


def lower_batch_norm(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Inference-mode BatchNormalization as scale and shift per channel."""
    tensor = node.tensor(0)
    # Before opset 14 there is no training_mode: having statistics as outputs says it, whether they are used or not.
    asked = node.outputs[1:] if node.opset < 14 else node.used_outputs.intersection(node.outputs[1:])
    if node.integer("training_mode", 0) or any(asked):
        raise NotRepeatable("training mode: export the model in evaluation mode")
    if not node.integer("spatial", 1) and tensor.height * tensor.width > 1:
        raise Unsupported("spatial=0: statistics per pixel")
    named = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (
        np.asarray(node.constant(i + 1, what), np.float64).ravel() for i, what in enumerate(named)
    )
    if len(tensor.axes) < 2 or {scale.size, bias.size, mean.size, variance.size} != {tensor.shape[1]}:
        raise BadShape(f"parameters of {scale.size} channels for an input of shape {list(tensor.shape)}")
    epsilon = node.real("epsilon", 1e-5)
    if np.any(variance + epsilon <= 0):
        raise BadShape("a variance that is not positive")
    factor = scale / np.sqrt(variance + epsilon)
    shape = (1, -1, *(1,) * (len(tensor.axes) - 2))
    return affine(node, builder, tensor, factor.reshape(shape), (bias - mean * factor).reshape(shape))


def lower_lrn(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Local response normalisation across channels."""
    tensor, _ = as_map(node.name, builder, node.tensor(0), ("nchw", "ncw"))
    size = node.integer("size", 0)
    if size < 1:
        raise BadShape(f"size {size}: expected at least 1")
    operation = Lrn(
        size=size, alpha=node.real("alpha", 1e-4), beta=node.real("beta", 0.75), bias=node.real("bias", 1.0)
    )
    return builder.unary(node.name, operation, tensor)


def affine(
    node: OnnxNode, builder: GraphBuilder, tensor: Tensor, factor: Constant | None, shift: Constant | None
) -> Tensor:
    """factor * tensor + shift with constants that broadcast to the tensor.

    What varies over rows or columns is a map of its own.
    """
    shift = None if shift is None else np.maximum(np.asarray(shift, np.float64), _LEAST)  # masks have minus infinity
    rank = max(np.ndim(value) for value in (factor, shift) if value is not None)
    tensor = of_rank(tensor, rank)
    ones, zeros = np.ones(tensor.cells.size), np.zeros(tensor.cells.size)
    try:
        return builder.scale(
            node.name,
            tensor,
            ones if factor is None else per_channel(tensor, factor),
            zeros if shift is None else per_channel(tensor, shift),
        )
    except NotPerChannel:
        if factor is not None and shift is not None:
            return affine(node, builder, affine(node, builder, tensor, factor, None), None, shift)
        how, value = ("add", shift) if factor is None else ("mul", factor)
        assert value is not None
        return eltwise(node.name, builder, how, [tensor, constant(node.name, builder, value, tensor)])


def per_channel(tensor: Tensor, constant: Constant) -> Reals:
    """A constant that broadcasts to the tensor as one value per channel of its view, float64[channels].

    Raises BadShape if it does not broadcast, NotPerChannel if it enlarges the tensor or varies over rows or columns.
    """
    values = np.asarray(constant, np.float64)
    values = values.reshape((1,) * (len(tensor.axes) - values.ndim) + values.shape)
    other = [(size, wanted) for size, wanted in zip(values.shape, tensor.shape, strict=True) if size not in (1, wanted)]
    if any(size == 0 or wanted != 1 for size, wanted in other):
        raise BadShape(f"a constant of shape {list(values.shape)} does not broadcast to {list(tensor.shape)}")
    if other:
        raise NotPerChannel(f"a constant of shape {list(values.shape)} enlarges {list(tensor.shape)}")
    split: list[int] = []
    for size, factors in zip(values.shape, tensor.axes, strict=True):
        split += [1] * len(factors) if size == 1 else [length for _, length in factors]
    spread = values.reshape(split)
    spatial = tuple(i for i, (kind, _) in enumerate(tensor.factors) if kind != "c")
    if spatial and np.any(
        spread != spread[tuple(slice(0, 1) if i in spatial else slice(None) for i in range(spread.ndim))]
    ):
        raise NotPerChannel("a constant that varies over rows or columns")
    channelwise = spread[tuple(0 if i in spatial else slice(None) for i in range(spread.ndim))]
    return np.broadcast_to(channelwise, tensor.cells.shape).ravel()


def eltwise(name: str, builder: GraphBuilder, operation: str, tensors: Sequence[Tensor]) -> Tensor:
    """An element-wise node over feature maps that broadcast to one shape.

    Where their layouts differ, all get that of the largest. Raises BadShape if they do not broadcast.
    """
    rank = max(len(tensor.axes) for tensor in tensors)
    level = [of_rank(tensor, rank) for tensor in tensors]
    if _differ(level):
        largest = max(level, key=lambda tensor: (math.prod(tensor.shape), tensor.height * tensor.width))
        _, order = as_map(name, builder, largest)
        level = [as_map(name, builder, tensor, (order,))[0] for tensor in level]
    axes = [_common_axis([tensor.axes[axis] for tensor in level]) for axis in range(rank)]
    height, width = max(tensor.height for tensor in level), max(tensor.width for tensor in level)
    level = [_stretched(name, builder, tensor, height, width) for tensor in level]
    spread = [_spread(tensor, axes) for tensor in level]
    shape = (spread[0].size, height, width)
    views = [_view(cells) for cells in spread]
    index = builder.emit(name, Eltwise(operation), views, shape)
    return tidy(axes, node_cells(index, shape[0]), Tensor((), spread[0], height, width))


def _stretched(name: str, builder: GraphBuilder, tensor: Tensor, height: int, width: int) -> Tensor:
    """A map that is broadcast along rows or columns alone, repeated along them; a 1 x 1 map needs no help."""
    if (tensor.height, tensor.width) in ((height, width), (1, 1)):
        return tensor
    rows, columns = (
        tuple(range(new)) if old == new else (0,) * new for old, new in ((tensor.height, height), (tensor.width, width))
    )
    index = builder.emit(name, Pick(rows, columns), (tensor.view,), (tensor.cells.size, height, width))
    return Tensor(tensor.axes, node_cells(index, tensor.cells.size).reshape(tensor.cells.shape), height, width)


def _view(cells: Cells) -> View:
    return Tensor((), cells, 1, 1).view


def _common_axis(candidates: list[tuple[Factor, ...]]) -> tuple[Factor, ...]:
    long = [axis for axis in candidates if axis]
    if not long:
        return ()
    sizes = {math.prod(size for _, size in axis) for axis in long}
    if len(sizes) > 1:
        raise BadShape(f"operands of {' and '.join(str(size) for size in sorted(sizes))} elements along one axis")
    return long[0]


def _differ(tensors: Sequence[Tensor]) -> bool:
    """Whether some axis of the tensors holds one thing here and another there."""
    return any(len({axis for axis in axes if axis}) > 1 for axes in zip(*(t.axes for t in tensors), strict=True))


def _spread(tensor: Tensor, axes: Sequence[tuple[Factor, ...]]) -> Cells:
    """The tensor's cells repeated along the channel factors it is broadcast over."""
    shape, indices = [], []
    for own, common in zip(tensor.axes, axes, strict=True):
        for kind, size in common:
            if kind == "c":
                shape.append(size)
                indices.append(slice(None) if own else None)
    return np.broadcast_to(tensor.cells[tuple(indices)], tuple(shape)).ravel()
