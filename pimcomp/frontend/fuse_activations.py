"""Graph pass: move stand-alone activations into the nodes whose results they read.

An element-wise function commutes with gathering channels, so an activation behind a concatenation goes to every source
of it. A source takes it only if nothing else reads that source.
"""

from dataclasses import replace

import numpy as np

from pimcomp.ir.graph import Graph, Input, Node, Standalone, View


def fuse_activations(graph: Graph) -> Graph:
    """The same function with as few `Standalone` nodes as possible; fused nodes keep their producer's name."""
    readers = _readers(graph)
    nodes: list[Node | None] = list(graph.nodes)
    views: dict[int, View] = {}  # fused node -> what it read
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operation, Standalone) or node.activation is None:
            continue
        view = _resolved(node.inputs[0], views)
        sources = np.unique(view.sources).tolist()
        producers = [nodes[source] for source in sources]
        if all(readers[s] == {index} and p is not None and _takes(p) for s, p in zip(sources, producers, strict=True)):
            for source, producer in zip(sources, producers, strict=True):
                if producer is not None:
                    nodes[source] = replace(producer, activation=node.activation)
            nodes[index] = None
            views[index] = view
    return _without_fused(graph, nodes, views)


def _takes(node: Node) -> bool:
    """Whether a node can apply an activation to its own result."""
    return node.activation is None and not isinstance(node.operation, Input)


def _readers(graph: Graph) -> list[set[int]]:
    """For every node the nodes that read it; network output k counts as reader -1 - k."""
    readers: list[set[int]] = [set() for _ in graph.nodes]
    reads = [(i, view) for i, node in enumerate(graph.nodes) for view in node.inputs]
    reads += [(-1 - k, output.view) for k, output in enumerate(graph.outputs)]
    for reader, view in reads:
        for source in np.unique(view.sources).tolist():
            readers[source].add(reader)
    return readers


def _resolved(view: View, views: dict[int, View]) -> View:
    """The view with every fused node replaced by what that node read."""
    sources, channels = view.sources.copy(), view.channels.copy()
    for fused in np.intersect1d(np.unique(sources), list(views)).tolist():
        at = view.sources == fused
        sources[at] = views[fused].sources[view.channels[at]]
        channels[at] = views[fused].channels[view.channels[at]]
    return View(sources, channels)


def _without_fused(graph: Graph, nodes: list[Node | None], views: dict[int, View]) -> Graph:
    """Drop the fused nodes and renumber the rest."""
    number = np.cumsum([node is not None for node in nodes]).astype(np.int32) - 1

    def renumber(view: View) -> View:
        resolved = _resolved(view, views)
        return View(number[resolved.sources].astype(np.int32), resolved.channels)

    return replace(
        graph,
        nodes=tuple(
            replace(node, inputs=tuple(renumber(view) for view in node.inputs)) for node in nodes if node is not None
        ),
        outputs=tuple(replace(output, view=renumber(output.view)) for output in graph.outputs),
    )
