"""Tasks cover all segments, and every MVM fires an array group that is on its core."""

import numpy as np
import pytest

from pimcomp.ir.graph import on_crossbars
from pimcomp.schedule.work import CONST, CONV, JOIN, LOAD, STORE, VECTOR
from tests.schedule.stages import SEEDS, Stages, stages


def segments(case: Stages) -> list[tuple[int, int, int, int, int]]:
    """(node, row, start, stop, owner) of every segment, in their order."""
    found = []
    for index, placed in enumerate(case.sites):
        s = placed.segments
        rows = zip(s.row.tolist(), s.start.tolist(), s.stop.tolist(), s.owner.tolist(), strict=True)
        found += [(index, *row) for row in rows]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_array_groups_are_numbered_within_their_cores(seed: int) -> None:
    case = stages(seed)
    groups, numbers = case.groups, [list[int]() for _ in range(case.arch.total_cores)]
    for k, core_of in enumerate(case.plan.core_of):
        for core, number, group in zip(
            core_of.ravel(), groups.local[k].ravel(), np.tile(np.arange(core_of.shape[1]), len(core_of)), strict=True
        ):
            numbers[core].append(int(number))
            at = groups.start[core] + number
            assert (groups.layer[at], groups.group[at]) == (k, group)
    assert [sorted(n) for n in numbers] == [list(range(b - a)) for a, b in zip(groups.start, groups.start[1:])]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_segment_is_completed_on_the_core_that_owns_it(seed: int) -> None:
    case = stages(seed)
    work = case.work
    for (node, row, _, stop, owner), task in zip(segments(case), work.final_task, strict=True):
        assert (work.node[task], work.core[task]) == (node, owner)
        matrix = case.sites[node].matrix
        if matrix is None or not matrix.unfolding.scatter:
            assert (work.row[task], work.stop[task]) == (row, stop)


@pytest.mark.parametrize("seed", SEEDS)
def test_tasks_are_of_the_kind_of_their_node(seed: int) -> None:
    case = stages(seed)
    kinds = {index: {CONV, JOIN} if on_crossbars(n.operation) else {VECTOR} for index, n in enumerate(case.graph.nodes)}
    for kind, node in zip(case.work.kind.tolist(), case.work.node.tolist(), strict=True):
        if kind not in (LOAD, STORE, CONST):
            assert kind in kinds[node]


@pytest.mark.parametrize("seed", SEEDS)
def test_chunks_of_a_segment_cover_it_on_every_core_of_its_site(seed: int) -> None:
    case = stages(seed)
    work = case.work
    for index in case.partition.nodes:
        placed = case.sites[index]
        assert placed.matrix is not None
        if placed.matrix.unfolding.scatter:
            continue
        own = (work.kind == CONV) & (work.node == index)
        s = placed.segments
        for row, start, stop, site in zip(s.row, s.start, s.stop, s.site, strict=True):
            for core in np.unique(placed.sites[site].cores):
                inside = own & (work.core == core) & (work.row == row) & (work.keep >= start) & (work.stop <= stop)
                kept = sorted(zip(work.keep[inside].tolist(), work.stop[inside].tolist(), strict=True))
                columns = [x for a, b in kept for x in range(a, b)]
                assert set(columns) == set(range(start, stop))


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_sums_travel_from_all_cores_of_a_site_towards_its_head(seed: int) -> None:
    """From core to core, each once per segment, and never two ways."""
    work = stages(seed).work
    sources = work.sum_transfers[:, 0].tolist()
    assert len(set(sources)) == len(sources)
    for source, target, producer, consumer, size in work.sum_transfers.tolist():
        assert work.sum_core[source] == work.core[producer]
        assert work.sum_core[target] == work.core[consumer] != work.sum_core[source]
        assert work.kind[consumer] == JOIN
        assert work.kind[producer] in (CONV, JOIN)
        assert size == work.sum_bytes[source] == work.sum_bytes[target] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_constants_are_loaded_once_per_core_that_needs_them(seed: int) -> None:
    work = stages(seed).work
    pairs = [tuple(pair) for pair in work.constant_pairs.tolist()]
    assert len(set(pairs)) == len(pairs)
    loads = work.kind == CONST
    assert list(zip(work.core[loads].tolist(), work.node[loads].tolist(), strict=True)) == pairs
    for task in np.flatnonzero(work.constant_of >= 0).tolist():
        assert pairs[work.constant_of[task]] == (work.core[task], work.node[task])
