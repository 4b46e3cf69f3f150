"""The local search on plans: valid, never worse, repeatable, and better where packing is what is hard."""

import numpy as np
import pytest

from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import plan_cost
from solvers.column_generation.solver import best_known
from solvers.exact.exact import solve_exactly
from solvers.local_search.reshape import WORK_PER_S, reshaped
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, random_problem, same_plan

SETTING = (0.05, 0.9)


def start_of(problem: MappingProblem) -> Plan:
    known = solve_exactly(problem, 1)[1]
    assert known is not None
    return known.plan


@pytest.mark.parametrize("seed", range(12))
def test_every_result_is_a_valid_plan_and_no_worse(seed: int) -> None:
    problem = random_problem(seed)
    start = start_of(problem)
    plan = reshaped(problem, start, 0.0, 2e6, seed, *SETTING)
    check_plan(problem, plan)
    assert plan_cost(problem, plan).period_ns <= plan_cost(problem, start).period_ns * (1 + 1e-9)


def test_same_seed_same_plan_and_no_budget_no_change() -> None:
    problem = random_problem(5)
    start = start_of(problem)
    first, second = (reshaped(problem, start, 0.0, 2e6, 3, *SETTING) for _ in range(2))
    assert same_plan(first, second)
    assert same_plan(reshaped(problem, start, 0.0, 0.0, 3, *SETTING), start)


def wide_and_busy() -> MappingProblem:
    """Eight array groups that fill half a core and hardly fire; a layer of 400 firings wants the other halves."""
    layers = [make_layer(0, [make_option(400, [4])]), make_layer(1, [make_option(1, [4] * 8)])]
    return make_problem(layers, cores=8, crossbars_per_core=8)


def test_idle_layers_come_to_share_cores_with_busy_ones() -> None:
    """Two idle array groups per core leave 4 cores to the 400 firings of 1300 ns; one per core leaves 8."""
    problem = wide_and_busy()
    plan = reshaped(problem, start_of(problem), 0.0, 0.05 * WORK_PER_S, 0, *SETTING)
    assert plan_cost(problem, plan).period_ns < 1.25 * 400 * 1300.0 / 8
    assert len(np.unique(plan.core_of[0])) == 8


def test_what_is_best_known_brackets_the_optimum() -> None:
    problem = wide_and_busy()
    bound_ns, best = best_known(problem, 0.5, 0)
    assert best is not None
    check_plan(problem, best.plan)
    assert bound_ns <= best.objective_ns <= 1.25 * bound_ns
