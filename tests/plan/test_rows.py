"""Which rows anybody needs, and an order that has every row after those it reads."""

import numpy as np
import pytest

from pimcomp.ir.graph import Conv, Crop, Graph, Node, Pick, Pool
from pimcomp.plan.rows import input_rows, needed_rows, pull_order, sources_of
from tests.schedule.random_networks import random_network

SEEDS = range(12)


def rows_read(node: Node, row: int, source: Node) -> set[int]:
    """Rows of an operand that an output row depends on, tap by tap."""
    operation = node.operation
    if isinstance(operation, Conv | Pool):
        w = operation.window
        reach = range(w.kernel[0])
        rows = {row * w.stride[0] - w.pads[0] + tap * w.dilation[0] for tap in reach}
    elif isinstance(operation, Crop):
        rows = {row + operation.top}
    elif isinstance(operation, Pick):
        rows = {operation.rows[row]}
    else:
        rows = {0 if source.height == 1 else row}
    return {y for y in rows if 0 <= y < source.height}


def range_read(graph: Graph, node: Node, row: int, source: int) -> tuple[int, int]:
    """Rows [first, stop) of a source that one output row reads."""
    first, stop = input_rows(graph, node, source)
    return int(first[row]), int(stop[row])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_reads_the_rows_under_its_window_and_those_between(seed: int) -> None:
    graph = random_network(seed)
    for node in graph.nodes:
        for number in sources_of(node):
            source = graph.nodes[number]
            for row in range(node.height):
                first, stop = range_read(graph, node, row, number)
                expected = rows_read(node, row, source)
                assert 0 <= first <= stop <= source.height
                assert expected <= set(range(first, stop))
                if not isinstance(node.operation, Conv | Pool):
                    assert len(expected) == stop - first


def closure(graph: Graph) -> set[tuple[int, int]]:
    """(node, row) of all that the outputs depend on."""
    waiting = [
        (int(source), row)
        for output in graph.outputs
        for source in np.unique(output.view.sources)
        for row in range(graph.nodes[int(source)].height)
    ]
    found: set[tuple[int, int]] = set()
    while waiting:
        node, row = waiting.pop()
        if (node, row) not in found:
            found.add((node, row))
            for source in sources_of(graph.nodes[node]):
                first, stop = range_read(graph, graph.nodes[node], row, source)
                waiting += [(source, y) for y in range(first, stop)]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_needed_rows_are_those_that_outputs_depend_on(seed: int) -> None:
    graph = random_network(seed)
    needed = {(n, int(y)) for n, rows in enumerate(needed_rows(graph)) for y in np.flatnonzero(rows)}
    assert needed == closure(graph)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_pull_order_ranks_needed_rows_once_and_after_what_they_read(seed: int) -> None:
    graph = random_network(seed)
    needed = needed_rows(graph)
    rank = pull_order(graph, needed)
    for ranks, wanted in zip(rank, needed, strict=True):
        assert ((ranks >= 0) == wanted).all()
    assert sorted(np.concatenate(rank)[np.concatenate(needed)].tolist()) == list(range(sum(n.sum() for n in needed)))
    for index, node in enumerate(graph.nodes):
        for row in np.flatnonzero(needed[index]).tolist():
            for source in sources_of(node):
                first, stop = range_read(graph, node, row, source)
                assert (rank[source][first:stop] < rank[index][row]).all()
