"""ONNX pass: keep only what the network's outputs depend on."""

from collections.abc import Iterable

import onnx


def drop_dead_nodes(model: onnx.ModelProto) -> None:
    """Remove, in place, the nodes that no output of the model depends on."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    live: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            live.append(node)
            needed.update(node.input)
            needed.update(_captured(node))
    if len(live) < len(graph.node):
        del graph.node[:]
        graph.node.extend(reversed(live))


def _captured(node: onnx.NodeProto) -> Iterable[str]:
    """Names that the bodies of control flow read from around them."""
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from inner.input
                yield from _captured(inner)
