"""columns: plans reshaped, a bound that knows how array groups fill cores, and plans on that bound's advice.

For the period, `exact`'s plan and one that spreads wide, idle layers over all cores are reshaped (`reshape`), the bound
is lifted by what is known about filling cores (columns.py), and what that says makes further plans (core_search.py).
For the latency, plan and bound are exact's. `cpsat` and `ilp` begin with both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Plan
from pimcomp.plan.cost import firing_ns
from solvers.capacity import answer, no_plan, smallest_options
from solvers.column_generation.columns import column_bound
from solvers.column_generation.core_contents import Mode
from solvers.column_generation.core_master import WORK_PER_S
from solvers.column_generation.core_search import improved
from solvers.exact.exact import Exact, solve_exactly
from solvers.exact.packing import OPTIMALITY, Priced, better, certified, price
from solvers.exact.relaxation import Choice
from solvers.limit import DEFAULT_S
from solvers.local_search import reshape
from solvers.options import setting

SHARE = 0.8  # of the budget
RESHAPING_SHARE, RESHAPING_S = 0.4, 3.6  # for reshaping, but no longer than so many seconds; cores get the rest
BOUND_SHARE = 0.5  # of that rest, at most; plans from columns get what remains
# (warmth, step) of the runs from every start, and of the last run, from the best plan; found by trial on 6 networks.
RUNS = ((0.02, 0.9), (0.1, 0.9), (0.02, 0.8))
LAST_RUN = (0.02, 0.97)


@dataclass(frozen=True, slots=True)
class Columns:
    """The best known plan and bound within a budget of counted work."""

    budget_s: float = setting(0.0, "work for so many seconds of an idle core; 0: for as many as the time limit, or 10")
    name: str = field(default="columns", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """OPTIMAL only if the plan, packing included, attains the bound."""
        budget_s = self.budget_s or (DEFAULT_S if time_limit_s is None else time_limit_s)
        bound_ns, best = best_known(problem, budget_s, seed)
        return no_plan(problem) if best is None else certified(best, bound_ns)


def best_known(problem: MappingProblem, budget_s: float, seed: int) -> tuple[float, Priced | None]:
    """Proven lower bound of the objective (ns) and the best plan found; the problem must pass `shortfall`.

    Deterministic: the budget, in seconds of an idle core, is converted into budgets of counted work.
    """
    bound_ns, best = solve_exactly(problem, Exact().candidates)
    if best is None or problem.pipeline is not Pipeline.BATCH or best.objective_ns <= bound_ns * (1 + OPTIMALITY):
        return bound_ns, best
    reshaping_s = min(RESHAPING_SHARE * budget_s, RESHAPING_S)
    best = reshape_all(problem, best, bound_ns, reshaping_s * reshape.WORK_PER_S, seed)
    if best.objective_ns <= bound_ns * (1 + OPTIMALITY):
        return bound_ns, best
    work = (SHARE * budget_s - reshaping_s) * WORK_PER_S
    modes = [Mode(k, o, r, r) for k, (o, r) in enumerate(zip(best.plan.option, best.plan.replication, strict=True))]
    bound = column_bound(problem, bound_ns, best.objective_ns, modes, BOUND_SHARE * work)
    return bound.period_ns, improved(problem, best, bound, work - bound.spent, seed)


def reshape_all(problem: MappingProblem, known: Priced, bound_ns: float, work: float, seed: int) -> Priced:
    """The best of several runs of the local search, which ends when a plan attains the bound."""
    starts = [known.plan, *_spread_out(problem)]
    runs = [(start, warmth, step) for warmth, step in RUNS for start in starts]
    best = known
    for start, warmth, step in runs:
        best = _reshaped(problem, best, start, bound_ns, work / (len(runs) + 2), seed, (warmth, step))
    return _reshaped(problem, best, best.plan, bound_ns, 2 * work / (len(runs) + 2), seed, LAST_RUN)


def _reshaped(
    problem: MappingProblem, best: Priced, start: Plan, bound_ns: float, work: float, seed: int,
    setting: tuple[float, float],
) -> Priced:  # fmt: skip
    if best.objective_ns <= bound_ns * (1 + OPTIMALITY):
        return best
    plan = reshape.reshaped(problem, start, bound_ns, work, seed, *setting)
    found = better(best, price(problem, Choice(plan.option, plan.replication), plan.core_of))
    assert found is not None
    return found


def _spread_out(problem: MappingProblem) -> Iterator[Plan]:
    """One replica of everything, every array group on the emptiest core; layers with least work per crossbar first.

    Layers that fill many crossbars and hardly compute then share all cores with those that compute.
    """
    option = smallest_options(problem)
    chosen = [layer.options[o] for layer, o in zip(problem.layers, option, strict=True)]
    free = np.full(problem.cores, problem.crossbars_per_core, dtype=np.int64)
    busy = np.zeros(problem.cores)
    core_of: dict[int, IntArray] = {}
    for k in sorted(range(len(chosen)), key=lambda k: (chosen[k].work_ns / chosen[k].crossbars, k)):
        sizes, times = chosen[k].ag_crossbars, firing_ns(chosen[k])
        core_of[k] = np.zeros((1, len(sizes)), dtype=np.int32)
        for a in np.argsort(-sizes, kind="stable"):
            fitting = np.flatnonzero(free >= sizes[a])
            if len(fitting) == 0:
                return
            core = fitting[np.lexsort((busy[fitting], -free[fitting]))[0]]
            core_of[k][0, a] = core
            free[core] -= sizes[a]
            busy[core] += chosen[k].firings * times[a]
    yield Plan(option=option, replication=(1,) * len(chosen), core_of=tuple(core_of[k] for k in range(len(chosen))))
