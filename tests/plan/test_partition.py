"""Array groups tile the unfolded weight matrix, and the matrix means the convolution."""

from itertools import pairwise

import numpy as np
import pytest

from pimcomp.foundation.digest import digest
from pimcomp.ir.graph import Conv
from pimcomp.plan.partition import Known, partition, weights_of
from pimcomp.plan.segments import segment
from pimcomp.plan.unfoldings import firings
from tests.schedule.random_networks import random_chip, random_network
from tests.seeds import seeds

SEEDS = seeds(8, 25)


@pytest.mark.parametrize("seed", SEEDS)
def test_array_groups_hold_every_weight_exactly_once_per_window(seed: int) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    parts = partition(graph, arch)
    assert parts.nodes
    for node, options in zip(parts.nodes, parts.options, strict=True):
        conv = graph.nodes[node].operation
        assert isinstance(conv, Conv)
        for matrix in options:
            whole = np.zeros((matrix.rows, matrix.columns), np.float32)
            seen = np.zeros_like(whole, dtype=np.int64)
            for group in matrix.groups:
                columns = np.concatenate([np.arange(a, b) for a, b in group.col_spans])
                place = np.ix_(np.arange(group.row_start, group.row_stop), columns)
                whole[place] = weights_of(graph, matrix, group)
                seen[place] += 1
                assert group.row_stop - group.row_start <= arch.crossbar_rows
                assert group.columns <= group.crossbars * arch.weight_cols
                assert group.crossbars <= arch.crossbars_per_core
            assert seen.max(initial=0) <= 1
            scatter = matrix.unfolding.scatter
            copies = scatter if scatter else matrix.unfolding.block
            assert np.abs(whole).sum() == pytest.approx(copies * np.abs(conv.weights).sum(), rel=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_later_blocks_fire_less_often(seed: int) -> None:
    graph, arch = random_network(seed), random_chip(seed)
    parts = partition(graph, arch)
    assert parts.nodes
    for options in parts.options:
        blocks = [m for m in options if not m.unfolding.scatter]
        counts = [firings(graph, m) * len(m.groups) for m in blocks]
        assert blocks[0].unfolding.block == 1
        assert all(a > b for a, b in pairwise(counts))


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_of_segments_are_remembered_as_they_are(seed: int) -> None:
    """The same layers with other nodes before them, and other values of weights."""
    graph, arch = random_network(seed), random_chip(seed)
    known: Known = {}
    parts = [segment(graph, first, len(graph.nodes)) for first in (0, *graph.weighted()[:2])]
    counts = []
    for part in (*parts, *parts):
        found, expected = partition(part, arch, known), partition(part, arch)
        assert digest(found) == digest(expected)
        counts.append(len(known))
    assert counts[-1] == counts[len(parts) - 1], "nothing new the second time"
