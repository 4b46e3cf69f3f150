"""Global pooling of large maps in two steps, rows first, so that it spreads over the cores that own the rows."""

import math
from dataclasses import replace

import numpy as np

from pimcomp.ir.graph import Graph, Node, Pool, View, Window, whole

# One core gathers a whole map of up to this many elements; larger ones are reduced row by row where they are.
GATHER_ELEMENTS = 16384


def split_pools(graph: Graph) -> Graph:
    """Replace pooling over a whole large map by pooling over rows, then over the column of results.

    Both averages weigh equally many elements, so the result is the same mean.
    """
    if not any(_is_large_global_pool(graph, node) for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    moved = np.zeros(len(graph.nodes), dtype=np.int32)  # new index of each node's result

    def renumber(view: View) -> View:
        return View(moved[view.sources], view.channels)

    for index, node in enumerate(graph.nodes):
        inputs = tuple(renumber(view) for view in node.inputs)
        if _is_large_global_pool(graph, node):
            pool = node.operation
            assert isinstance(pool, Pool)
            height, width = pool.window.kernel
            rows = replace(
                node,
                name=f"{node.name}.rows",
                operation=replace(pool, window=Window(kernel=(1, width))),
                inputs=inputs,
                height=height,
                activation=None,
            )
            nodes.append(rows)
            inputs = (whole(len(nodes) - 1, node.channels),)
            node = replace(node, operation=replace(pool, window=Window(kernel=(height, 1))))  # noqa: PLW2901
        nodes.append(replace(node, inputs=inputs))
        moved[index] = len(nodes) - 1
    outputs = tuple(replace(output, view=renumber(output.view)) for output in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _is_large_global_pool(graph: Graph, node: Node) -> bool:
    if not isinstance(node.operation, Pool) or node.height * node.width != 1:
        return False
    shape, window = graph.shape_of(node.inputs[0]), node.operation.window
    covers = window.kernel == shape[1:] and not any(window.pads)
    return covers and min(window.kernel) > 1 and math.prod(shape) > GATHER_ELEMENTS
