"""What graph passes share: taking nodes out while every view finds its channels again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pimcomp.ir.graph import Conv, Graph, Node, View


def resolve(view: View, moved: Mapping[int, View]) -> View:
    """The view with every node that is taken out replaced by where its channels are now.

    moved: node -> view; channel k of the node is channel k of that view, which names no node that is taken out.
    """
    gone = [source for source in view.nodes if source in moved]
    if not gone:
        return view
    origin, channels = view.sources.copy(), view.channels.copy()
    for node in gone:
        at = view.sources == node
        origin[at] = moved[node].sources[view.channels[at]]
        channels[at] = moved[node].channels[view.channels[at]]
    return View(origin, channels)


def rewire(graph: Graph, nodes: Sequence[Node | None], moved: Mapping[int, View]) -> Graph:
    """The graph with `nodes` in place of its own, without those that are None, and all views renumbered."""
    kept = tuple(node for node in nodes if node is not None)
    if not moved and len(kept) == len(nodes):
        return replace(graph, nodes=kept)
    number = np.cumsum([node is not None for node in nodes], dtype=np.int32) - np.int32(1)

    def renumbered(view: View) -> View:
        found = resolve(view, moved)
        return View(number[found.sources].astype(np.int32), found.channels)

    return replace(
        graph,
        nodes=tuple(replace(node, inputs=tuple(map(renumbered, node.inputs))) for node in kept),
        outputs=tuple(replace(output, view=renumbered(output.view)) for output in graph.outputs),
    )


def drop_dead(graph: Graph) -> Graph:
    """The graph without nodes that no output reads, directly or through others."""
    alive = {source for output in graph.outputs for source in output.view.nodes}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in alive:
            alive.update(source for view in graph.nodes[index].inputs for source in view.nodes)
    if len(alive) == len(graph.nodes):
        return graph
    return rewire(graph, [node if i in alive else None for i, node in enumerate(graph.nodes)], {})


def is_depthwise(node: Node) -> bool:
    """Whether a node is a convolution with one input channel per group."""
    return (
        isinstance(node.operation, Conv)
        and node.operation.weights.shape[1] == 1
        and (node.operation.groups == len(node.inputs[0].channels))
    )


def as_scale(node: Node) -> Conv | None:
    """The node's operation if it multiplies every channel by a number (and adds another), else None."""
    conv = node.operation
    if not isinstance(conv, Conv) or not is_depthwise(node) or conv.groups != node.channels:
        return None
    window = conv.window
    plain = window.kernel == (1, 1) and window.stride == (1, 1) and not any(window.pads)
    return conv if plain else None
