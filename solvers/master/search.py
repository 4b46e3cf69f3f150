"""What `cpsat` and `ilp` share: the best known plan and bound, then the model within a budget, and its certificate."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ortools.linear_solver.python import model_builder as mip

from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline
from solvers.capacity import no_plan
from solvers.column_generation.solver import best_known
from solvers.exact.packing import OPTIMALITY, better, certified
from solvers.exact.patterns import make_offer
from solvers.limit import DEFAULT_S, Clock
from solvers.master.model import Variables, build, found, hint

ROOM = 4.0  # objectives up to so many times the known plan's are searched where patterns may not express that plan
TOLERANCE = 1e-6  # SCIP's feasibility tolerance: that much its bound may be too high
SOLVED = (mip.SolveStatus.OPTIMAL, mip.SolveStatus.FEASIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A solver of integer programs: OR-Tools' word for it, its name, whether it wants integer times.

    parameters: its own words for a budget in seconds of an idle core, and a seed.
    """

    word: str
    name: str
    whole: bool
    parameters: Callable[[float, int], str]
    log: bool


def solve_master(
    problem: MappingProblem, engine: Engine, *, budget_s: float, time_limit_s: float | None, seed: int
) -> Outcome:
    """A plan never worse than the best known one. OPTIMAL only if the plan, packing included, attains a bound.

    budget_s: 0 for the time limit's, or DEFAULT_S.
    """
    limit_s = DEFAULT_S if time_limit_s is None else time_limit_s
    clock, budget_s = Clock(limit_s), budget_s or limit_s
    bound_ns, known = best_known(problem, budget_s, seed)
    if known is None:
        return no_plan(problem)
    if not problem.layers or known.objective_ns <= bound_ns * (1 + OPTIMALITY):
        return certified(known, bound_ns, ("the best known plan attains its bound: not searched",))
    offer, complete = make_offer(problem, known.plan)
    v = build(offer, known.objective_ns, known.objective_ns * (1.0 if complete else ROOM), whole=engine.whole)
    hint(v, known.plan)
    left_s = max(0.1, limit_s - clock.spent_s)
    solver = mip.Solver(engine.word)
    solver.set_time_limit_in_seconds(left_s)
    solver.set_solver_specific_parameters(engine.parameters(budget_s, seed))
    solver.enable_output(engine.log)
    status = interruptible_solve(solver, v.model)
    best = better(known, found(v, solver) if status in SOLVED else None)
    assert best is not None
    if complete:
        bound_ns = max(bound_ns, proven_ns(v, solver, status, known.objective_ns))
    note = (
        f"{engine.name}: {status.name.lower()} for {'all' if complete else 'selected'} configurations on "
        f"{len(offer.group_cores)} groups of cores"
    )
    outcome = certified(best, bound_ns, (note,))
    return replace(outcome, time_limited=bool(solver.wall_time >= 0.98 * left_s))


def interruptible_solve(solver: mip.Solver, model: mip.Model) -> mip.SolveStatus:
    """Solve in a thread of its own, so that Ctrl-C stops the search at once instead of waiting for its time limit."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        search = executor.submit(solver.solve, model)
        try:
            return search.result()
        except KeyboardInterrupt:
            solver.stop_search()
            raise


def proven_ns(v: Variables, solver: mip.Solver, status: mip.SolveStatus, known_ns: float) -> float:
    """Lower bound that a complete model proves: the solver's, less what rounding in the chain of layers can add.

    An infeasible model has no plan below its horizon, which is the objective of a known plan.
    """
    if status is mip.SolveStatus.INFEASIBLE:
        return known_ns * (1 - TOLERANCE)
    if status not in SOLVED:
        return 0.0
    lifted = 4 * len(v.pick) if v.whole and v.offer.problem.pipeline is Pipeline.ELEMENT else 0
    return (float(solver.best_objective_bound) - lifted) * v.unit_ns * (1 - TOLERANCE)
