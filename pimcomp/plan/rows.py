"""Which rows of which feature map an output row needs, which rows anybody needs, and in which order to produce them."""

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import Graph, LongArray, Node, Product, Turn, first_read, spreads, window_of


def input_rows(graph: Graph, node: Node, source: int) -> tuple[LongArray, LongArray]:
    """Rows [first, stop) of a source that each output row reads, clipped to the map (empty if it reads none).

    int64[height] each.
    """
    rows, read = np.arange(node.height), graph.nodes[source]
    if read_whole(graph, node, source):
        return np.zeros_like(rows), np.full_like(rows, read.height)
    first = first_read(node.operation, 0, rows)
    stop = first + window_of(node.operation).extent[0]
    first = first.clip(0, read.height)
    return first, np.maximum(stop.clip(max=read.height), first)


def read_whole(graph: Graph, node: Node, source: int) -> bool:
    """Whether every pixel of a node reads all of a source."""
    whole = any(source in view.nodes and reads_all(node, operand) for operand, view in enumerate(node.inputs))
    return whole or spreads(node, graph.nodes[source])


def reads_all(node: Node, operand: int) -> bool:
    """Whether every pixel of a node reads all pixels of an operand."""
    return isinstance(node.operation, Turn) or (isinstance(node.operation, Product) and operand == 1)


def sources_of(node: Node) -> list[int]:
    """Nodes that a node reads, in order, without repetition."""
    return sorted({source for view in node.inputs for source in view.nodes})


def needed_rows(graph: Graph) -> list[npt.NDArray[np.bool_]]:
    """Per node: bool[height], rows that some output depends on."""
    needed = [np.zeros(node.height, dtype=bool) for node in graph.nodes]
    for source in graph.stored():
        needed[source][:] = True
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        for source in sources_of(node):
            for first, stop in np.stack(input_rows(graph, node, source), axis=1)[needed[index]].tolist():
                needed[source][first:stop] = True
    return needed


def pull_order(graph: Graph, needed: list[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.int32]]:
    """Per node: int32[height] rank of every needed row in a demand-driven order (-1: not needed).

    The outputs are demanded row by row, each row demands what it reads first. It is a topological order that keeps
    few rows alive: the fallback when local memory is short, and the priority of the list scheduler. Maps of tokens are
    made as a whole, those that are equally far from the input at the same time: the heads of an attention.
    """
    reads = [[(s, *input_rows(graph, node, s)) for s in sources_of(node)] for node in graph.nodes]
    rank = [np.full(node.height, -1, dtype=np.int32) for node in graph.nodes]
    made = [0] * len(graph.nodes)  # rows below this are ranked (or not needed)
    position = 0
    roots = graph.stored()
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
                missing = _missing(reads[node], current, made) if needed[node][current] else []
                if missing:
                    stack.extend(missing)
                    continue
                if needed[node][current]:
                    rank[node][current] = position
                    position += 1
                made[node] += 1
    return _by_level(graph, rank)


def _by_level(graph: Graph, rank: list[npt.NDArray[np.int32]]) -> list[npt.NDArray[np.int32]]:
    """The ranks, those of nodes behind more maps of tokens last."""
    level: list[int] = []
    for node in graph.nodes:
        level.append(max((level[s] for s in sources_of(node)), default=0) + (node.height == 1 < node.width))
    flat = np.concatenate(rank)
    order = np.lexsort((flat, np.repeat(level, [node.height for node in graph.nodes])))
    order = order[flat[order] >= 0]
    flat[order] = np.arange(len(order))
    return np.split(flat, np.cumsum([node.height for node in graph.nodes])[:-1])


def _missing(reads: list[tuple[int, LongArray, LongArray]], row: int, made: list[int]) -> list[tuple[int, int]]:
    """Operand rows that must exist before this row, as (node, last row) demands."""
    return [(s, int(stop[row]) - 1) for s, first, stop in reads if first[row] < stop[row] and made[s] < stop[row]]
