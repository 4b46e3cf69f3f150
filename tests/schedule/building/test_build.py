"""Tasks cover all segments, and every MVM fires an array group that is on its core.

Covers: conv, groups, ledger, scatter, vector.
"""

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
    first = np.cumsum([0, *(core_of.shape[1] for core_of in case.plan.core_of)])
    for k, core_of in enumerate(case.plan.core_of):
        for core, number, group in zip(
            core_of.ravel(), groups.local[k].ravel(), np.tile(np.arange(core_of.shape[1]), len(core_of)), strict=True
        ):
            numbers[core].append(int(number))
            at = groups.start[core] + number
            assert (groups.layer[at], groups.matrix[at]) == (k, first[k] + group)
    assert [sorted(n) for n in numbers] == [list(range(b - a)) for a, b in zip(groups.start, groups.start[1:])]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_segment_is_completed_on_the_core_that_owns_it(seed: int) -> None:
    case = stages(seed)
    work, tasks = case.work, case.work.tasks
    for (node, row, _, stop, owner), task in zip(segments(case), work.segments.final, strict=True):
        assert (tasks.node[task], tasks.core[task]) == (node, owner)
        matrix = case.sites[node].matrix
        if matrix is None or not matrix.unfolding.scatter:
            assert (tasks.row[task], tasks.stop[task]) == (row, stop)


@pytest.mark.parametrize("seed", SEEDS)
def test_tasks_are_of_the_kind_of_their_node(seed: int) -> None:
    case = stages(seed)
    kinds = {index: {CONV, JOIN} if on_crossbars(n.operation) else {VECTOR} for index, n in enumerate(case.graph.nodes)}
    for kind, node in zip(case.work.tasks.kind.tolist(), case.work.tasks.node.tolist(), strict=True):
        if kind not in (LOAD, STORE, CONST):
            assert kind in kinds[node]


@pytest.mark.parametrize("seed", SEEDS)
def test_chunks_of_a_segment_cover_it_on_every_core_of_its_site(seed: int) -> None:
    case = stages(seed)
    tasks = case.work.tasks
    for index in case.partition.nodes:
        placed = case.sites[index]
        assert placed.matrix is not None
        if placed.matrix.unfolding.scatter:
            continue
        own = (tasks.kind == CONV) & (tasks.node == index)
        s = placed.segments
        for row, start, stop, site in zip(s.row, s.start, s.stop, s.site, strict=True):
            for core in np.unique(placed.sites[site].cores):
                inside = own & (tasks.core == core) & (tasks.row == row) & (tasks.keep >= start) & (tasks.stop <= stop)
                kept = sorted(zip(tasks.keep[inside].tolist(), tasks.stop[inside].tolist(), strict=True))
                columns = [x for a, b in kept for x in range(a, b)]
                assert set(columns) == set(range(start, stop))


@pytest.mark.parametrize("seed", SEEDS)
def test_partial_sums_travel_from_all_cores_of_a_site_towards_its_head(seed: int) -> None:
    """From core to core, each once per segment, and never two ways; parts of a sum to sites beside its own."""
    tasks, sums, messages = stages(seed).work.tasks, stages(seed).work.sums, stages(seed).work.sum_transfers
    shared = [index for index, placed in enumerate(stages(seed).sites) if placed.shares is not None]
    beside = np.isin(tasks.node[messages.consumer], shared) & (messages.bytes < sums.bytes[messages.src])
    assert len(set(messages.src[~beside].tolist())) == (~beside).sum()
    for source, skip, target, producer, consumer, size in zip(*messages, strict=True):
        assert sums.core[source] == tasks.core[producer]
        assert sums.core[target] == tasks.core[consumer] != sums.core[source]
        assert tasks.kind[consumer] == JOIN
        assert tasks.kind[producer] in (CONV, JOIN)
        assert 0 < size == sums.bytes[target]
        assert size == sums.bytes[source] or tasks.node[consumer] in shared
        assert skip + size <= sums.bytes[source]


@pytest.mark.parametrize("seed", SEEDS)
def test_constants_are_loaded_once_per_core_that_needs_them(seed: int) -> None:
    work, tasks = stages(seed).work, stages(seed).work.tasks
    loads = slice(len(tasks.kind) - work.constant_tasks, None)
    assert (np.flatnonzero(tasks.kind == CONST) == np.arange(len(tasks.kind))[loads]).all()
    pairs = list(zip(tasks.core[loads].tolist(), tasks.node[loads].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    for task in np.flatnonzero(work.constant_of >= 0).tolist():
        assert pairs[work.constant_of[task]] == (tasks.core[task], tasks.node[task])
