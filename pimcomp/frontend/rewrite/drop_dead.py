"""Graph pass: remove nodes that no output depends on."""

from pimcomp.frontend.rewrite.rewire import rewire, sources
from pimcomp.ir.graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """The graph without nodes that no output reads, directly or through others."""
    alive = {source for output in graph.outputs for source in sources(output.view)}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in alive:
            alive.update(source for view in graph.nodes[index].inputs for source in sources(view))
    if len(alive) == len(graph.nodes):
        return graph
    return rewire(graph, [node if i in alive else None for i, node in enumerate(graph.nodes)], {})
