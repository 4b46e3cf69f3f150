"""Which rows of which feature map an output row needs, which rows anybody needs, and in which order to produce them."""

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import Conv, Crop, Graph, Node, Pick, Pool


def input_rows(node: Node, row: int, source_height: int) -> tuple[int, int]:
    """Rows [first, stop) of an operand that output row `row` reads, clipped to the map (empty if it reads none)."""
    operation = node.operation
    if isinstance(operation, Conv | Pool):
        window = operation.window
        first = row * window.stride[0] - window.pads[0]
        stop = first + (window.kernel[0] - 1) * window.dilation[0] + 1
    elif isinstance(operation, Crop):
        first = row + operation.top
        stop = first + 1
    elif isinstance(operation, Pick):
        first = operation.rows[row]
        stop = first + 1  # -1: no row
    elif source_height == 1:  # broadcast operand
        first, stop = 0, 1
    else:
        first, stop = row, row + 1
    first = min(max(first, 0), source_height)
    return first, max(min(stop, source_height), first)


def sources_of(node: Node) -> list[int]:
    """Nodes that a node reads, in order, without repetition."""
    return sorted({int(s) for view in node.inputs for s in np.unique(view.sources)})


def needed_rows(graph: Graph) -> list[npt.NDArray[np.bool_]]:
    """Per node: bool[height], rows that some output depends on."""
    needed = [np.zeros(node.height, dtype=bool) for node in graph.nodes]
    for output in graph.outputs:
        for source in np.unique(output.view.sources):
            needed[source][:] = True
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        for source in sources_of(node):
            height = graph.nodes[source].height
            for row in np.flatnonzero(needed[index]):
                first, stop = input_rows(node, int(row), height)
                needed[source][first:stop] = True
    return needed


def pull_order(graph: Graph, needed: list[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.int32]]:
    """Per node: int32[height] rank of every needed row in a demand-driven order (-1: not needed).

    The outputs are demanded row by row, each row demands what it reads first. It is a topological order that keeps
    few rows alive: the fallback when local memory is short, and the priority of the list scheduler.
    """
    rank = [np.full(node.height, -1, dtype=np.int32) for node in graph.nodes]
    made = [0] * len(graph.nodes)  # rows below this are ranked (or not needed)
    position = 0
    roots = sorted({int(s) for output in graph.outputs for s in np.unique(output.view.sources)})
    tallest = max(graph.nodes[r].height for r in roots)
    stack: list[tuple[int, int]] = []
    for row in range(tallest):
        for root in roots:
            if row < graph.nodes[root].height:
                stack.append((root, row))
            while stack:
                node, target = stack[-1]
                if made[node] > target:
                    stack.pop()
                    continue
                current = made[node]
                missing = _missing(graph, node, current, made) if needed[node][current] else []
                if missing:
                    stack.extend(missing)
                    continue
                if needed[node][current]:
                    rank[node][current] = position
                    position += 1
                made[node] += 1
    return rank


def _missing(graph: Graph, node: int, row: int, made: list[int]) -> list[tuple[int, int]]:
    """Operand rows that must exist before this row, as (node, last row) demands."""
    demands = []
    for source in sources_of(graph.nodes[node]):
        first, stop = input_rows(graph.nodes[node], row, graph.nodes[source].height)
        if first < stop and made[source] < stop:
            demands.append((source, stop - 1))
    return demands
