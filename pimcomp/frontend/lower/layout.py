"""Operators that move or select data: absorbed by views where they only touch channels, `Crop` and `Pick` otherwise."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from pimcomp.frontend.lower import move, rearrange
from pimcomp.frontend.lower.elementwise import affine, eltwise
from pimcomp.frontend.lower.graph_builder import LARGEST_MAP, LARGEST_SIDE, GraphBuilder
from pimcomp.frontend.lower.layout_parameters import (
    flatten_target,
    pad_amounts,
    permutation,
    reshape_target,
    shape_part,
    slice_indices,
    split_sizes,
)
from pimcomp.frontend.lower.onnx_node import (
    BadShape,
    Constant,
    NotRepeatable,
    OnnxNode,
    Unsupported,
    normal_axes,
    whole_numbers,
)
from pimcomp.frontend.lower.tensor import LayoutError, Softmax, Tensor
from pimcomp.ir.graph import Conv, Crop, Window

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def lower_identity(node: OnnxNode, _: GraphBuilder) -> Tensor:
    """Identity and inference-mode Dropout."""
    if len(node.outputs) > 1 and node.outputs[1] in node.used_outputs:
        raise Unsupported("its mask output is used")
    training = node.constant_or_none(2, "training_mode") if node.op == "Dropout" else None
    if training is not None and np.any(training):
        raise NotRepeatable("training mode: export the model in evaluation mode")
    return node.tensor(0)


def lower_cast(node: OnnxNode, _: GraphBuilder) -> Tensor | Constant:
    """Cast and CastLike between floating-point types: number formats belong to the chip."""
    like = node.operand(1) if node.op == "CastLike" else None
    of_like = None if like is None or isinstance(like, Tensor) else helper.np_dtype_to_tensor_dtype(like.dtype)
    if like is None or of_like is not None:
        to = of_like if of_like is not None else node.integer("to", 0)
        if to not in _FLOATS:
            raise Unsupported("to a type that is not floating point")
    given = node.operand(0)
    return given if isinstance(given, Tensor) else np.asarray(given, np.float32)


def lower_reshape(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Reshape and Flatten."""
    tensor = node.tensor(0)
    target = flatten_target if node.op == "Flatten" else reshape_target
    return move.reshape(node.name, builder, tensor, target(node, tensor.shape))


def lower_transpose(node: OnnxNode, _: GraphBuilder) -> Tensor:
    """Transpose."""
    tensor = node.tensor(0)
    return rearrange.transpose(tensor, permutation(node, len(tensor.axes)))


def lower_squeeze(node: OnnxNode, _: GraphBuilder) -> Tensor:
    """Squeeze and Unsqueeze."""
    tensor = node.tensor(0)
    axes = node.attribute_or_input("axes", 1)
    if node.op == "Squeeze":
        kept = None if axes is None else normal_axes(axes, len(tensor.axes))
        if kept is not None and any(tensor.shape[axis] != 1 for axis in kept):
            raise BadShape(f"cannot squeeze axes {list(kept)} of {list(tensor.shape)}: their sizes are not 1")
        return rearrange.squeeze(tensor, kept)
    new = normal_axes(axes or (), len(tensor.axes) + len(axes or ()))
    if len(new) != len(axes or ()):
        raise BadShape(f"axes {list(axes or ())} name one axis twice")
    return rearrange.unsqueeze(tensor, new)


def lower_concat(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Concatenation: of channels by a view, of rows and columns by adding maps with zeros around them."""
    operands = [node.operand(position) for position in range(len(node.operands))]
    like = next(operand for operand in operands if isinstance(operand, Tensor))
    axis = node.axis(len(like.axes), 1)
    tensors = [
        o if isinstance(o, Tensor) else move.constant(node.name, builder, o, like, axis)
        for o in operands
        if 0 not in o.shape
    ]
    for tensor in tensors:
        same = [s for i, s in enumerate(tensor.shape) if i != axis] == [
            s for i, s in enumerate(tensors[0].shape) if i != axis
        ]
        if not same:
            raise BadShape(f"cannot join {list(tensors[0].shape)} and {list(tensor.shape)} along axis {axis}")
    try:
        return rearrange.concat(tensors, axis)
    except LayoutError:
        return _side_by_side(node.name, builder, tensors, axis)


def _side_by_side(name: str, builder: GraphBuilder, tensors: Sequence[Tensor], axis: int) -> Tensor:
    largest = max(tensors, key=lambda tensor: (math.prod(tensor.shape), tensor.height * tensor.width))
    _, order = move.as_map(name, builder, largest)
    maps = [move.as_map(name, builder, tensor, (order,))[0] for tensor in tensors]
    kind = order[axis]
    if kind == "c":
        return rearrange.concat(maps, axis)
    if kind == "n":
        raise Unsupported(f"it joins {len(tensors)} images along the batch: a program computes one image at a time")
    offset, total, padded = 0, sum(tensor.shape[axis] for tensor in maps), []
    for tensor in maps:
        size = (total, tensor.width) if kind == "h" else (tensor.height, total)
        corner = (-offset, 0) if kind == "h" else (0, -offset)
        padded.append(builder.layer(name, Crop(*corner), tensor, (tensor.cells.size, *size), order))
        offset += tensor.shape[axis]
    return eltwise(name, builder, "add", padded)


def lower_gather(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Gather by constant indices."""
    tensor = node.tensor(0)
    given = node.constant(1, "indices")
    indices = np.array(whole_numbers(given, "indices"), np.int64).reshape(given.shape)
    axis = node.axis(len(tensor.axes), 0)
    size = tensor.shape[axis]
    if np.any((indices < -size) | (indices >= size)) or indices.size == 0:
        raise BadShape(f"indices {indices.ravel()[:8].tolist()} outside the {size} elements of axis {axis}")
    taken = _select(node, builder, tensor, axis, (indices.ravel() % size).tolist())
    shape = (*tensor.shape[:axis], *indices.shape, *tensor.shape[axis + 1 :])
    return taken if indices.ndim == 1 else move.reshape(node.name, builder, taken, shape)


def lower_slice(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Slice: channels by views, rows and columns by cropping (with a step: by pooling one element)."""
    tensor = node.tensor(0)
    for axis, kept in slice_indices(node, tensor.shape).items():
        if len(kept) == 0:
            raise BadShape(f"nothing is left of axis {axis} of {list(tensor.shape)}")
        tensor = _select(node, builder, tensor, axis, kept)
    return tensor


def lower_split(node: OnnxNode, builder: GraphBuilder) -> tuple[Tensor, ...]:
    """Split into consecutive parts."""
    tensor = node.tensor(0)
    axis = node.axis(len(tensor.axes), 0)
    sizes = split_sizes(node, tensor.shape[axis])
    starts = np.cumsum((0, *sizes))
    if min(sizes) < 1:
        raise BadShape(f"parts of {list(sizes)} elements")
    return tuple(
        _select(node, builder, tensor, axis, range(int(start), int(start) + size))
        for start, size in zip(starts, sizes[: len(node.outputs)])
    )


def _select(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, axis: int, kept: Sequence[int]) -> Tensor:
    """The positions `kept` of one axis: a view of channels, a `Crop` of neighbouring rows or columns, else a `Pick`."""
    if kept == range(tensor.shape[axis]):
        return tensor
    kinds = {kind for kind, _ in tensor.axes[axis]}
    if kinds <= {"c"}:
        return rearrange.take_channels(tensor, axis, np.asarray(kept, np.int64))
    order = rearrange.map_order(tensor)
    if order is None:
        tensor = move.in_channels(node.name, builder, tensor, [axis])
        return rearrange.take_channels(tensor, axis, np.asarray(kept, np.int64))
    rows = kinds == {"h"}
    if isinstance(kept, range) and kept.step == 1:
        corner = (kept[0], 0) if rows else (0, kept[0])
        shape = (tensor.cells.size, *((len(kept), tensor.width) if rows else (tensor.height, len(kept))))
        return builder.layer(node.name, Crop(*corner), tensor, shape, order)
    chosen, all_rows, all_columns = tuple(kept), tuple(range(tensor.height)), tuple(range(tensor.width))
    lines = (chosen, all_columns) if rows else (all_rows, chosen)
    return builder.pick(node.name, tensor, *lines, order)


def lower_pad(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Padding of rows and columns with zeros (`Crop`) or what is there (`Pick`), of channels with zeros.

    Channels of zeros come from a 1 x 1 convolution with rows of zeros; another number is added; minus infinity is left
    to the MaxPool behind it.
    """
    tensor = node.tensor(0)
    mode = node.text("mode", "constant")
    before, after, value = pad_amounts(node, len(tensor.axes))
    if not any(before) and not any(after):
        return tensor
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise Unsupported(f"mode {mode!r}; constant, edge, reflect and wrap are supported")
    tensor, order = move.as_map(node.name, builder, tensor)
    amounts = {kind: (before[i], after[i]) for i, kind in enumerate(order)}
    if any(amounts.get("n", (0, 0))):
        raise Unsupported("padding of the batch")
    if mode == "constant" and value <= np.finfo(np.float32).min:
        (top, bottom), (left, right) = amounts.get("h", (0, 0)), amounts.get("w", (0, 0))
        if any(amounts.get("c", (0, 0))) or min(top, bottom, left, right) < 0:
            raise Unsupported("minus infinity around channels, or negative amounts")
        return replace(tensor, border=(top, left, bottom, right))
    if mode == "constant" and value != 0:
        zeros = _pad(node, builder, tensor, order, amounts, mode)
        around = np.full(zeros.shape, value)
        around[tuple(slice(max(0, b), size - max(0, a)) for b, a, size in zip(before, after, zeros.shape))] = 0
        channels = slice(None) if any(amounts.get("c", (0, 0))) else slice(0, 1)
        shift = around[tuple(channels if kind == "c" else slice(None) for kind in order)]
        return affine(node, builder, zeros, None, shift)
    return _pad(node, builder, tensor, order, amounts, mode)


def _pad(
    node: OnnxNode, builder: GraphBuilder, tensor: Tensor, order: str, amounts: dict[str, tuple[int, int]], mode: str
) -> Tensor:
    """Padding by (before, after) per kind of axis."""
    if any(amounts.get("c", (0, 0))):
        if mode != "constant":
            line = _padded_line(tensor.cells.size, *amounts["c"], mode)
            tensor = rearrange.take_channels(tensor, order.index("c"), np.array(line))
        else:
            tensor = _pad_channels(node, builder, tensor, *amounts["c"], order)
    (top, bottom), (left, right) = amounts.get("h", (0, 0)), amounts.get("w", (0, 0))
    if not any((top, bottom, left, right)):
        return tensor
    if mode != "constant":
        rows, columns = (
            _padded_line(size, *pads, mode)
            for size, pads in ((tensor.height, (top, bottom)), (tensor.width, (left, right)))
        )
        return builder.pick(node.name, tensor, rows, columns, order)
    shape = (tensor.cells.size, tensor.height + top + bottom, tensor.width + left + right)
    return builder.layer(node.name, Crop(-top, -left), tensor, shape, order)


def _padded_line(size: int, before: int, after: int, mode: str) -> tuple[int, ...]:
    """Which input position every position of a padded axis shows; negative amounts cut it first."""
    if max(before, after) > LARGEST_SIDE or size + min(before, 0) + min(after, 0) < 1:
        raise BadShape(f"{before} and {after} elements around {size}")
    line = np.arange(size)[max(0, -before) : size - max(0, -after)]
    if mode == "reflect" and max(before, after) >= len(line):
        raise BadShape(f"{before} and {after} mirrored elements around {len(line)}")
    amounts = (max(0, before), max(0, after))
    padded = np.pad(line, amounts, mode="edge" if mode == "edge" else "reflect" if mode == "reflect" else "wrap")
    return tuple(padded.tolist())


def _pad_channels(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, before: int, after: int, order: str) -> Tensor:
    channels = tensor.cells.size
    if not 1 <= before + channels + after <= LARGEST_MAP // channels:
        raise BadShape(f"{before} and {after} channels around {channels}")
    weights = np.eye(before + channels + after, channels, k=-before, dtype=np.float32)
    operation = Conv(window=Window(kernel=(1, 1)), weights=weights.reshape(*weights.shape, 1, 1))
    return builder.layer(node.name, operation, tensor, (len(weights), tensor.height, tensor.width), order)


def lower_expand(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Expand: axes of size 1 repeated."""
    tensor = node.tensor(0)
    target = whole_numbers(node.constant(1, "the shape"), "the shape")
    rank = max(len(target), len(tensor.axes))
    tensor = rearrange.of_rank(tensor, rank)
    padded = (*(1,) * (rank - len(target)), *target)
    for axis, wanted in enumerate(padded):
        size = tensor.shape[axis]
        if 1 not in (wanted, size) and wanted != size:
            raise BadShape(f"{list(tensor.shape)} does not broadcast to {list(target)}")
    return _repeat(node, builder, tensor, [wanted if size == 1 else 1 for wanted, size in zip(padded, tensor.shape)])


def lower_tile(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """Tile: rows, columns or channels repeated as a whole."""
    tensor = node.tensor(0)
    counts = whole_numbers(node.constant(1, "repeats"), "repeats")
    if len(counts) != len(tensor.axes) or min(counts) < 1:
        raise BadShape(f"repeats {list(counts)} for {list(tensor.shape)}")
    return _repeat(node, builder, tensor, counts)


def _repeat(node: OnnxNode, builder: GraphBuilder, tensor: Tensor, counts: Sequence[int]) -> Tensor:
    """Every axis, `counts` times behind itself."""
    for size, count in zip(tensor.shape, counts, strict=True):
        if size * count > LARGEST_SIDE:
            raise BadShape(f"{size * count} elements along an axis")
    order = rearrange.map_order(tensor)
    if all(count == 1 for count in counts):
        return tensor
    repeated = [axis for count, axis in zip(counts, tensor.axes, strict=True) if count > 1]
    if order is None and {k for axis in (repeated if len(counts) > 4 else tensor.axes) for k, _ in axis} <= {"c"}:
        for axis, count in enumerate(counts):
            chosen = np.tile(np.arange(tensor.shape[axis]), count)
            tensor = tensor if count == 1 else rearrange.take_channels(tensor, axis, chosen)
        return tensor
    tensor, order = move.as_map(node.name, builder, tensor)
    times = dict(zip(order, counts, strict=True))
    if times.get("n", 1) > 1:
        raise Unsupported(f"it repeats the batch: {list(tensor.shape)}")
    if times.get("c", 1) > 1:
        chosen = np.tile(np.arange(tensor.cells.size), times["c"])
        tensor = rearrange.take_channels(tensor, order.index("c"), chosen)
    rows, columns = tuple(range(tensor.height)), tuple(range(tensor.width))
    return builder.pick(node.name, tensor, rows * times.get("h", 1), columns * times.get("w", 1), order)


def lower_shape(node: OnnxNode, _: GraphBuilder) -> Constant:
    """The shape of a feature map: a constant, because only the batch is dynamic."""
    return shape_part(node, node.tensor(0).shape)


def lower_softmax(node: OnnxNode, _: GraphBuilder) -> Tensor:
    """Softmax and LogSoftmax, remembered until the network's output: the host applies it.

    Before opset 13 it runs over all axes from `axis` on; that is one axis here if the others have size 1.
    """
    tensor = node.tensor(0)
    rank = len(tensor.axes)
    axis = node.axis(rank, -1 if node.opset >= 13 else 1)
    if node.opset < 13:
        block = [i for i in range(axis, rank) if tensor.shape[i] > 1]
        if len(block) > 1:
            raise Unsupported(f"over several axes of {list(tensor.shape)} at once")
        axis = block[0] if block else axis
    return replace(tensor, softmax=Softmax(node.name, node.op, node.opset, axis))
