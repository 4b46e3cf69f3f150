"""Who computes what: every needed column of every row once, on a core that can."""

from dataclasses import replace

import numpy as np
import pytest

from pimcomp.ir.graph import Graph, View
from pimcomp.schedule.sites import NARROW, NodeSites, main_source, place_work
from tests.schedule.stages import SEEDS, Stages, inputs_of, stages


def coverage(graph: Graph, index: int, placed: NodeSites) -> np.ndarray:
    """How many segments compute each element of a node's map."""
    node, s = graph.nodes[index], placed.segments
    count = np.zeros((node.height, node.width), int)
    for row, start, stop in zip(s.row, s.start, s.stop, strict=True):
        assert 0 <= start < stop <= node.width
        count[row, start:stop] += 1
    return count


def work_again(case: Stages, *, local_memory_bytes: int | None = None) -> tuple[NodeSites, ...]:
    """The placement of the same plan; with local memory given, cut to a small share of it."""
    arch = case.arch if local_memory_bytes is None else replace(case.arch, local_memory_bytes=local_memory_bytes)
    narrow = local_memory_bytes is not None
    needed = case.scheduler.needed
    return place_work(case.graph, arch, case.partition, case.plan, case.options, needed, narrow=narrow)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_needed_element_is_computed_once(seed: int) -> None:
    case = stages(seed)
    for sites in (case.sites, work_again(case, local_memory_bytes=512)):
        for index, placed in enumerate(sites):
            needed = case.scheduler.needed[index]
            count = coverage(case.graph, index, placed)
            assert (count[needed] == 1).all()
            assert (count[~needed] == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_segments_are_sorted_by_row_and_column(seed: int) -> None:
    for placed in stages(seed).sites:
        keys = list(zip(placed.segments.row.tolist(), placed.segments.start.tolist(), strict=True))
        assert keys == sorted(keys)


@pytest.mark.parametrize("seed", SEEDS)
def test_sites_share_out_the_replicas_of_a_layer_by_their_cores(seed: int) -> None:
    case = stages(seed)
    for k, index in enumerate(case.partition.nodes):
        core_of, sites = case.plan.core_of[k], case.sites[index].sites
        assert sorted(r for site in sites for r in site.replicas.tolist()) == list(range(len(core_of)))
        assert len({tuple(site.cores.tolist()) for site in sites}) == len(sites)
        for site in sites:
            assert all((core_of[r] == site.cores).all() for r in site.replicas)
            assert site.head == site.cores[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_segments_of_a_layer_belong_to_its_sites_and_begin_on_window_blocks(seed: int) -> None:
    case = stages(seed)
    for index in case.partition.nodes:
        placed = case.sites[index]
        assert placed.matrix is not None
        s = placed.segments
        assert [placed.sites[site].head for site in s.site] == s.owner.tolist()
        assert (s.start % placed.matrix.unfolding.block == 0).all()
        if placed.matrix.unfolding.scatter:  # neighbouring rows are added up on the same core
            assert all(len({*s.start[s.site == site].tolist()}) == 1 for site in set(s.site.tolist()))


@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_are_loaded_by_few_cores_in_turn(seed: int) -> None:
    case = stages(seed)
    for index in inputs_of(case.graph):
        owners = case.sites[index].segments.owner.tolist()
        loaders = sorted(set(owners))
        assert len(loaders) <= case.options.LOADERS
        used = {int(core) for cores in case.plan.core_of for core in cores.ravel()}
        assert set(loaders) <= used
        if case.scheduler.needed[index].all():
            assert owners == [loaders[row % len(loaders)] for row in range(len(owners))]


@pytest.mark.parametrize("seed", SEEDS)
def test_narrow_segments_take_a_small_share_of_memory(seed: int) -> None:
    case, memory = stages(seed), 512
    for index, placed in enumerate(work_again(case, local_memory_bytes=memory)):
        matrix = placed.matrix
        if matrix is not None and matrix.unfolding.scatter:
            continue
        s = placed.segments
        pixel = case.graph.nodes[index].channels * case.arch.element_bytes
        block = matrix.unfolding.block if matrix is not None else 1
        assert ((s.stop - s.start) * pixel <= max(NARROW * memory, block * pixel)).all()


def test_the_main_source_gives_most_channels_and_is_the_latest_of_equals() -> None:
    def view(*sources: int) -> View:
        return View(np.array(sources, np.int32), np.arange(len(sources), dtype=np.int32))

    assert main_source(view(3, 3, 5)) == 3
    assert main_source(view(3, 5)) == 5
    assert main_source(view(5, 3, 4, 4, 5)) == 5
