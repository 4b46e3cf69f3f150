"""What attention is made of: products of two feature maps, softmax and normalisation across channels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pimcomp.frontend.lower.elementwise import affine
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.move import as_map, in_channels, turned
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported
from pimcomp.frontend.lower.rearrange import ORDERS, of_rank
from pimcomp.frontend.lower.tensor import Tensor, channel_dims, channels_of, node_cells, tidy
from pimcomp.ir.graph import Normalise, Product, Softmax


def applied_softmax(builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """A tensor whose softmax was left to the host, with it computed on the chip because the network goes on."""
    pending = tensor.softmax
    if pending is None:
        return tensor
    if pending.op == "LogSoftmax":
        raise Unsupported("a logarithm inside the network; at its end the host computes it")
    return _across(pending.node, builder, replace(tensor, softmax=None), [pending.axis], Softmax())


def lower_layer_norm(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """LayerNormalization and RMSNormalization, over channels."""
    tensor = node.tensor(0)
    rank = len(tensor.axes)
    if len(node.outputs) > 1 and node.used_outputs.intersection(node.outputs[1:]):
        raise Unsupported("its mean or deviation is used")
    operation = Normalise(node.real("epsilon", 1e-5), centred=node.op == "LayerNormalization")
    result = _across(node.name, builder, tensor, range(node.axis(rank, -1), rank), operation)
    scale = np.asarray(node.constant(1, "the scale"), np.float64)
    return affine(node, builder, result, scale, node.constant_or_none(2, "the bias"))


def _across(
    name: str, builder: GraphBuilder, tensor: Tensor, axes: Sequence[int], operation: Softmax | Normalise
) -> Tensor:
    """An operation across the channels of some axes, one node for each combination of the channels of the others."""
    if any(kind != "c" for axis in axes for kind, _ in tensor.axes[axis]):
        orders = [o for o in ORDERS if len(o) == len(tensor.axes) and o.find("c") in axes]
        orders = [o for o in orders if o[0] != "n" or not tensor.axes[0]]
        near = len(axes) == 1 and bool(orders)
        tensor = as_map(name, builder, tensor, orders)[0] if near else in_channels(name, builder, tensor, axes)
    results = [builder.unary(name, operation, part).cells for part in _maps(tensor, axes)]
    dims = channel_dims(tensor, axes)
    behind = range(-len(dims), 0)
    shape = np.moveaxis(tensor.cells, dims, behind).shape
    return replace(tensor, cells=np.moveaxis(np.stack(results).reshape(shape), behind, dims))


def _maps(tensor: Tensor, axes: Sequence[int]) -> list[Tensor]:
    """The channels of some axes as maps, one for each combination of the channels of the others."""
    return [replace(tensor, axes=(), cells=cells) for cells in channels_of(tensor, axes)]


def lower_product(node: OnnxNode, builder: GraphBuilder, left: Tensor, right: Tensor) -> Tensor:
    """MatMul of two feature maps: rows of the left against columns of the right, for every head.

    A head is a combination of the channels in the axes ahead of the last two. In the left operand the pixels lie along
    the rows, in the right one along the columns; where it is the other way round, both are exchanged.
    """
    rank = max(len(left.axes), len(right.axes), 2)
    if min(len(left.axes), len(right.axes)) < 2:
        raise Unsupported("a product of a map with a vector")
    left, right = (in_channels(node.name, builder, of_rank(tensor, rank), range(rank - 2)) for tensor in (left, right))
    if left.shape[-1] != right.shape[-2]:
        raise BadShape(f"a product of {list(left.shape)} and {list(right.shape)}")
    ours, theirs = (
        _heads(node.name, builder, tensor, pixels, channels)
        for tensor, pixels, channels in ((left, rank - 2, rank - 1), (right, rank - 1, rank - 2))
    )
    ahead = [one or other for one, other in zip(left.axes[: rank - 2], right.axes[: rank - 2], strict=True)]
    heads = int(np.prod([size for axis in ahead for _, size in axis]))
    if not {len(ours), len(theirs)} <= {1, heads}:
        raise Unsupported(f"a product of {list(left.shape)} and {list(right.shape)}: their heads do not match")
    results = []
    for head in range(heads):
        one, other = ours[head % len(ours)], theirs[head % len(theirs)]
        shape = (other.height * other.width, one.height, one.width)
        results.append(node_cells(builder.emit(node.name, Product(), (one.view, other.view), shape), shape[0]))
    return tidy([*ahead, ours[0].pixels, (("c", len(results[0])),)], np.stack(results), ours[0])


def _heads(name: str, builder: GraphBuilder, tensor: Tensor, pixels: int, channels: int) -> list[Tensor]:
    """The maps of all heads, the pixels of axis `pixels` and the channels of axis `channels`."""
    kinds = [[kind for kind, _ in tensor.axes[axis]] for axis in (pixels, channels)]
    exchanged = "c" in kinds[0] and "c" not in kinds[1]
    if exchanged:
        pixels, channels = channels, pixels
    if tensor.axes[pixels] != tensor.pixels or any(kind != "c" for kind, _ in tensor.axes[channels]):
        order = "".join("w" if axis == pixels else "c" for axis in range(len(tensor.axes)))
        tensor, _ = as_map(name, builder, tensor, (order,))
    parts = _maps(tensor, [channels])
    return [turned(name, builder, part, "cw") for part in parts] if exchanged else parts
