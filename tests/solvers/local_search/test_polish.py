"""Settling of array groups: valid plans of the same choice, the loads of the cost model, fewer messages."""

import numpy as np
import pytest

from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import plan_cost
from solvers.exact.exact import solve_exactly
from solvers.exact.packing import Priced
from solvers.local_search.polish import settled
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, random_problem


def start_of(problem: MappingProblem) -> Priced:
    known = solve_exactly(problem, 1)[1]
    assert known is not None
    return known


def excess(problem: MappingProblem, plan: Plan, target_ns: float) -> float:
    """Sum of squares of what cores exceed the target, the even share of all work counting for every core."""
    busy = plan_cost(problem, plan).load_ns.sum(axis=0) / problem.rob_size
    even = (busy.sum() + problem.vector_work_ns / problem.rob_size) / problem.cores
    over = np.append(np.maximum(busy / target_ns - 1, 0) ** 2, problem.cores * max(even / target_ns - 1, 0) ** 2)
    return float(over.sum())


@pytest.mark.parametrize("seed", range(12))
def test_settling_keeps_the_choice_and_accounts_as_the_cost_model_does(seed: int) -> None:
    """Without heat no step makes it worse, and the excess that millions of small changes sum up to is the plan's."""
    problem = random_problem(seed)
    start = start_of(problem)
    target = 0.8 * start.objective_ns
    plan, after = settled(problem, start.plan, target, 20_000, seed, 0.0)
    check_plan(problem, plan)
    assert (plan.option, plan.replication) == (start.plan.option, start.plan.replication)
    assert after == pytest.approx(excess(problem, plan, target), rel=1e-6, abs=1e-9)
    assert after <= excess(problem, start.plan, target) * (1 + 1e-9)


def test_settling_unites_parts_that_send_messages() -> None:
    """Two replicas of two array groups on two cores, each split over both: united, nobody sends."""
    problem = make_problem([make_layer(0, [make_option(64, [2, 2])])], cores=2, crossbars_per_core=4)
    split = Plan(option=(0,), replication=(2,), core_of=(np.array([[0, 1], [0, 1]], dtype=np.int32),))
    target = 32 * (2 * 1100.0 + 100.0)
    assert excess(problem, split, target) > 0
    plan, after = settled(problem, split, target, 5_000, 0, 0.01)
    assert after == 0.0
    assert all(len(np.unique(cores)) == 1 for cores in plan.core_of[0])
