"""The master model by CP-SAT and by SCIP: against enumeration, and every family by what goes wrong without it.

Covers: search, cpsat, ilp, /solvers/exact/patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from ortools.linear_solver.python import model_builder as mip

from pimcomp.ir.plan import MappingProblem, Pipeline, Plan, Status
from solvers import get_solver
from solvers.exact.exact import solve_exactly
from solvers.exact.patterns import core_groups, make_offer
from solvers.master import model as m
from solvers.master.model import FAMILIES, Family, Variables, build
from tests.seeds import seeds
from tests.solvers.oracle import best_objective_ns
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, resnet18_problem

ENGINES = ("sat", "scip")
FIRING_NS = 1150.0  # of an array group of one crossbar of `make_option`


@dataclass(frozen=True)
class Solution:
    """Values of a solved model; times in ns."""

    picks: list[float]
    placed: list[float]
    used: list[float]
    objective_ns: float
    time_ns: list[float]


Property = Callable[[MappingProblem, Solution], bool]


def modelled(problem: MappingProblem, engine: str, room: float, families: tuple[Family, ...] = FAMILIES) -> Variables:
    """The complete model; `room`: the largest objective, over that of exact's plan."""
    _, known = solve_exactly(problem, 4)
    assert known is not None
    offer, complete = make_offer(problem, known.plan)
    assert complete
    ns = known.objective_ns
    return build(offer, ns, ns * room, whole=engine == "sat", families=families)


def solved(problem: MappingProblem, engine: str, families: tuple[Family, ...] = FAMILIES) -> Solution:
    """The model's own optimum, without the solver around it."""
    v = modelled(problem, engine, 1.5, families)
    solver = mip.Solver(engine)
    assert solver.solve(v.model) == mip.SolveStatus.OPTIMAL

    def value(variable: mip.Variable) -> float:
        return float(solver.value(variable))

    classes, counts = v.offer.classes, [[value(n) for n in row] for row in v.count]
    return Solution(
        picks=[sum(value(b) for b in row) for row in v.pick],
        placed=[sum(row) for row in counts],
        used=[sum(c.crossbars * row[g] for c, row in zip(classes, counts, strict=True)) for g in range(problem.cores)],
        objective_ns=value(v.objective) * v.unit_ns,
        time_ns=[value(t) * v.unit_ns for t in v.time],
    )


def two_layers(vector_work_ns: float = 0.0) -> MappingProblem:
    """4 and 2 windows on 3 cores of 2 crossbars."""
    layers = [make_layer(0, [make_option(4, [1])]), make_layer(1, [make_option(2, [1, 1])])]
    return make_problem(layers, cores=3, crossbars_per_core=2, vector_work_ns=vector_work_ns)


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
ONE = make_problem([make_layer(0, [make_option(1, [1])])], cores=2, crossbars_per_core=1)


def at_least(firings: float) -> Property:
    return lambda _, s: s.objective_ns >= firings * FIRING_NS * (1 - 1e-3)


CASES = [
    pytest.param(m.one_configuration_each, two_layers(), lambda _, s: min(s.picks) > 0.99, id="one configuration"),
    pytest.param(m.array_groups_are_placed, two_layers(), lambda _, s: min(s.placed) > 0.99, id="array groups placed"),
    pytest.param(m.core_capacity, GREEDY, lambda p, s: max(s.used) < p.crossbars_per_core + 0.01, id="core capacity"),
    # layers 0 and 1 have one core to share, because layer 2 fills the other
    pytest.param(m.issue_time_of_patterns, SHARED, at_least(18), id="issue time of patterns"),
    pytest.param(
        m.all_work_is_done, two_layers(50_000.0), lambda p, s: s.objective_ns >= 50_000.0 / p.cores, id="all work"
    ),
    pytest.param(m.cores_bound_the_objective, SHARED, at_least(18), id="cores bound objective"),
    # 3 windows cannot be shared evenly by two replicas: one fires twice
    pytest.param(m.layers_take_time, SHORT, at_least(2), id="layers take time"),
    pytest.param(
        m.layers_wait_for_their_producers, CHAIN, lambda _, s: s.objective_ns >= sum(s.time_ns) - 1.0,
        id="dependencies",
    ),
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("family", "problem", "holds"), CASES)
def test_every_family_is_needed(family: Family, problem: MappingProblem, holds: Property, engine: str) -> None:
    assert holds(problem, solved(problem, engine))
    assert not holds(problem, solved(problem, engine, tuple(f for f in FAMILIES if f is not family)))


@pytest.mark.parametrize("engine", ENGINES)
def test_order_of_alike_cores_forbids_the_mirror_image(engine: str) -> None:
    """Work on the second of two cores only is possible, but not when the first must be the busiest."""
    statuses = []
    for families in (FAMILIES, tuple(f for f in FAMILIES if f is not m.alike_cores_are_ordered)):
        v = modelled(ONE, engine, 1.0, families)
        v.model.add(v.load[0][0] == 0)
        statuses.append(mip.Solver(engine).solve(v.model))
    assert statuses == [mip.SolveStatus.INFEASIBLE, mip.SolveStatus.OPTIMAL]


def test_every_family_has_a_test() -> None:
    assert {case.values[0] for case in CASES} | {m.alike_cores_are_ordered} == set(FAMILIES)


@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("name", ["cpsat", "ilp"])
def test_agrees_with_enumeration_on_tiny_problems(name: str, pipeline: Pipeline) -> None:
    """The optimum lies between bound and objective, OPTIMAL means it, and it occurs."""
    optimal = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        groups = 1 + seed % 2  # single array groups need no messages, which the model leaves out
        options = [make_option(int(rng.integers(1, 5 - groups)), [int(rng.integers(1, 3))] * groups) for _ in range(2)]
        problem = make_problem([make_layer(k, [o]) for k, o in enumerate(options)], 3, 4, pipeline=pipeline)
        out = get_solver(f"{name}:budget_s=1").solve(problem, {}, time_limit_s=3600.0, seed=0)
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


@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("seed", seeds(1, 3))
def test_both_engines_find_the_same_optimum(seed: int, pipeline: Pipeline) -> None:
    rng = np.random.default_rng(seed)
    options = [make_option(int(rng.integers(2, 6)), [1] * int(rng.integers(1, 3))) for _ in range(2)]
    problem = make_problem([make_layer(k, [o]) for k, o in enumerate(options)], 3, 4, pipeline=pipeline)
    first, second = (solved(problem, engine).objective_ns for engine in ENGINES)
    assert first == pytest.approx(second, rel=1e-4)


def test_core_groups_partition_the_cores() -> None:
    for cores in (1, 5, 12, 13, 144, 168, 4096):
        sizes = core_groups(cores)
        assert sum(sizes) == cores
        assert list(sizes) == sorted(sizes, reverse=True)
        assert len(sizes) <= 24


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpsat", "ilp"])
def test_large_problem_is_never_worse_than_exact_and_carries_its_bound(name: str) -> None:
    problem = resnet18_problem()
    exact = get_solver("exact").solve(problem, {}, time_limit_s=1.0, seed=0)
    out = get_solver(name).solve(problem, {}, time_limit_s=1.0, seed=0)
    assert isinstance(out.plan, Plan)
    assert out.objective_ns is not None
    assert exact.objective_ns is not None
    assert out.bound_ns is not None
    assert out.bound_ns <= out.objective_ns <= exact.objective_ns
    check_plan(problem, out.plan)


def test_several_workers_give_a_plan_that_is_not_called_repeatable() -> None:
    problem = make_problem([make_layer(k, [make_option(5, [2, 1])]) for k in range(3)], 4, 4)
    out = get_solver("cpsat:workers=2").solve(problem, {}, time_limit_s=1.0, seed=0)
    assert out.plan is not None
    check_plan(problem, out.plan)
    assert out.time_limited or out.status is Status.OPTIMAL
