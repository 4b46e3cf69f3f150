"""CP-SAT against enumeration, and every constraint family by what goes wrong without it.

Covers: cpsat_model, /solvers/exact/patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from ortools.sat.python import cp_model

from pimcomp.ir.plan import MappingProblem, Pipeline, Plan, Status
from solvers import get_solver
from solvers.exact.exact import solve_exactly
from solvers.exact.patterns import core_groups, make_offer
from solvers.master import cpsat_model as m
from solvers.master.cpsat_model import FAMILIES, Family, build
from tests.solvers.oracle import best_objective_ns
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, resnet18_problem


@dataclass(frozen=True)
class Solution:
    """Values of a solved model; times in ns."""

    picks: list[int]
    placed: list[int]
    used: list[int]
    load_ns: list[list[float]]
    objective_ns: float
    time_ns: list[float]


Property = Callable[[MappingProblem, Solution], bool]


def solved(problem: MappingProblem, families: tuple[Family, ...] = FAMILIES) -> Solution:
    """The model's own optimum, without the solver around it."""
    _, known = solve_exactly(problem, 4)
    assert known is not None
    offer, complete = make_offer(problem, known.plan, known.objective_ns)
    assert complete
    v = build(offer, known.objective_ns * 1.5, families)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = 2.0
    assert solver.solve(v.model) == cp_model.OPTIMAL
    cores = range(problem.cores)
    counts = [[solver.value(n) for n in row] for row in v.count]
    return Solution(
        picks=[sum(solver.value(b) for b in row) for row in v.pick],
        placed=[sum(row) for row in counts],
        used=[sum(c.crossbars * row[g] for c, row in zip(offer.classes, counts, strict=True)) for g in cores],
        load_ns=[[solver.value(n) * offer.unit_ns for n in row] for row in v.load],
        objective_ns=solver.value(v.objective) * offer.unit_ns,
        time_ns=[solver.value(t) * offer.unit_ns for t in v.time],
    )


def without(family: Family) -> tuple[Family, ...]:
    return tuple(f for f in FAMILIES if f is not family)


def two_layers(pipeline: Pipeline = Pipeline.BATCH, vector_work_ns: float = 0.0) -> MappingProblem:
    """4 and 2 windows on 3 cores of 2 crossbars."""
    layers = [make_layer(0, [make_option(4, [1])]), make_layer(1, [make_option(2, [1, 1])])]
    return make_problem(layers, cores=3, crossbars_per_core=2, pipeline=pipeline, vector_work_ns=vector_work_ns)


def picks_each_layer_once(problem: MappingProblem, s: Solution) -> bool:
    return s.picks == [1] * len(problem.layers)


def places_all_groups(problem: MappingProblem, s: Solution) -> bool:
    return all(n >= 1 for n in s.placed)


def keeps_capacity(problem: MappingProblem, s: Solution) -> bool:
    return max(s.used) <= problem.crossbars_per_core


def does_all_work(problem: MappingProblem, s: Solution) -> bool:
    work = problem.vector_work_ns
    for layer in problem.layers:
        work += layer.options[0].work_ns
    return s.objective_ns >= work / problem.cores * (1 - 1e-3)


def groups_fire_in_turn(problem: MappingProblem, s: Solution) -> bool:
    """3 windows cannot be shared evenly by two replicas: one fires twice."""
    return s.objective_ns >= 2 * 1150.0 * (1 - 1e-3)


def shares_a_core(problem: MappingProblem, s: Solution) -> bool:
    """Layers 0 and 1 have one core to share, because layer 2 fills the other."""
    return s.objective_ns >= 18 * 1150.0 * (1 - 1e-3)


def waits_for_producers(problem: MappingProblem, s: Solution) -> bool:
    return s.objective_ns >= s.time_ns[0] + s.time_ns[1] - 1.0


SHORT = make_problem([make_layer(0, [make_option(3, [1])])], cores=2, crossbars_per_core=1)
GREEDY = make_problem(
    [make_layer(0, [make_option(16, [2])]), make_layer(1, [make_option(1, [2])])], cores=2, crossbars_per_core=2
)
SHARED = make_problem(
    [*(make_layer(k, [make_option(9, [1])]) for k in range(2)), make_layer(2, [make_option(1, [2])])], 2, 2
)
CHAIN = make_problem(
    [make_layer(0, [make_option(4, [1])]), make_layer(1, [make_option(1, [1])])], 3, 1, pipeline=Pipeline.ELEMENT
)

CASES = [
    pytest.param(m.one_configuration_each, two_layers(), picks_each_layer_once, id="one configuration"),
    pytest.param(m.array_groups_are_placed, two_layers(), places_all_groups, id="array groups placed"),
    pytest.param(m.core_capacity, GREEDY, keeps_capacity, id="core capacity"),
    pytest.param(m.issue_time_of_patterns, SHARED, shares_a_core, id="issue time of patterns"),
    pytest.param(m.all_work_is_done, two_layers(vector_work_ns=50_000.0), does_all_work, id="all work"),
    pytest.param(m.cores_bound_the_objective, SHARED, shares_a_core, id="cores bound objective"),
    pytest.param(m.layers_take_time, SHORT, groups_fire_in_turn, id="layers take time"),
    pytest.param(m.layers_wait_for_their_producers, CHAIN, waits_for_producers, id="dependencies"),
]


@pytest.mark.parametrize(("family", "problem", "holds"), CASES)
def test_every_family_is_needed(family: Family, problem: MappingProblem, holds: Property) -> None:
    assert holds(problem, solved(problem))
    assert not holds(problem, solved(problem, without(family)))


def test_order_of_alike_cores_forbids_the_mirror_image() -> None:
    """Work on the second of two cores only is possible, but not when the first must be the busiest."""
    problem = make_problem([make_layer(0, [make_option(1, [1])])], cores=2, crossbars_per_core=1)
    _, known = solve_exactly(problem, 4)
    assert known is not None
    offer, _ = make_offer(problem, known.plan, known.objective_ns)
    statuses = []
    for families in (FAMILIES, without(m.alike_cores_are_ordered)):
        v = build(offer, known.objective_ns, families)
        v.model.add(v.load[0][0] == 0)
        statuses.append(cp_model.CpSolver().solve(v.model))
    assert statuses == [cp_model.INFEASIBLE, cp_model.OPTIMAL]


def test_every_family_has_a_test() -> None:
    assert {case.values[0] for case in CASES} | {m.alike_cores_are_ordered} == set(FAMILIES)


@pytest.mark.parametrize("pipeline", Pipeline)
def test_agrees_with_enumeration_on_tiny_problems(pipeline: Pipeline) -> None:
    """The optimum lies between bound and objective, OPTIMAL means it, and it occurs."""
    optimal = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        groups = 1 + seed % 2  # single array groups need no messages, which the model leaves out
        options = [make_option(int(rng.integers(1, 5 - groups)), [int(rng.integers(1, 3))] * groups) for _ in range(2)]
        problem = make_problem([make_layer(k, [o]) for k, o in enumerate(options)], 3, 4, pipeline=pipeline)
        out = get_solver("cpsat:budget_s=1").solve(problem, time_limit_s=3600.0, seed=0)
        optimum = best_objective_ns(problem)
        if out.plan is None:
            assert np.isinf(optimum)
            continue
        assert out.objective_ns is not None
        assert out.bound_ns is not None
        check_plan(problem, out.plan)
        assert out.bound_ns <= optimum * (1 + 1e-9)
        assert out.objective_ns >= optimum * (1 - 1e-9)
        if out.status is Status.OPTIMAL:
            optimal += 1
            assert out.objective_ns == pytest.approx(optimum, rel=1e-5)
    assert optimal >= 2


def test_core_groups_partition_the_cores() -> None:
    for cores in (1, 5, 12, 13, 144, 168, 4096):
        sizes = core_groups(cores)
        assert sum(sizes) == cores
        assert list(sizes) == sorted(sizes, reverse=True)
        assert len(sizes) <= 24


@pytest.mark.slow
def test_large_problem_is_never_worse_than_exact_and_carries_its_bound() -> None:
    problem = resnet18_problem()
    exact = get_solver("exact").solve(problem, time_limit_s=1.0, seed=0)
    out = get_solver("cpsat").solve(problem, time_limit_s=1.0, seed=0)
    assert isinstance(out.plan, Plan)
    assert out.objective_ns is not None
    assert exact.objective_ns is not None
    assert out.bound_ns is not None
    assert out.bound_ns <= out.objective_ns <= exact.objective_ns
    check_plan(problem, out.plan)


def test_several_workers_give_a_plan_that_is_not_called_repeatable() -> None:
    problem = make_problem([make_layer(k, [make_option(5, [2, 1])]) for k in range(3)], 4, 4)
    out = get_solver("cpsat:workers=2").solve(problem, time_limit_s=1.0, seed=0)
    assert out.plan is not None
    check_plan(problem, out.plan)
    assert out.time_limited or out.status is Status.OPTIMAL
