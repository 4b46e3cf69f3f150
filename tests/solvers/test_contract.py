"""What every solver promises, whatever it is: a new solver joins by being registered.

Covers: limit, capacity, heuristics/stream.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from pimcomp.errors import ConfigError
from pimcomp.ir.plan import Judgement, Judges, MappingProblem, Outcome, Pipeline, Plan, Status
from pimcomp.plan import judge
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.judge import JUDGE_NAMES, PROGRAM
from solvers import SOLVER_NAMES, describe, get_solver, limit
from solvers.capacity import shortfall
from solvers.column_generation import solver as columns
from solvers.column_generation.core_master import WORK_PER_S
from solvers.local_search import reshape
from solvers.master import cpsat, ilp
from solvers.options import OptionValue
from solvers.population import nsga2
from tests.seeds import sampled, seeds
from tests.solvers.problems import (
    check_plan,
    make_layer,
    make_option,
    make_problem,
    random_problem,
    resnet18_problem,
    same_plan,
)

SEEDS = seeds(1, 6)
TIME_LIMIT_S = 0.2
HANGS_S = 3600.0

# Budgets of their own that are small enough for a test; the others have none, or one that is.
SMALL: dict[str, dict[str, OptionValue]] = {
    "ga": {"population": 40},
    "nsga2": {"evaluations": 128},
    "columns": {"budget_s": 0.1},
    "cpsat": {"budget_s": 0.1},
    "ilp": {"budget_s": 0.1},
}


def solve(name: str, problem: MappingProblem, seed: int = 0) -> Outcome:
    return get_solver(name, SMALL.get(name)).solve(problem, {}, time_limit_s=TIME_LIMIT_S, seed=seed)


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
    solver = get_solver(name, SMALL.get(name))
    first, second = (solver.solve(problem, {}, time_limit_s=HANGS_S, seed=7) for _ in range(2))
    assert not first.time_limited
    assert same_plan(first.plan, second.plan)


@dataclass
class Work:
    """What a solver did, in units that do not depend on the machine."""

    priced: int = 0
    individuals: int = 0
    actions: int = 0
    cells: float = 0.0
    seconds: float = 0.0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Counts plans priced, individuals estimated, actions ordered, and the budgets of searches with own clocks."""
    done = Work()

    def counted(function: Callable[..., Any], add: Callable[..., object]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            add(*args)
            return function(*args, **kwargs)

        return wrapped

    def count(name: str, amount: float) -> None:
        setattr(done, name, getattr(done, name) + amount)

    names = {info.module for info in describe()} | {"exact.packing"}
    for module in (judge, *(import_module(f"solvers.{name}") for name in names)):
        if hasattr(module, "plan_cost"):
            monkeypatch.setattr(module, "plan_cost", counted(plan_cost, lambda *_: count("priced", 1)))
    estimated = nsga2._Search._evaluate
    monkeypatch.setattr(nsga2._Search, "_evaluate", counted(estimated, lambda _, x, *__: count("individuals", len(x))))
    for module, name, place in ((reshape, "reshaped", 3), (columns, "column_bound", 4), (columns, "improved", 3)):
        spent = counted(getattr(module, name), lambda *args, place=place: count("cells", args[place]))
        monkeypatch.setattr(module, name, spent)
    for engine in (cpsat.CpSat, ilp.Ilp):
        monkeypatch.setattr(engine, "_parameters", counted(engine._parameters, lambda _, s, __: count("seconds", s)))
    return done


@dataclass
class Heavy:
    """A judge whose programs take 100,000 actions each and a time that any change of a plan changes."""

    work: Work

    def judge(self, plan: Plan) -> Judgement:
        """A shorter time for more replicas."""
        self.work.actions += 100_000
        return Judgement(time_ns=1e6 / sum(plan.replication), actions=100_000, share=np.ones(len(plan.option)))


@pytest.mark.parametrize("pipeline", [Pipeline.ELEMENT, pytest.param(Pipeline.BATCH, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_a_time_limit_bounds_the_work(name: str, pipeline: Pipeline, work: Work) -> None:
    """Not the seconds: those are the machine's. At least a plan is always made."""
    limit_s = 0.1
    out = get_solver(name).solve(
        resnet18_problem(pipeline, cores=96), {PROGRAM: Heavy(work)}, time_limit_s=limit_s, seed=0
    )
    assert out.plan is not None
    assert work.actions <= limit.ACTIONS_PER_S * limit_s + 100_000
    assert work.individuals <= limit_s * nsga2.ESTIMATES_PER_S + nsga2.Nsga2().population
    assert work.cells <= limit_s * (reshape.WORK_PER_S + WORK_PER_S)
    assert work.seconds <= limit_s
    assert work.priced <= limit.EVALUATIONS_PER_S * limit_s + 60  # what exact compares, and the first plans


@pytest.mark.parametrize("name", sampled(((info.name,) for info in describe() if info.limited), 2))
def test_without_a_limit_a_search_goes_further(name: str, work: Work) -> None:
    exact = name in ("columns", "cpsat", "ilp")
    problem = random_problem(3) if exact else resnet18_problem(Pipeline.BATCH, cores=96)
    judges: Judges = {PROGRAM: Heavy(work)}
    get_solver(name, {"budget_s": 0.3} if exact else None).solve(problem, judges, time_limit_s=None, seed=0)
    free = replace(work)
    get_solver(name).solve(problem, judges, time_limit_s=0.1, seed=0)
    bounded = {f: getattr(work, f) - getattr(free, f) for f in asdict(work)}
    assert any(getattr(free, f) > 2 * amount for f, amount in bounded.items())


@pytest.mark.parametrize("name", ["lns", "auto", "ga", "nsga2"])
def test_a_clock_that_ends_a_search_marks_the_answer(name: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit.Clock, "spent_s", 1e6)
    problem, judges = resnet18_problem(Pipeline.ELEMENT, cores=96), {PROGRAM: Heavy(work)}
    out = get_solver(name).solve(problem, judges, time_limit_s=100.0, seed=0)
    assert out.plan is not None
    assert out.time_limited


@pytest.mark.parametrize("judge_name", JUDGE_NAMES)
@pytest.mark.parametrize("name", ["lns", "auto", "ga", "nsga2"])
def test_any_search_runs_with_any_judge(name: str, judge_name: str, work: Work) -> None:
    problem = random_problem(2)
    out = get_solver(f"{name}:judge={judge_name}").solve(problem, {judge_name: Heavy(work)}, time_limit_s=1.0, seed=0)
    assert out.plan is not None
    check_plan(problem, out.plan)
    assert (work.actions > 0) == (judge_name != "cost")


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


def test_a_network_without_layers_fits() -> None:
    assert shortfall(make_problem([], cores=1, crossbars_per_core=1)) is None


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
        ("lns:judge=oracle", "expected one of program, estimate, cost"),
        ("ga:keep=nan", "expected a number from 0"),
        ("cpsat:log=perhaps", "expected true or false"),
    ):
        with pytest.raises(ConfigError, match=message):
            get_solver(word)


def test_listing_solvers_loads_no_heavy_library() -> None:
    code = "import sys, solvers; solvers.describe(); print([m for m in ('ortools', 'pymoo') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
