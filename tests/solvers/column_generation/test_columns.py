"""The bound over contents of cores: never above the optimum, and above the aggregate bound where cores fill up.

Covers: core_master, solver.
"""

import numpy as np
import pytest

from pimcomp.ir.plan import MappingProblem
from solvers.column_generation.columns import SAFETY, Bound, column_bound
from solvers.column_generation.core_contents import Mode, all_modes, relaxed
from solvers.column_generation.core_master import WORK_PER_S, Master
from solvers.column_generation.solver import best_known
from solvers.exact.relaxation import configurations, period_relaxation
from tests.seeds import seeds
from tests.solvers.oracle import best_objective_ns
from tests.solvers.problems import make_layer, make_option, make_problem, random_problem

WORK = 1.0 * WORK_PER_S


def relaxed_ns(problem: MappingProblem) -> float:
    return period_relaxation(problem, configurations(problem))[0]


def bound_of(problem: MappingProblem, low_ns: float, high_ns: float, work: float = WORK) -> Bound:
    """Beginning with one replica of the first option of every layer."""
    start = [Mode(k, 0, 1, 1) for k in range(len(problem.layers))]
    return column_bound(problem, low_ns, high_ns, start, work)


def tiny_problem(seed: int) -> MappingProblem:
    """Two layers on two or three cores, few enough array groups to enumerate; some replicas are wider than a core."""
    rng = np.random.default_rng(seed)
    if seed % 5 == 4:  # two unfoldings, array groups of two widths
        first = [make_option(4, [1, 2]), make_option(2, [int(rng.integers(2, 4)), 3], 2, 200.0)]
        second = make_option(int(rng.integers(1, 4)), [2])
        return make_problem([make_layer(0, first), make_layer(1, [second])], 3, int(rng.integers(4, 7)))
    options = [make_option(int(rng.integers(1, 5)), [int(rng.integers(1, 4))] * int(rng.integers(1, 4))) for _ in "ab"]
    return make_problem(
        [make_layer(k, [o]) for k, o in enumerate(options)], 2, 6, vector_work_ns=float(rng.integers(0, 3000)),
        rob_size=1 + seed % 2,
    )  # fmt: skip


@pytest.mark.parametrize("seed", seeds(4, 20))
def test_the_bound_is_never_above_the_optimum(seed: int) -> None:
    problem = tiny_problem(seed)
    optimum = best_objective_ns(problem)
    assert np.isfinite(optimum)
    assert bound_of(problem, relaxed_ns(problem), optimum * 1.1).period_ns <= optimum * (1 + 1e-9)
    period_ns = optimum * (1 + 1e-6)
    modes = {mode: relaxed(problem, mode, period_ns) for mode in all_modes(problem, period_ns)}
    master = Master(problem, {mode: c for mode, c in modes.items() if c is not None}, period_ns, 512)
    master.generate(np.inf, 1e-5, 100, {}, 0.0)
    assert master.bound <= master.cores * (1 + 1e-9)
    assert master.bound <= problem.cores * (1 + SAFETY)


@pytest.mark.parametrize("seed", seeds(2, 11))
def test_what_lifted_modes_refute_all_modes_in_the_master_refute(seed: int) -> None:
    problem = tiny_problem(seed)
    optimum = best_objective_ns(problem)
    assert np.isfinite(optimum)
    found = bound_of(problem, 0.5 * relaxed_ns(problem), 2 * optimum)
    period_ns = found.period_ns * 0.999
    modes = {mode: relaxed(problem, mode, period_ns) for mode in all_modes(problem, period_ns)}
    fitting = {mode: c for mode, c in modes.items() if c is not None}
    assert {mode.layer for mode in fitting} == set(range(len(problem.layers))), "else refuted without the master"
    master = Master(problem, fitting, period_ns, 4096)
    master.generate(np.inf, 1e-6, 200, {}, 0.0)
    assert master.bound > problem.cores * (1 - 1e-6)


@pytest.mark.parametrize("seed", seeds(2, 10))
def test_no_plan_found_is_below_the_bound(seed: int) -> None:
    problem = random_problem(seed)
    bound_ns, best = best_known(problem, 0.2, seed)
    assert best is not None
    assert relaxed_ns(problem) * (1 - 1e-9) <= bound_ns <= best.objective_ns


def filled_by_idle_layers(idle: int) -> MappingProblem:
    """Array groups that fill a core and fire once, and 400 firings for whatever cores remain of eight."""
    layers = [make_layer(0, [make_option(400, [4])]), make_layer(1, [make_option(1, [8] * idle)])]
    return make_problem(layers, cores=8, crossbars_per_core=8)


def test_cores_filled_by_idle_layers_do_not_help_the_others() -> None:
    """Six of eight cores are full: the aggregate bound shares the work among eight, the true least is two's."""
    problem = filled_by_idle_layers(6)
    two_cores_ns = 400 * 1300.0 / 2
    assert relaxed_ns(problem) < 0.6 * two_cores_ns
    assert bound_of(problem, relaxed_ns(problem), two_cores_ns * 1.5).period_ns > 0.98 * two_cores_ns


def test_messages_of_replicas_wider_than_a_core_are_counted() -> None:
    """Three array groups of 6 in cores of 8: each firing sends two messages, busy at both ends."""
    problem = make_problem([make_layer(0, [make_option(64, [6, 6, 6])])], cores=3, crossbars_per_core=8)
    work_ns = 64 * (3 * 1300.0 + 100.0) / 3
    bound_ns = bound_of(problem, relaxed_ns(problem), 4 * work_ns).period_ns
    assert bound_ns > 1.05 * work_ns
    _, best = best_known(problem, 0.2, 0)
    assert best is not None
    assert bound_ns <= best.objective_ns


def test_an_impossible_period_is_refuted_without_search() -> None:
    assert all_modes(filled_by_idle_layers(6), 1.0) == []


def test_no_budget_leaves_the_bound_as_it_was() -> None:
    assert bound_of(filled_by_idle_layers(6), 123.0, 1e9, 0.0).period_ns == 123.0


def test_equal_problems_get_equal_bounds() -> None:
    problem = filled_by_idle_layers(5)
    first, second = (bound_of(problem, relaxed_ns(problem), 1e6) for _ in range(2))
    assert first == second
