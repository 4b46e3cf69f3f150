"""Graph pass: move stand-alone activations into the nodes whose results they read.

An element-wise function commutes with gathering channels, so an activation behind a concatenation goes to every source
of it. A source takes it only if nothing else reads that source.
"""

from dataclasses import replace

from pimcomp.frontend.rewrite.rewire import resolve, rewire
from pimcomp.ir.graph import Graph, Loaded, Node, Standalone, View


def fuse_activations(graph: Graph) -> Graph:
    """The same function with as few `Standalone` nodes as possible; fused nodes keep their producer's name."""
    read_by = graph.readers()
    nodes: list[Node | None] = list(graph.nodes)
    moved: dict[int, View] = {}
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operation, Standalone) or node.activation is None:
            continue
        view = resolve(node.inputs[0], moved)
        producers = {source: nodes[source] for source in view.nodes}
        takers = {s: p for s, p in producers.items() if p is not None and _takes(p) and read_by[s] == {index}}
        if len(takers) < len(producers):
            continue
        for source, producer in takers.items():
            nodes[source] = replace(producer, activation=node.activation)
        nodes[index] = None
        moved[index] = view
    return rewire(graph, nodes, moved)


def _takes(node: Node) -> bool:
    """Whether a node can apply an activation to its own result."""
    return node.activation is None and not isinstance(node.operation, Loaded)
