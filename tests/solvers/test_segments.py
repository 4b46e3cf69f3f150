"""Cuts, budgets and images per visit are the best of all that there are, by the prices.

Covers: /pimcomp/plan/writing.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise

import pytest

from pimcomp.compile import compile_network
from pimcomp.errors import CapacityError
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph, Input, Loaded
from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Status
from pimcomp.plan.segments import cut, cut_candidates, entering_bytes, segment, waiting_bytes
from pimcomp.plan.writing import lifetime_images, rows_written, write_ns, write_pj
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver
from solvers.segments import Prices, Segments, Within, cut_cheaply, on_chips, visit_ns
from tests.schedule.random_networks import random_network

CHIP = Arch(
    name="small", cores=2, crossbars_per_core=8, crossbar_rows=64, crossbar_cols=64, cell_bits=8, dac_count=64,
    row_write_ns=100.0, rows_written_at_once=4,
)  # fmt: skip


@cache
def compiled() -> Compiled:
    return compile_network(lenet(), replace(CHIP, crossbars_per_core=64), get_solver("exact"))


@cache
def lenet() -> Graph:
    return load_network("digits_lenet5").graph


def every_cut(graph: Graph, prices: Prices, images: int, room: float) -> Iterator[float]:
    """The time per image of every set of cuts that fits."""
    candidates = cut_candidates(graph)
    for count in range(len(candidates) - 1):
        for inside in combinations(candidates[1:-1], count):
            spans = list(pairwise((0, *inside, candidates[-1])))
            if all(images * waiting_bytes(graph, *span, 1) <= room for span in spans):
                found = [price for span in spans if (price := prices.of(segment(graph, *span), images)) is not None]
                if len(found) == len(spans):
                    yield sum(price.of_visit(images) for price in found) / images


@pytest.mark.parametrize("pipeline", Pipeline)
def test_the_best_of_all_cuts_and_images_per_visit(pipeline: Pipeline) -> None:
    arch = replace(CHIP, global_memory_bytes=12_000)
    prices = Prices(arch, pipeline, ScheduleOptions())
    found = cut_cheaply(lenet(), prices, None)
    graph = found.graph
    least = {n: min(every_cut(graph, prices, n, arch.global_memory_bytes), default=float("inf")) for n in range(1, 30)}
    assert found.images_per_visit > 1
    assert least[29] == float("inf")  # so that no larger number was left out
    assert found.visit_ns / found.images_per_visit == pytest.approx(min(least.values()))
    assert cut_cheaply(lenet(), prices, 2).visit_ns / 2 == pytest.approx(least[2])


def test_fewer_crossbars_are_used_where_writing_them_takes_longer_than_they_save() -> None:
    def rows(row_write_ns: float) -> int:
        arch = replace(CHIP, row_write_ns=row_write_ns)
        return sum(price.rows for price in cut_cheaply(lenet(), Prices(arch, Pipeline.BATCH, ScheduleOptions())).prices)

    assert rows(0.0) > rows(100.0) > rows(1e6)


def test_maps_that_cannot_wait_are_refused_with_what_they_need() -> None:
    prices = Prices(replace(CHIP, global_memory_bytes=100), Pipeline.ELEMENT, ScheduleOptions())
    with pytest.raises(CapacityError, match=r"3 images per visit of .*: 100 bytes of global memory, needs \d+"):
        cut_cheaply(lenet(), prices, 3)


def test_a_visit_takes_the_first_round_and_a_period_for_every_further_one() -> None:
    assert visit_ns(10.0, 2.0, 1, 1) == 10.0
    assert visit_ns(10.0, 2.0, 1, 4) == 16.0
    assert visit_ns(10.0, 2.0, 2, 3) == 14.0  # rounds of two
    assert Segments(lenet(), (0,), (), 1).visit_ns == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_fewest_chips_and_of_these_the_cuts_with_the_least_over_the_links(seed: int) -> None:
    """Against all cuts; what crosses is counted map by map, once for every chip that reads it."""
    graph = random_network(seed) if seed else lenet()
    prices = Prices(replace(CHIP, crossbars_per_core=4), Pipeline.ELEMENT, ScheduleOptions())
    graph = cut_cheaply(graph, prices).graph
    found = on_chips(graph, prices)
    candidates = cut_candidates(graph)
    every = []
    for count in range(len(candidates) - 1):
        for inside in combinations(candidates[1:-1], count):
            spans = list(pairwise((0, *inside, candidates[-1])))
            if all(prices.whole(segment(graph, *span)) for span in spans):
                every.append((len(spans), sum(entering_bytes(graph, *span, 1) for span in spans)))
        if every:
            break
    assert (len(found.prices), found.crossing_bytes) == min(every)
    assert all(price.crossbars_per_core == 4 for price in found.prices)
    maps = 0
    for part in cut(graph, found.positions):
        own = {n.name for n in graph.nodes if isinstance(n.operation, Loaded)}
        read = [n for n in part.nodes if isinstance(n.operation, Input) and n.name not in own]
        maps += sum(n.channels * n.height * n.width for n in read)
    assert found.crossing_bytes == maps


class OnlyWhole:
    """Answers with how many crossbars of a core it saw, and with nothing if that is fewer than four."""

    name = "whole"

    def solve(self, problem: MappingProblem, judges: object, *, time_limit_s: float | None, seed: int) -> Outcome:
        plan = compiled().plan if problem.crossbars_per_core >= 4 else None
        status = Status.OPTIMAL if plan is not None else Status.UNKNOWN
        return Outcome(status=status, plan=plan, bound_ns=float(problem.crossbars_per_core))


def test_a_solver_within_fewer_crossbars_claims_no_bound_and_falls_back_on_all() -> None:
    problem = compiled().problem
    most = problem.crossbars_per_core
    within = Within(OnlyWhole(), 4)
    assert within.name == "whole"
    found = within.solve(problem, {}, time_limit_s=None, seed=0)
    assert (found.status, found.bound_ns) == (Status.FEASIBLE, None)
    assert Within(OnlyWhole(), 3).solve(problem, {}, time_limit_s=None, seed=0).bound_ns == most


def test_writing_is_counted_by_rows_and_ends_with_the_cells() -> None:
    partition, plan = compiled().partition, compiled().plan
    once = replace(plan, replication=(1,) * len(plan.replication))
    heights = [sum(g.row_stop - g.row_start for g in o[0].groups) for o in partition.options]
    assert heights[0] >= 5 * 5  # a filter's rows
    assert rows_written(partition, once) <= rows_written(partition, plan)
    plain = replace(once, option=(0,) * len(plan.option))
    assert rows_written(partition, plain) == sum(
        (g.row_stop - g.row_start) * g.crossbars for o in partition.options for g in o[0].groups
    )
    assert write_ns(CHIP, 5) == 200.0
    assert (write_ns(replace(CHIP, row_write_ns=0.0), 5), write_pj(CHIP, 5)) == (None, None)
    assert write_pj(replace(CHIP, row_write_pj=2.0), 5) == 10.0
    lasting = replace(CHIP, cell_endurance=100)
    assert lifetime_images(lasting, [5, 0, 7], 8) == 100 // 2 * 8
    assert lifetime_images(lasting, [5], 8) is None  # written once
    assert lifetime_images(CHIP, [5, 7], 8) is None
