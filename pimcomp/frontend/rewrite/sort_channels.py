"""Graph pass: nodes read their channels in the order in which they exist, so that no shuffle moves data.

An operation that treats every channel alike (pooling, activation, crop, element-wise, depthwise convolution) computes
its channels in the order of its sources, and whoever reads it follows. A convolution reads the channels of each of its
groups in that order and permutes its weights instead; its own channels stay.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.rewrite.rewire import is_depthwise
from pimcomp.ir.graph import Conv, Crop, Eltwise, Graph, IntArray, Node, Pick, Pool, Standalone, View

Order = npt.NDArray[np.intp]


def sort_channels(graph: Graph) -> Graph:
    """The same function with every first operand sorted by (source, channel), as far as groups allow."""
    places: list[IntArray | None] = []  # per node: where its old channels are now
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(_follow(view, places) for view in node.inputs))  # noqa: PLW2901
        order = _sorting(node)
        if order is None or np.array_equal(order, np.arange(len(order))):
            nodes.append(node)
            places.append(None)
        elif isinstance(node.operation, Conv) and not is_depthwise(node):
            nodes.append(_with_sorted_inputs(node, node.operation, order))
            places.append(None)
        else:
            ordered, own_order = _reordered(node, order)
            nodes.append(ordered)
            places.append(_inverse(own_order))
    outputs = tuple(replace(output, view=_follow(output.view, places)) for output in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _follow(view: View, places: list[IntArray | None]) -> View:
    channels = view.channels
    for source in view.nodes:
        place = places[source]
        if place is not None:
            at = view.sources == source
            channels = np.where(at, place[np.where(at, view.channels, 0)], channels)
    return view if channels is view.channels else View(view.sources, channels.astype(np.int32))


def _inverse(order: Order) -> IntArray:
    inverse = np.empty(len(order), np.int32)
    inverse[order] = np.arange(len(order), dtype=np.int32)
    return inverse


def _sorting(node: Node) -> Order | None:
    """The order in which the node should read its first operand, None if it has to stay as it is."""
    if not node.inputs:
        return None
    view = node.inputs[0]
    if view.runs.shape[1] == 1:
        return None  # sorted
    if isinstance(node.operation, Conv):
        group = np.arange(len(view.channels)) // node.operation.weights.shape[1]
        if is_depthwise(node):
            group = np.zeros_like(group)
        return np.lexsort((view.channels, view.sources, group))
    if isinstance(node.operation, Pool | Eltwise | Standalone | Crop | Pick):
        return np.lexsort((view.channels, view.sources))
    return None  # Lrn: neighbouring channels matter


def _with_sorted_inputs(node: Node, conv: Conv, order: Order) -> Node:
    """Rows of the weight matrix in the order of the channels."""
    outs, per_group = conv.weights.shape[:2]
    within = (order.reshape(conv.groups, per_group) % per_group).repeat(outs // conv.groups, axis=0)
    weights = np.take_along_axis(conv.weights, within[:, :, None, None], axis=1)
    return replace(node, operation=replace(conv, weights=weights), inputs=(_taken(node.inputs[0], order),))


def _reordered(node: Node, order: Order) -> tuple[Node, Order]:
    """The node with its channels in another order, and which old channel each of its channels is."""
    views = tuple(_taken(view, order) for view in node.inputs)
    if not isinstance(node.operation, Conv):
        return replace(node, inputs=views), order
    conv = node.operation
    multiplier = node.channels // conv.groups
    outputs = (order[:, None] * multiplier + np.arange(multiplier)).ravel()
    bias = None if conv.bias is None else conv.bias[outputs]
    return replace(node, inputs=views, operation=replace(conv, weights=conv.weights[outputs], bias=bias)), outputs


def _taken(view: View, order: Order) -> View:
    return View(view.sources[order], view.channels[order])
