"""cpsat: replication, unfolding and core mapping jointly, warm-started by `exact`, with a certified gap."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ortools.sat.python import cp_model

from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Plan
from solvers.capacity import no_plan, shortfall
from solvers.exact.packing import OPTIMALITY, Priced, better, certified
from solvers.exact.patterns import Configuration, Offer, make_offer, patterns_of, realised
from solvers.limit import DEFAULT_S, Clock
from solvers.master.cpsat_model import Variables, build
from solvers.master.warm_start import warm_start
from solvers.options import setting

# Units of CP-SAT's deterministic time per second of the limit. A shared core did 0.05 to 0.26 of them in a second
# (measured), so the wall clock, which makes results irreproducible, seldom ends the search.
DETERMINISTIC_SHARE = 0.02
ROOM = 4.0  # objectives up to so many times the known plan's are searched where patterns may not express that plan


@dataclass(frozen=True, slots=True)
class CpSat:
    """The model of master/cpsat_model.py within a deterministic budget derived from the time limit."""

    budget_s: float = setting(0.0, "work for so many seconds of an idle core; 0: for as many as the time limit, or 10")
    log: bool = setting(False, "true: print CP-SAT's search log")
    workers: int = setting(1, "searches in parallel; with more than one another run may find another plan")
    name: str = field(default="cpsat", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float | None, seed: int) -> Outcome:
        """A plan never worse than the warm start's. OPTIMAL only if the plan, packing included, attains a bound."""
        limit_s = DEFAULT_S if time_limit_s is None else time_limit_s
        clock, budget_s = Clock(limit_s), self.budget_s or limit_s
        if shortfall(problem) is not None:
            return no_plan(problem, clock.spent_s)
        bound_ns, known = warm_start(problem, budget_s, seed)
        if known is None:
            return no_plan(problem, clock.spent_s)
        if not problem.layers or known.objective_ns <= bound_ns * (1 + OPTIMALITY):
            return certified(known, bound_ns, clock.spent_s, ("the warm start attains its bound: not searched",))
        offer, complete = make_offer(problem, known.plan, known.objective_ns)
        v = build(offer, known.objective_ns * (1.0 if complete else ROOM))
        hint(v, known.plan)
        solver = self._solver(budget_s, max(0.1, limit_s - clock.spent_s), seed)
        status = interruptible_solve(solver, v.model)
        best: Priced | None = known
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            best = better(best, found(v, solver))
        if complete:
            bound_ns = max(bound_ns, proven_ns(offer, solver, status, known.objective_ns))
        assert best is not None
        spent, offered = solver.deterministic_time, "all" if complete else "selected"
        note = (
            f"CP-SAT: {solver.status_name(status).lower()} after {spent:.2f} deterministic units for {offered} "
            f"configurations on {len(offer.group_cores)} groups of cores"
        )
        cut_short = (
            status not in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
            and solver.deterministic_time < 0.95 * solver.parameters.max_deterministic_time
        )
        outcome = certified(best, bound_ns, clock.spent_s, (note,))
        return replace(outcome, time_limited=cut_short or self.workers > 1)

    def _solver(self, budget_s: float, left_s: float, seed: int) -> cp_model.CpSolver:
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = max(1, self.workers)
        solver.parameters.random_seed = seed
        solver.parameters.max_deterministic_time = DETERMINISTIC_SHARE * budget_s
        solver.parameters.max_time_in_seconds = left_s
        solver.parameters.log_search_progress = self.log
        solver.parameters.catch_sigint_signal = False  # its handler allocates memory, which can hang the process
        return solver


def interruptible_solve(solver: cp_model.CpSolver, model: cp_model.CpModel) -> cp_model.CpSolverStatus:
    """Solve in a thread of its own, so that Ctrl-C stops the search at once instead of waiting for its time limit."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        search = executor.submit(solver.solve, model)
        try:
            return search.result()
        except KeyboardInterrupt:
            solver.stop_search()
            raise


def hint(v: Variables, plan: Plan) -> None:
    """Suggest a plan: its configurations, and its patterns."""
    for k, offered in enumerate(v.offer.configurations):
        mine = Configuration(plan.option[k], plan.replication[k])
        for configuration, picked in zip(offered, v.pick[k], strict=True):
            v.model.add_hint(picked, configuration == mine)
    patterns = patterns_of(v.offer, plan)
    if patterns is not None:
        for row, counts in zip(patterns, v.count, strict=True):
            for n, count in zip(row, counts, strict=True):
                v.model.add_hint(count, n)


def found(v: Variables, solver: cp_model.CpSolver) -> Priced | None:
    """The plan of the solver's solution."""
    picked = [
        next(c for c, literal in zip(offered, literals, strict=True) if solver.boolean_value(literal))
        for offered, literals in zip(v.offer.configurations, v.pick, strict=True)
    ]
    return realised(v.offer, picked, [[solver.value(n) for n in row] for row in v.count])


def proven_ns(offer: Offer, solver: cp_model.CpSolver, status: cp_model.CpSolverStatus, known_ns: float) -> float:
    """Lower bound that a complete model proves: CP-SAT's, less what rounding in the chain of layers can add.

    An infeasible model has no plan below its horizon, which is the objective of a known plan.
    """
    if status == cp_model.INFEASIBLE:
        return known_ns
    if status == cp_model.UNKNOWN:
        return 0.0
    lifted = 4 * len(offer.problem.layers) if offer.problem.pipeline is Pipeline.ELEMENT else 0
    return (solver.best_objective_bound - lifted) * offer.unit_ns
