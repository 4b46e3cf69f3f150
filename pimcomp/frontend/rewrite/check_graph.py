"""The invariants of a Graph, executable: shapes follow from operations, views point backwards and inside."""

from pimcomp.errors import InvariantError
from pimcomp.ir.graph import Graph, Node, View, expected_shape


def check_graph(graph: Graph) -> None:
    """Raises InvariantError naming the first node or output that contradicts its inputs."""
    for index, node in enumerate(graph.nodes):
        problem = _views(graph, node.inputs, index) or _problem(graph, node)
        if problem:
            raise InvariantError(f"{graph.name}: node {index} ({node.name}): {problem}")
    for output in graph.outputs:
        problem = _views(graph, (output.view,), len(graph.nodes))
        if problem:
            raise InvariantError(f"{graph.name}: output {output.name}: {problem}")


def _views(graph: Graph, views: tuple[View, ...], end: int) -> str:
    for view in views:
        if len(view.sources) == 0 or len(view.sources) != len(view.channels):
            return f"a view of {len(view.sources)} sources and {len(view.channels)} channels"
        read = view.nodes
        if read[0] < 0 or read[-1] >= end:
            return f"reads node {read[-1] if read[-1] >= end else read[0]}, which does not come before it"
        if len({(graph.nodes[source].height, graph.nodes[source].width) for source in read}) > 1:
            return f"reads maps of different sizes: nodes {read}"
        for source in read:
            channels = view.channels[view.sources == source]
            if channels.min() < 0 or channels.max() >= graph.nodes[source].channels:
                return f"reads channels {channels.min()} to {channels.max()} of node {source}"
    return ""


def _problem(graph: Graph, node: Node) -> str:
    found = (node.channels, node.height, node.width)
    try:
        expected = expected_shape(node, [graph.shape_of(view) for view in node.inputs])
    except ValueError as wrong:
        return str(wrong)
    return "" if found == expected and min(found) > 0 else f"shape {found}, expected {expected}"
