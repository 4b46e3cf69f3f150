"""Plans from columns: valid, of the choice that was asked for, never worse than what is known, repeatable.

Covers: core_contents, core_search.
"""

import numpy as np
import pytest

from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import plan_cost
from solvers.column_generation.columns import Bound
from solvers.column_generation.core_contents import Mode
from solvers.column_generation.core_master import WORK_PER_S
from solvers.column_generation.core_plans import assembled, dive, kinds_of, model_of
from solvers.column_generation.core_search import improved
from solvers.exact.exact import solve_exactly
from solvers.exact.packing import Priced
from solvers.exact.relaxation import Choice
from tests.seeds import seeds
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, random_problem, same_plan


def start_of(problem: MappingProblem) -> Priced:
    known = solve_exactly(problem, 1)[1]
    assert known is not None
    return known


def choice_of(known: Priced) -> Choice:
    return Choice(known.plan.option, known.plan.replication)


@pytest.mark.parametrize("seed", seeds(8, 20))
def test_columns_become_a_plan_of_the_choice(seed: int) -> None:
    problem = random_problem(seed)
    choice = choice_of(start_of(problem))
    master = model_of(problem, choice, 1.3 * start_of(problem).objective_ns)
    assert master is not None
    taken = dive(master)
    assert taken is not None
    done = sum(n * master.does(list(master.columns.values())[i]) for i, n in taken.items())
    needs = master.contents.needs
    assert (done >= needs - 1e-6).all()
    plan = assembled(problem, choice, master, taken)
    assert plan is not None
    check_plan(problem, plan)
    assert (plan.option, plan.replication) == (choice.option, choice.replication)


def test_replicas_that_fire_once_more_come_first() -> None:
    problem = make_problem([make_layer(0, [make_option(10, [2, 1])])], cores=4, crossbars_per_core=4)
    kinds = kinds_of(problem, Choice((0,), (4,)))
    assert [(kind.firings, kind.count) for kind in kinds] == [(3, 2), (2, 2)]


def test_a_period_too_short_for_an_array_group_has_no_model() -> None:
    problem = make_problem([make_layer(0, [make_option(10, [2, 1])])], cores=4, crossbars_per_core=4)
    assert model_of(problem, Choice((0,), (1,)), 10.0) is None


def test_a_replica_that_fills_two_cores_is_put_together() -> None:
    """Two replicas of three wide array groups and one narrow one on four cores: two parts each, nothing else fits."""
    problem = make_problem([make_layer(0, [make_option(8, [3, 3, 2])])], cores=4, crossbars_per_core=6)
    choice = Choice((0,), (2,))
    master = model_of(problem, choice, 8 * 5000.0)
    assert master is not None
    taken = dive(master)
    assert taken is not None
    plan = assembled(problem, choice, master, taken)
    assert plan is not None
    check_plan(problem, plan)
    assert all(len(np.unique(cores)) == 2 for cores in plan.core_of[0])


def test_rounding_that_would_not_end_is_given_up() -> None:
    """Three layers whose parts share cores: each column that is rounded up asks for another."""
    problem = make_problem([make_layer(k, [make_option(5, [2, 1])]) for k in range(3)], 4, 4)
    choices = [(float(period_ns), r) for period_ns in np.linspace(6_000.0, 16_000.0, 12) for r in (1, 2)]
    models = [model_of(problem, Choice((0, 0, 0), (r, r, r)), period_ns) for period_ns, r in choices]
    results = [dive(master) for master in models if master is not None]
    assert None in results, "given up"
    assert all(sum(taken.values()) <= 3 * problem.cores for taken in results if taken is not None)
    assert sum(taken is not None for taken in results) > 8


@pytest.mark.parametrize("seed", seeds(3, 8))
def test_the_search_is_never_worse_and_repeatable(seed: int) -> None:
    problem = random_problem(seed)
    start = start_of(problem)
    modes = tuple(
        Mode(k, o, r, r) for k, (o, r) in enumerate(zip(start.plan.option, start.plan.replication, strict=True))
    )
    bound = Bound(0.5 * start.objective_ns, modes, 0.0)
    first, second = (improved(problem, start, bound, 0.05 * WORK_PER_S, seed) for _ in range(2))
    check_plan(problem, first.plan)
    assert first.objective_ns == plan_cost(problem, first.plan).period_ns <= start.objective_ns
    assert same_plan(first.plan, second.plan)
    assert same_plan(improved(problem, start, bound, 0.0, seed).plan, start.plan)
