"""The estimate before scheduling: it knows who computes what, adds up the energy, and is close to the timeline.

Covers: estimate/estimator, estimate/layout, estimate/work, estimate/messages, estimate/tables, estimate/streaming,
estimate/instruction_costs.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.cost_model import fit, make_case, row, spearman
from benchmarks.model_truth import core_work_ns
from benchmarks.plan_samples import sampled_plan, sampled_plans
from benchmarks.timed_plans import Instance, TimedPlan, load_instance, read_lines, time_plan
from pimcomp.compile import compile_network
from pimcomp.errors import CapacityError
from pimcomp.estimate import Estimator
from pimcomp.estimate.estimator import population_of
from pimcomp.estimate.layout import Assignment, Layout, Shares, place
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds
from pimcomp.plan.partition import partition
from pimcomp.plan.rows import needed_rows
from pimcomp.proof.static import verify_plan
from pimcomp.schedule import ScheduleOptions, Scheduler
from pimcomp.schedule.sites import place_work
from pimcomp.timeline import time_program
from tests.frontend.small_onnx import load
from tests.schedule.random_networks import random_chip, random_network
from tests.schedule.random_plans import RandomPlan
from tests.seeds import seeds
from tests.transformer import encoder


@cache
def small() -> Instance:
    """A trained ResNet-8 on a small chip."""
    instance = load_instance("digits_resnet8", "pimcomp_default")
    arch = replace(instance.arch, cores=16, mesh_rows=4)
    return replace(instance, arch=arch, partition=partition(instance.graph, arch))


@cache
def timed(pipeline: Pipeline) -> tuple[TimedPlan, ...]:
    """Some random plans of it with the timeline's figures."""
    plans = sampled_plans(small().problem(pipeline))
    return tuple(time_plan(small(), pipeline, *next(plans), "test") for _ in range(12))


def compiled_at_random(seed: int, pipeline: Pipeline) -> Compiled:
    """A random plan of a random network on a random chip."""
    try:
        return compile_network(random_network(seed), random_chip(seed), RandomPlan(), pipeline=pipeline, seed=seed)
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")


def layout_of(compiled: Compiled, options: ScheduleOptions) -> Layout:
    """The estimate's idea of who computes what."""
    estimator = Estimator.of(compiled.graph, compiled.arch, compiled.partition)
    plans = population_of([compiled.plan])
    plan = Assignment(plans.option[0], plans.replication[0], plans.core_of, plans.core_start[0])
    return place(
        estimator.network,
        estimator.chip.cores,
        plan,
        options.LOADERS,
        Shares(options.window_columns, options.GATHERERS),
    )


@pytest.mark.parametrize("seed", seeds(4, 30, first=400))
def test_the_estimate_and_the_scheduler_agree_on_who_computes_what(seed: int) -> None:
    compiled = compiled_at_random(seed, Pipeline.ELEMENT)
    assert_agreement(compiled, ScheduleOptions(window_columns=1 + seed % 3))


@pytest.mark.parametrize("seed", seeds(4, 30))
def test_they_agree_on_transformers(seed: int, tmp_path: Path) -> None:
    model = encoder(3 + seed % 7, 8, 1 + seed % 2, blocks=1 + seed % 2, seed=seed, framed=seed % 3 == 1)
    graph = load(model, tmp_path).graph
    try:
        compiled = compile_network(graph, random_chip(seed), RandomPlan(), seed=seed)
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")
    assert_agreement(compiled, ScheduleOptions())


def assert_agreement(compiled: Compiled, options: ScheduleOptions) -> None:
    """Every pixel that somebody needs has the same owner for both."""
    graph = compiled.graph
    layout = layout_of(compiled, options)
    placed = place_work(graph, compiled.arch, compiled.partition, compiled.plan, options, needed_rows(graph))
    row_start = np.cumsum([0, *[node.height for node in graph.nodes]])
    for n, node in enumerate(placed):
        mine = [
            (y, int(layout.low[s]), int(layout.high[s]), int(layout.head[s]))
            for y in range(graph.nodes[n].height)
            for s in range(layout.start[n], layout.start[n + 1])
            if layout.needed_set[row_start[n] + y] == layout.row_set[s] and layout.low[s] < layout.high[s]
        ]
        table = np.stack([getattr(node.segments, name) for name in ("row", "start", "stop", "owner")], axis=1)
        assert _owners(mine) == _owners([tuple(segment) for segment in table.tolist()]), n


def _owners(segments: Sequence[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """Owner of every pixel: neighbouring segments of one owner may be one or two."""
    return {(y, x): core for y, a, b, core in segments for x in range(a, b)}


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(4, 20, first=430))
def test_any_network_has_an_estimate(seed: int, pipeline: Pipeline) -> None:
    compiled = compiled_at_random(seed, pipeline)
    estimate = Estimator.of(compiled.graph, compiled.arch, compiled.partition).estimate([compiled.plan], pipeline)
    latency_ns = compiled.timing.latency_ns * estimate.images / compiled.program.images_per_round
    assert 0.3 < estimate.latency_ns[0] / latency_ns < 3.0
    assert estimate.crossbars_used[0] == compiled.plan.crossbars_used(compiled.problem)
    assert estimate.crossbars == compiled.arch.crossbars
    assert estimate.local_memory_bytes[0] > 0


@pytest.mark.parametrize("pipeline", [Pipeline.ELEMENT, pytest.param(Pipeline.BATCH, marks=pytest.mark.slow)])
def test_estimates_of_random_plans_are_close(pipeline: Pipeline) -> None:
    case = make_case(small(), pipeline, timed(pipeline))
    error = np.abs(case.ratios() - 1)
    assert np.median(error) < 0.15
    assert spearman(case.ratios() * case.figure_ns, case.figure_ns) > 0.9


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_the_busiest_core_is_that_of_the_program(pipeline: Pipeline) -> None:
    instance, ratios = small(), []
    scheduler = Scheduler(instance.graph, instance.arch, instance.partition, pipeline, ScheduleOptions(orders=1), {})
    for _, plan in islice(sampled_plans(instance.problem(pipeline)), 8):
        program = scheduler.program(plan)
        busy_ns = time_program(program, instance.arch, rounds=1).busy_ns
        truth_ns = core_work_ns(program, instance.arch, busy_ns).max() / program.images_per_round
        ratios.append(_estimator().estimate([plan], pipeline).busiest_ns[0] / truth_ns)
    error = np.abs(np.array(ratios) - 1)
    assert np.median(error) < 0.02
    assert error.max() < 0.05


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_energy_is_what_the_program_takes(pipeline: Pipeline) -> None:
    lines = timed(pipeline)
    case = make_case(small(), pipeline, lines)
    estimate = case.estimate()
    static_mw = estimate.cores_used * case.estimator.chip.core_static_mw + case.estimator.chip.chip_static_mw
    dynamic_pj = estimate.energy_pj - static_mw * estimate.period_ns
    expected = np.array([line.energy_pj - line.static_pj for line in lines])
    np.testing.assert_allclose(dynamic_pj, expected, rtol=0.02)


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_the_bound_stays_below_the_timeline(pipeline: Pipeline) -> None:
    proven = bounds(small().graph, small().arch)
    assert all(proven.latency_ns <= line.latency_ns for line in timed(pipeline))
    assert all(proven.period_ns <= line.period_ns for line in timed(pipeline))


@settings(max_examples=25)
@given(numbers=st.lists(st.integers(0, 300), min_size=1, max_size=6), pipeline=st.sampled_from(list(Pipeline)))
def test_a_plan_is_estimated_alike_alone_and_in_company(numbers: list[int], pipeline: Pipeline) -> None:
    problem = small().problem(pipeline)
    plans = [plan for plan in (sampled_plan(problem, number) for number in numbers) if plan is not None]
    assume(plans)
    for plan in plans:
        verify_plan(problem, plan)
    together = _estimator().estimate(plans, pipeline)
    for index, plan in enumerate(plans):
        alone = _estimator().estimate([plan], pipeline)
        assert alone.latency_ns[0] == together.latency_ns[index]
        assert alone.energy_pj[0] == together.energy_pj[index]


@cache
def _estimator() -> Estimator:
    return Estimator.of(small().graph, small().arch, small().partition)


@settings(max_examples=20)
@given(number=st.integers(0, 300))
def test_a_chip_of_half_the_speed_takes_twice_the_time(number: int) -> None:
    plan = sampled_plan(small().problem(Pipeline.ELEMENT), number)
    assert plan is not None
    arch = small().arch
    slow = replace(
        arch,
        **{
            name: 2 * getattr(arch, name)
            for name in (
                "core_period_ns", "vector_latency_ns", "matrix_period_ns", "crossbar_latency_ns", "local_period_ns",
                "global_period_ns", "noc_base_ns", "noc_hop_ns", "noc_memory_ns",
            )
        },
    )  # fmt: skip
    fast_ns = _estimator().estimate([plan], Pipeline.ELEMENT, scale=1.0).latency_ns
    slow_estimator = Estimator.of(small().graph, slow, small().partition)
    slow_ns = slow_estimator.estimate([plan], Pipeline.ELEMENT, scale=1.0).latency_ns
    np.testing.assert_allclose(slow_ns, 2 * fast_ns, rtol=1e-6)


def test_another_image_adds_work_but_shares_waiting() -> None:
    plans = [line.plan for line in timed(Pipeline.BATCH)]
    one, another = (_estimator().estimate(plans, pipeline, scale=1.0) for pipeline in Pipeline)
    assert (another.period_ns >= another.busiest_ns).all()
    assert np.median(another.period_ns / one.period_ns) < 1.0


def test_the_fit_finds_a_scale_that_was_lost() -> None:
    lines = [replace(line, latency_ns=2 * line.latency_ns) for line in timed(Pipeline.ELEMENT)]
    halved = fit([make_case(small(), Pipeline.ELEMENT, lines)])
    right = fit([make_case(small(), Pipeline.ELEMENT, timed(Pipeline.ELEMENT))])
    assert halved == pytest.approx(2 * right)


def test_a_line_of_the_table() -> None:
    cells = row(make_case(small(), Pipeline.ELEMENT, timed(Pipeline.ELEMENT)), [])
    assert cells[:3] == ["digits_resnet8", "element", "12"]
    assert float(cells[-1]) < 1.0


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    line = timed(Pipeline.ELEMENT)[0]
    text = json.dumps(asdict(line))
    (tmp_path / "lines").write_text(f"{text}\n{text[:40]}")
    (read,) = read_lines(tmp_path / "lines")
    assert read == line
    verify_plan(small().problem(Pipeline.ELEMENT), read.plan)
