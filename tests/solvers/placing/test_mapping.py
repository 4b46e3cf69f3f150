"""Core mapping: PIMCOMP-NN's first fit by definition, and the balanced mapping's promises.

Covers: rebalance.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import core_loads_ns, plan_cost
from solvers import get_solver
from solvers.placing.board import CoreOf
from solvers.placing.mapping import best_fit, first_fit, near_path, spread
from solvers.placing.rebalance import rebalance
from tests.solvers.problems import (
    check_plan,
    make_layer,
    make_option,
    make_problem,
    mesh_hops_ns,
    random_problem,
    resnet18_problem,
)


def some_choice(problem: MappingProblem, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Plain options and replications at random within 80 % of the crossbars."""
    rng = np.random.default_rng(seed)
    replication = [1] * len(problem.layers)
    for k in rng.integers(0, len(problem.layers), size=60):
        trial = [r + (i == k) for i, r in enumerate(replication)]
        used = sum(layer.options[0].crossbars * r for layer, r in zip(problem.layers, trial, strict=True))
        if used <= 0.8 * problem.crossbars and trial[k] <= problem.layers[k].options[0].firings:
            replication = trial
    return (0,) * len(problem.layers), tuple(replication)


def plan_of(option: tuple[int, ...], replication: tuple[int, ...], core_of: CoreOf) -> Plan:
    return Plan(option=option, replication=replication, core_of=core_of)


@given(st.integers(0, 10_000))
@settings(max_examples=50)
def test_first_fit_takes_the_lowest_core_with_room(seed: int) -> None:
    problem = random_problem(seed)
    option, replication = some_choice(problem, seed)
    core_of = first_fit(problem, option, replication)
    free = [problem.crossbars_per_core] * problem.cores
    for k, layer in enumerate(problem.layers):
        for j in range(replication[k]):
            for a, size in enumerate(layer.options[0].ag_crossbars):
                core = next((c for c in range(problem.cores) if free[c] >= size), None)
                if core is None:
                    assert core_of is None
                    return
                free[core] -= int(size)
                assert core_of is None or core_of[k][j, a] == core
    assert core_of is not None


@pytest.mark.parametrize("seed", range(30))
def test_mappings_are_valid_and_spread_is_no_worse_than_first_fit(seed: int) -> None:
    problem = random_problem(seed)
    option, replication = some_choice(problem, seed)
    objectives = {}
    for mapper in (first_fit, best_fit, spread):
        core_of = mapper(problem, option, replication)
        if core_of is not None:
            plan = plan_of(option, replication, core_of)
            check_plan(problem, plan)
            objectives[mapper] = plan_cost(problem, plan).period_ns
    assert spread in objectives
    assert objectives[spread] <= objectives.get(first_fit, np.inf) * 1.02


@pytest.mark.parametrize("seed", range(30))
def test_rebalancing_keeps_capacity_and_never_makes_the_busiest_core_busier(seed: int) -> None:
    problem = random_problem(seed)
    option, replication = some_choice(problem, seed)
    core_of = best_fit(problem, option, replication)
    if core_of is None:
        pytest.skip("this instance is too tight for best fit")
    after = plan_of(option, replication, rebalance(problem, option, replication, core_of))
    check_plan(problem, after)
    busiest = [core_loads_ns(problem, p).sum(axis=0).max() for p in (plan_of(option, replication, core_of), after)]
    assert busiest[1] <= busiest[0] * (1 + 1e-9)


def test_rebalancing_finds_the_even_split() -> None:
    """Eight replicas stacked on one core of four that have room for all."""
    problem = make_problem([make_layer(0, [make_option(64, [1, 1])])], cores=4, crossbars_per_core=16)
    stacked = (np.zeros((8, 2), dtype=np.int32),)
    after = plan_of((0,), (8,), rebalance(problem, (0,), (8,), stacked))
    loads = core_loads_ns(problem, after).sum(axis=0)
    assert loads.max() == pytest.approx(loads.min())


def test_exchange_when_every_core_is_full() -> None:
    """Two busy groups share a core, two idle ones another, no crossbar is free: only swapping helps."""
    layers = [make_layer(0, [make_option(16, [2])]), make_layer(1, [make_option(1, [2, 2])])]
    problem = make_problem(layers, cores=2, crossbars_per_core=4)
    packed = (np.array([[0], [0]], dtype=np.int32), np.array([[1, 1]], dtype=np.int32))
    after = plan_of((0, 0), (2, 1), rebalance(problem, (0, 0), (2, 1), packed))
    check_plan(problem, after)
    assert set(after.core_of[0].ravel().tolist()) == {0, 1}


def test_near_path_visits_every_core_by_short_steps() -> None:
    hops = mesh_hops_ns(144)
    path = near_path(hops)
    assert sorted(path.tolist()) == list(range(144))
    assert hops[path[:-1], path[1:]].max() <= 2.0 + 2.0 * 3


def test_spread_halves_the_busiest_core_of_first_fit_on_resnet18() -> None:
    problem = resnet18_problem()
    plan = get_solver("balance").solve(problem, {}, time_limit_s=1.0, seed=0).plan
    assert plan is not None
    core_of = spread(problem, plan.option, plan.replication)
    assert core_of is not None
    better = plan_of(plan.option, plan.replication, core_of)
    check_plan(problem, better)
    assert plan_cost(problem, better).period_ns < 0.55 * plan_cost(problem, plan).period_ns
