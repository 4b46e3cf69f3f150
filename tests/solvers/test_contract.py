"""What every solver promises, whatever it is: a new solver joins by being registered."""

import subprocess
import sys

import pytest

from pimcomp.cost import plan_cost
from pimcomp.errors import ConfigError
from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Status
from solvers import SOLVER_NAMES, describe, get_solver
from tests.seeds import seeds
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, random_problem, same_plan

SEEDS = seeds(2, 6)
TIME_LIMIT_S = 0.2


def solve(name: str, problem: MappingProblem, seed: int = 0) -> Outcome:
    return get_solver(name).solve(problem, time_limit_s=TIME_LIMIT_S, seed=seed)


@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_a_solution_is_a_valid_plan_and_its_bound_is_not_above_it(name: str, seed: int, pipeline: Pipeline) -> None:
    problem = random_problem(seed, pipeline)
    out = solve(name, problem)
    assert out.status in (Status.OPTIMAL, Status.FEASIBLE), out.reason
    assert out.plan is not None
    check_plan(problem, out.plan)
    cost = plan_cost(problem, out.plan).objective_ns(pipeline)
    if out.objective_ns is not None and name != "exact-windows":
        assert out.objective_ns == pytest.approx(cost)
    if out.bound_ns is not None:
        assert out.objective_ns is not None
        assert out.bound_ns <= out.objective_ns * (1 + 1e-9)
        if out.status is Status.OPTIMAL:
            assert out.objective_ns == pytest.approx(out.bound_ns, rel=1e-4)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_same_seed_same_plan(name: str) -> None:
    problem = random_problem(3)
    # A budget in evaluations that the clock never cuts short: only then is the promise made.
    solver = get_solver(name, {"evaluations": 256} if name == "nsga2" else None)
    first, second = (solver.solve(problem, time_limit_s=20.0, seed=7) for _ in range(2))
    assert not first.time_limited
    assert same_plan(first.plan, second.plan)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_too_many_crossbars_is_proven_infeasible_in_numbers(name: str) -> None:
    problem = make_problem([make_layer(0, [make_option(9, [4] * 5)])], cores=4, crossbars_per_core=4)
    out = solve(name, problem)
    assert (out.status, out.plan) == (Status.INFEASIBLE, None)
    assert "16 crossbars, needs 20" in out.reason


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_an_array_group_wider_than_a_core_is_proven_infeasible(name: str) -> None:
    problem = make_problem([make_layer(0, [make_option(9, [5])])], cores=4, crossbars_per_core=4)
    out = solve(name, problem)
    assert (out.status, out.plan) == (Status.INFEASIBLE, None)
    assert "layer0: 4 crossbars per core, needs 5" in out.reason


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_what_only_packing_forbids_is_never_solved(name: str) -> None:
    """Four array groups of 3 crossbars need four cores of 5, although 12 <= 15."""
    problem = make_problem([make_layer(0, [make_option(9, [3] * 4)])], cores=3, crossbars_per_core=5)
    out = solve(name, problem)
    assert out.plan is None
    assert out.status is Status.INFEASIBLE
    assert "needs 4" in out.reason


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_unproven_packing_failure_is_not_called_solved(name: str) -> None:
    """7 + 7 + 4 <= 2 x 10, and no counting argument of ours forbids it, yet no packing exists."""
    layers = [make_layer(0, [make_option(4, [7, 7])]), make_layer(1, [make_option(4, [4])])]
    out = solve(name, make_problem(layers, cores=2, crossbars_per_core=10))
    assert out.plan is None
    assert out.status in (Status.UNKNOWN, Status.INFEASIBLE)
    assert "20 crossbars, needs 18" in out.reason


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_fragmentation_by_first_fit_is_repaired(name: str) -> None:
    """First fit puts 2 + 3 and 3 + 2 on two cores of 6 and has no place for the last 2."""
    layers = [make_layer(k, [make_option(1, sizes)]) for k, sizes in enumerate(([2], [3, 3], [2, 2]))]
    problem = make_problem(layers, cores=2, crossbars_per_core=6)
    out = solve(name, problem)
    if name == "stream":  # packs greedily only
        assert out.status is Status.UNKNOWN
        return
    assert out.plan is not None
    check_plan(problem, out.plan)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_fully_connected_layers_alone_need_no_convolution(name: str) -> None:
    problem = make_problem([make_layer(k, [make_option(1, [2] * 3)]) for k in range(2)], cores=4, crossbars_per_core=8)
    out = solve(name, problem)
    assert out.plan is not None
    assert out.plan.replication == (1, 1)


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_one_core_is_a_chip(name: str) -> None:
    problem = make_problem([make_layer(0, [make_option(9, [2, 1])])], cores=1, crossbars_per_core=8)
    out = solve(name, problem)
    assert out.plan is not None
    check_plan(problem, out.plan)
    assert (out.plan.core_of[0] == 0).all()


def test_the_registry_describes_every_solver() -> None:
    assert tuple(info.name for info in describe()) == SOLVER_NAMES
    for info in describe():
        assert get_solver(info.name.upper()).name == info.name
        assert info.summary
        assert info.certificate


def test_unknown_solver_and_option_are_configuration_errors() -> None:
    with pytest.raises(ConfigError, match="expected one of balance"):
        get_solver("simplex")
    with pytest.raises(ConfigError, match=r"solver.balance.depth: unknown option"):
        get_solver("balance", {"depth": 3})
    with pytest.raises(ConfigError, match=r"solver.ga.generations: unknown option"):
        get_solver("ga:generations=3")


def test_options_may_stand_behind_the_name() -> None:
    ga = get_solver("GA:iterations=200:population=100:keep=0.5")
    assert (ga.iterations, ga.population, ga.keep) == (200, 100, 0.5)  # type: ignore[attr-defined]
    assert get_solver("cpsat:log=true").log is True  # type: ignore[attr-defined]
    for word, message in (
        ("ga:population=many", "expected a whole number, found 'many'"),
        ("ga:population=0", "at least 1"),
        ("ga:population=-3", "expected a whole number from 0"),
        ("ga:keep=nan", "expected a number from 0"),
        ("cpsat:log=perhaps", "expected true or false"),
    ):
        with pytest.raises(ConfigError, match=message):
            get_solver(word)


def test_listing_solvers_loads_no_heavy_library() -> None:
    code = "import sys, solvers; solvers.describe(); print([m for m in ('ortools', 'pymoo') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
