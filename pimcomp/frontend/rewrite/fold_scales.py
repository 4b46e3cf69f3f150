"""Graph pass: multiply per-channel scales (BatchNormalization, Mul, Add with constants) into the layers around them.

First backwards into the convolutions that compute the scaled channels, then forwards into the convolution that reads
them. What remains (between a pooling and a ReLU, say) stays a depthwise 1 x 1 convolution.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.rewrite.rewire import as_scale, resolve, rewire
from pimcomp.ir.graph import Activation, ActivationKind, Conv, FloatArray, Graph, Node, Product, View

Reals = npt.NDArray[np.float64]


def fold_scales(graph: Graph) -> Graph:
    """The same function with as few scales as possible; the layer that takes one in keeps its name."""
    return _fold_forwards(_fold_backwards(graph))


def _fold_backwards(graph: Graph) -> Graph:
    """A scale of channels that convolutions compute and nothing else reads moves into them.

    Where they are inner products, one factor for all moves into the left operands: attention's, into the queries.
    """
    uses = _uses(graph)
    nodes: list[Node | None] = list(graph.nodes)
    moved: dict[int, View] = {}
    for index, node in enumerate(graph.nodes):
        scale = as_scale(node)
        if scale is None:
            continue
        view = resolve(node.inputs[0], moved)
        factor, shift = scale.weights.ravel().astype(np.float64), _bias(scale)
        products = {source for source in view.nodes if isinstance(graph.nodes[source].operation, Product)}
        target, readers = view, {index}
        if products and not np.any(shift) and np.ptp(factor) == 0 and node.activation is None:
            if any(nodes[p] is None or graph.nodes[p].activation or _others(uses[p], {index}) for p in products):
                continue
            lefts = [resolve(graph.nodes[p].inputs[0], moved) for p in sorted(products)]
            target = View(*(np.concatenate(parts) for parts in zip(*((v.sources, v.channels) for v in lefts))))
            factor, shift, readers = np.full(len(target.sources), factor[0]), np.zeros(len(target.sources)), products
            if products != set(view.nodes) or len(view.channels) != sum(graph.nodes[p].channels for p in products):
                continue
        scaled = (
            {} if _repeats(view) or _repeats(target) else _all_taken(nodes, uses, node, target, readers, factor, shift)
        )
        if not scaled:
            continue
        for source, taken in scaled.items():
            nodes[source] = taken
        for source in view.nodes:
            kept = [use for use in uses[source] if use.reader != index]
            uses[source] = kept + [_through(use, view, source) for use in uses[index]]
        nodes[index] = None
        moved[index] = view
    return rewire(graph, nodes, moved)


class _Use(NamedTuple):
    """Channels of a node that another one reads as operand `place`; network output k counts as reader -1 - k."""

    reader: int
    place: int
    channels: npt.NDArray[np.int32]


def _uses(graph: Graph) -> list[list[_Use]]:
    """For every node who reads which of its channels."""
    found: list[list[_Use]] = [[] for _ in graph.nodes]
    views = [(i, place, view) for i, node in enumerate(graph.nodes) for place, view in enumerate(node.inputs)]
    for reader, place, view in (*views, *((-1 - k, 0, output.view) for k, output in enumerate(graph.outputs))):
        for source in view.nodes:
            found[source].append(_Use(reader, place, view.channels[view.sources == source]))
    return found


def _others(uses: list[_Use], readers: set[int]) -> list[_Use]:
    """Uses but those as the first operand of some readers."""
    return [use for use in uses if use.reader not in readers or use.place]


def _through(use: _Use, view: View, source: int) -> _Use:
    """The use of a node that showed a view, as one of what the view shows of a source."""
    read = view.channels[use.channels], view.sources[use.channels] == source
    return use._replace(channels=read[0][read[1]])


def _all_taken(
    nodes: list[Node | None],
    uses: list[list[_Use]],
    scale: Node,
    target: View,
    readers: set[int],
    factor: Reals,
    shift: Reals,
) -> dict[int, Node]:
    """Every producer of the channels of `target` with the scale in it; nothing if one of them cannot take it."""
    scaled: dict[int, Node] = {}
    for source in target.nodes:
        at, producer = target.sources == source, nodes[source]
        others = _others(uses[source], readers)
        partly = producer is not None and producer.activation is None and scale.activation is None
        if others and not (partly and not any(np.isin(use.channels, target.channels[at]).any() for use in others)):
            return {}
        taken = _take(producer, scale.activation, target.channels[at], factor[at], shift[at])
        if taken is None:
            return {}
        scaled[source] = taken
    return scaled


def _take(
    node: Node | None, after: Activation | None, channels: npt.NDArray[np.int32], factor: Reals, shift: Reals
) -> Node | None:
    """The node with some of its channels multiplied and shifted, then put through `after`; None if it cannot.

    A scale passes an activation of the node where the two commute: a positive factor and ReLU, or one and the same
    positive factor and a clip.
    """
    if node is None or not isinstance(node.operation, Conv):
        return None
    activation = after
    if node.activation is not None:
        if after is not None or np.any(shift) or np.any(factor <= 0):
            return None
        activation = _rescaled(node.activation, factor if len(factor) == node.channels else None)
        if activation is None:
            return None
    return replace(node, operation=_scaled(node.operation, channels, factor, shift), activation=activation)


def _rescaled(activation: Activation, factor: Reals | None) -> Activation | None:
    """g with g(factor * x) = factor * activation(x), if there is one; factor None: it differs between channels."""
    if activation.kind in (ActivationKind.RELU, ActivationKind.LEAKY_RELU):
        return activation
    if activation.kind is not ActivationKind.CLIP or factor is None or np.ptp(factor) != 0:
        return None
    return replace(activation, low=activation.low * float(factor[0]), high=activation.high * float(factor[0]))


def _repeats(view: View) -> bool:
    codes = view.sources.astype(np.int64) << 32 | view.channels
    return len(np.unique(codes)) < len(codes)


def _bias(conv: Conv) -> Reals:
    """The bias as float64[out_channels], zeros if there is none."""
    return np.zeros(len(conv.weights)) if conv.bias is None else conv.bias.astype(np.float64)


def _scaled(conv: Conv, channels: npt.NDArray[np.int32], factor: Reals, shift: Reals) -> Conv:
    """The convolution with the given output channels multiplied and shifted."""
    full_factor, bias = np.ones(len(conv.weights)), _bias(conv)
    full_factor[channels] = factor
    bias *= full_factor
    bias[channels] += shift
    return replace(conv, weights=_times(conv.weights, full_factor[:, None, None, None]), bias=_bias_or_none(conv, bias))


def _bias_or_none(conv: Conv, bias: Reals) -> FloatArray | None:
    return None if conv.bias is None and not np.any(bias) else bias.astype(np.float32)


def _times(weights: FloatArray, factor: Reals) -> FloatArray:
    """Product rounded once; a layer at a time, so that the largest one needs no float64 copy of the whole network."""
    return (weights * factor).astype(np.float32)


def _fold_forwards(graph: Graph) -> Graph:
    """A scale without activation that one convolution alone reads moves into its weights.

    A shift becomes part of the bias, which is exact only where no window reaches into padding.
    """
    read_by = graph.readers()
    nodes: list[Node | None] = list(graph.nodes)
    moved: dict[int, View] = {}
    for index in range(len(nodes)):
        node = nodes[index]  # with the scales before it in its weights
        scale = None if node is None or node.activation is not None else as_scale(node)
        if node is None or scale is None or len(read_by[index]) != 1:
            continue
        consumer_index = next(iter(read_by[index]))
        consumer = nodes[consumer_index] if consumer_index >= 0 else None
        if consumer is None or not isinstance(consumer.operation, Conv):
            continue
        shift = _bias(scale)
        if np.any(shift) and any(consumer.operation.window.pads):
            continue
        factor = scale.weights.ravel().astype(np.float64)
        operation = _prescaled(consumer.operation, consumer.inputs[0], index, factor, shift)
        nodes[consumer_index] = replace(consumer, operation=operation)
        nodes[index] = None
        moved[index] = resolve(node.inputs[0], moved)
    return rewire(graph, nodes, moved)


def _prescaled(conv: Conv, view: View, source: int, factor: Reals, shift: Reals) -> Conv:
    """The convolution that gives for x what `conv` gives for factor * x + shift in the channels from `source`."""
    channels = len(view.channels)
    in_factor, in_shift = np.ones(channels), np.zeros(channels)
    at = view.sources == source
    in_factor[at], in_shift[at] = factor[view.channels[at]], shift[view.channels[at]]
    outs, per_group = conv.weights.shape[:2]
    grouped = conv.weights.reshape(conv.groups, outs // conv.groups, per_group, *conv.window.kernel)
    bias = _bias(conv)
    if np.any(in_shift):
        sums = grouped.sum(axis=(3, 4), dtype=np.float64)
        bias += np.einsum("gok,gk->go", sums, in_shift.reshape(conv.groups, per_group)).ravel()
    weights = _times(grouped, in_factor.reshape(conv.groups, 1, per_group, 1, 1)).reshape(conv.weights.shape)
    return replace(conv, weights=weights, bias=_bias_or_none(conv, bias))
