"""The integer program against enumeration and CP-SAT, and every constraint family by what goes wrong without it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from ortools.linear_solver.python import model_builder as mip

from pimcomp.ir.plan import MappingProblem, Pipeline, Status
from solvers import get_solver
from solvers.exact.exact import solve_exactly
from solvers.exact.patterns import make_offer
from solvers.master import ilp
from solvers.master.ilp import FAMILIES, Family, build
from tests.seeds import seeds
from tests.solvers.oracle import best_objective_ns
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem


@dataclass(frozen=True)
class Solution:
    """Values of a solved model; times in ns."""

    picks: list[float]
    placed: list[float]
    used: list[float]
    objective_ns: float
    time_ns: list[float]


Property = Callable[[MappingProblem, Solution], bool]


def solved(problem: MappingProblem, families: tuple[Family, ...] = FAMILIES) -> Solution:
    """The model's own optimum, without the solver around it."""
    _, known = solve_exactly(problem, 4)
    assert known is not None
    offer, complete = make_offer(problem, known.plan, known.objective_ns)
    assert complete
    v = build(offer, known.objective_ns, families)
    solver = mip.Solver("scip")
    assert solver.solve(v.model) == mip.SolveStatus.OPTIMAL
    cores = range(problem.cores)
    placed, used = [], [0.0] * problem.cores
    for k, offered in enumerate(offer.configurations):
        placed.append(0.0)
        for configuration, rows in zip(offered, v.count[k], strict=True):
            for alike, counts in zip(offer.classes_of(k, configuration.option), rows, strict=True):
                values = [float(solver.value(n)) for n in counts]
                placed[-1] += sum(values)
                used = [used[g] + alike.crossbars * values[g] for g in cores]
    return Solution(
        picks=[sum(float(solver.value(b)) for b in row) for row in v.pick],
        placed=placed,
        used=used,
        objective_ns=float(solver.value(v.objective)) * v.unit_ns,
        time_ns=[float(solver.value(t)) * v.unit_ns for t in v.time],
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
FIRING_NS = 1150.0  # of an array group of one crossbar of `make_option`


def at_least(firings: float) -> Property:
    return lambda problem, s: s.objective_ns >= firings * FIRING_NS * (1 - 1e-3)


CASES = [
    pytest.param(
        ilp.one_configuration_each, two_layers(), lambda _, s: min(s.picks) > 0.99, id="one configuration"
    ),
    pytest.param(
        ilp.array_groups_are_placed, two_layers(), lambda _, s: min(s.placed) > 0.99, id="array groups placed"
    ),
    pytest.param(
        ilp.core_capacity, GREEDY, lambda p, s: max(s.used) < p.crossbars_per_core + 0.01, id="core capacity"
    ),
    # layers 0 and 1 have one core to share, because layer 2 fills the other
    pytest.param(ilp.issue_time_of_patterns, SHARED, at_least(18), id="issue time of patterns"),
    pytest.param(
        ilp.all_work_is_done, two_layers(50_000.0), lambda p, s: s.objective_ns >= 50_000.0 / p.cores, id="all work"
    ),
    pytest.param(ilp.cores_bound_the_objective, SHARED, at_least(18), id="cores bound objective"),
    # 3 windows cannot be shared evenly by two replicas: one fires twice
    pytest.param(ilp.layers_take_time, SHORT, at_least(2), id="layers take time"),
    pytest.param(
        ilp.layers_wait_for_their_producers, CHAIN, lambda _, s: s.objective_ns >= sum(s.time_ns) - 1.0,
        id="dependencies",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("family", "problem", "holds"), CASES)
def test_every_family_is_needed(family: Family, problem: MappingProblem, holds: Property) -> None:
    assert holds(problem, solved(problem))
    assert not holds(problem, solved(problem, tuple(f for f in FAMILIES if f is not family)))


def test_every_family_has_a_test() -> None:
    assert {case.values[0] for case in CASES} == set(FAMILIES)


@pytest.mark.parametrize("pipeline", Pipeline)
def test_agrees_with_enumeration_on_tiny_problems(pipeline: Pipeline) -> None:
    """The optimum lies between bound and objective, OPTIMAL means it, and it occurs."""
    optimal = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        groups = 1 + seed % 2
        options = [make_option(int(rng.integers(1, 5 - groups)), [int(rng.integers(1, 3))] * groups) for _ in range(2)]
        problem = make_problem([make_layer(k, [o]) for k, o in enumerate(options)], 3, 4, pipeline=pipeline)
        out = get_solver("ilp:budget_s=1").solve(problem, time_limit_s=3600.0, seed=0)
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
def test_model_and_cpsat_s_have_the_same_optimum(seed: int, pipeline: Pipeline) -> None:
    rng = np.random.default_rng(seed)
    options = [make_option(int(rng.integers(2, 6)), [1] * int(rng.integers(1, 3))) for _ in range(2)]
    problem = make_problem([make_layer(k, [o]) for k, o in enumerate(options)], 3, 4, pipeline=pipeline)
    from ortools.sat.python import cp_model

    from solvers.master.cpsat_model import build as build_cpsat

    _, known = solve_exactly(problem, 4)
    assert known is not None
    offer, _ = make_offer(problem, known.plan, known.objective_ns)
    v = build_cpsat(offer, known.objective_ns)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(v.model) == cp_model.OPTIMAL
    assert solver.value(v.objective) * offer.unit_ns == pytest.approx(solved(problem).objective_ns, rel=1e-4)
