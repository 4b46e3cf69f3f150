"""The exact solver's bounds and choices against enumeration.

Covers: exact_windows, latency, packing, relaxation.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.ir.plan import MappingProblem, Pipeline, Status
from pimcomp.plan.cost import group_busy_ns, issue_bound_ns, population_cost
from solvers import get_solver
from solvers.exact.exact_windows import fewest_windows
from solvers.exact.latency import latency_relaxation
from solvers.exact.relaxation import chosen, configurations, least_work, period_relaxation, useful_replications
from tests.seeds import seeds
from tests.solvers.oracle import all_choices, best_objective_ns
from tests.solvers.problems import make_layer, make_option, make_problem, random_problem, resnet18_problem


def tiny_problem(seed: int, pipeline: Pipeline) -> MappingProblem:
    """Up to three layers of at most 9 windows and two options: a few hundred choices."""
    rng = np.random.default_rng(seed)
    layers = []
    for k in range(int(rng.integers(1, 4))):
        side = int(rng.integers(1, 4))
        groups, width = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        options = [make_option(side * side, [width] * groups)]
        if side == 3:
            options.append(make_option(6, [width + 1] * groups, 2, 150.0))
        layers.append(make_layer(k, options))
    need = sum(layer.options[0].crossbars for layer in layers)
    capacity = 4
    cores = -(-need // capacity) + int(rng.integers(0, 4))
    vector_work_ns, load_ns = (float(x) for x in rng.integers(0, 3000, size=2))
    return make_problem(layers, cores, capacity, pipeline, vector_work_ns, load_ns=load_ns)


@given(st.integers(1, 5000))
def test_useful_replications_are_the_least_of_each_share(firings: int) -> None:
    every = np.arange(1, firings + 1)
    _, first = np.unique(-(-firings // every), return_index=True)
    np.testing.assert_array_equal(useful_replications(firings), np.sort(every[first]))


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_period_relaxation_is_the_minimum_over_all_choices(seed: int) -> None:
    problem = tiny_problem(seed, Pipeline.BATCH)
    option, replication = (np.array(part) for part in zip(*all_choices(problem), strict=True))
    best = population_cost(problem, option, replication)[1].min()
    bound, rows = period_relaxation(problem, configurations(problem))
    assert rows is not None
    assert bound == pytest.approx(best, rel=1e-6)
    assert bound <= best * (1 + 1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_latency_relaxation_brackets_the_minimum_over_all_choices(seed: int) -> None:
    problem = tiny_problem(seed, Pipeline.ELEMENT)
    table = configurations(problem)
    option, replication = (np.array(part) for part in zip(*all_choices(problem), strict=True))
    best = population_cost(problem, option, replication)[0].min()
    bound, met = latency_relaxation(problem, table, problem.crossbars)
    assert bound <= best * (1 + 1e-9)
    assert met
    choice = chosen(table, met[0])
    reached = population_cost(problem, np.array([choice.option]), np.array([choice.replication]))
    assert best * (1 - 1e-9) <= reached[0][0] <= best * 1.6
    assert reached[2][0] <= problem.crossbars


@given(st.integers(0, 10_000), st.floats(0.5, 2.0))
@settings(max_examples=40)
def test_knapsack_finds_the_least_work(seed: int, scale: float) -> None:
    problem = tiny_problem(seed, Pipeline.BATCH)
    table = configurations(problem)
    limit = scale * period_relaxation(problem, table)[0]
    works = [
        sum(layer.options[o].work_ns for layer, o in zip(problem.layers, option, strict=True))
        for option, replication in all_choices(problem)
        if all(
            group_busy_ns(layer.options[o], np.array([r]))[0] <= limit
            for layer, o, r in zip(problem.layers, option, replication, strict=True)
        )
    ]
    rows = least_work(table, limit, problem.crossbars, optimistic=True)
    assert (rows is None) == (not works)
    if rows is not None:
        assert table.work_ns[rows].sum() == pytest.approx(min(works))


def test_coarse_knapsack_units_bracket_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10 units for some 50 crossbars the optimistic rounding never works more, the pessimistic one always fits."""
    fitting = 0
    for seed in range(30):
        problem = random_problem(seed)
        table = configurations(problem)
        limit = 1.2 * period_relaxation(problem, table)[0]
        exact = least_work(table, limit, problem.crossbars, optimistic=True)
        with monkeypatch.context() as patch:
            patch.setattr("solvers.exact.relaxation.BUDGET_STEPS", 10)
            low = least_work(table, limit, problem.crossbars, optimistic=True)
            high = least_work(table, limit, problem.crossbars, optimistic=False)
        assert exact is not None
        assert low is not None
        assert table.work_ns[low].sum() <= table.work_ns[exact].sum() * (1 + 1e-12)
        if high is not None:
            fitting += 1
            assert table.crossbars[high].sum() <= problem.crossbars
    assert fitting > 20


@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("seed", seeds(2, 8))
def test_bound_holds_for_every_plan_of_a_tiny_problem(seed: int, pipeline: Pipeline) -> None:
    rng = np.random.default_rng(seed)
    layers = [make_layer(k, [make_option(int(rng.integers(1, 4)), [int(rng.integers(1, 3))] * 2)]) for k in range(2)]
    problem = make_problem(layers, cores=3, crossbars_per_core=4, pipeline=pipeline)
    out = get_solver("exact").solve(problem, {}, time_limit_s=1.0, seed=0)
    optimum = best_objective_ns(problem)
    assert out.bound_ns is not None
    assert out.objective_ns is not None
    assert out.bound_ns <= optimum * (1 + 1e-9)
    assert optimum * (1 - 1e-9) <= out.objective_ns
    assert issue_bound_ns(problem) <= out.bound_ns


def test_resnet18_needs_19_windows_per_replica() -> None:
    """Known minimum with 9216 crossbars; the issue bound shows why it is the wrong objective at rob_size 1."""
    problem = resnet18_problem()
    assert fewest_windows(problem, (0,) * len(problem.layers)) == 19
    assert issue_bound_ns(problem) > 19 * 1250.0


@pytest.mark.parametrize("pipeline", Pipeline)
def test_exact_comes_close_to_its_bound_on_resnet18(pipeline: Pipeline) -> None:
    out = get_solver("exact").solve(resnet18_problem(pipeline), {}, time_limit_s=5.0, seed=0)
    assert out.status in (Status.OPTIMAL, Status.FEASIBLE)
    assert out.objective_ns is not None
    assert out.bound_ns is not None
    assert out.objective_ns <= 1.2 * out.bound_ns
