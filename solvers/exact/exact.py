"""exact: the core-issue objective, solved on its relaxation and then packed.

At rob_size 1 a core fires one MVM at a time, so crossbars do not compute in parallel by themselves: more of them help
only by letting a layer's firings be spread over more cores. The relaxation (exact/relaxation.py for the period,
exact/latency.py for the latency) is solved with proof; its choice is then cut into pieces of different grain, each
mapped by `spread`, and the best kept.
"""

from dataclasses import dataclass, field
from itertools import chain

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline
from solvers.capacity import answer, no_plan, smallest_options
from solvers.exact.latency import latency_relaxation
from solvers.exact.packing import Priced, best_placed, certified, graded_choices, price
from solvers.exact.relaxation import Choice, chosen, configurations, period_relaxation
from solvers.options import setting
from solvers.placing.mapping import best_fit, first_fit

TIGHTER = (0.95, 0.85, 0.7)  # crossbar budgets of the latency choices, as shares of the chip


@dataclass(frozen=True, slots=True)
class Exact:
    """Bound of the relaxation, and the best packing of its choices."""

    candidates: int = setting(8, "packed choices that are compared")
    name: str = field(default="exact", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        bound_ns, best = solve_exactly(problem, self.candidates)
        return no_plan(problem) if best is None else certified(best, bound_ns)


def solve_exactly(problem: MappingProblem, candidates: int) -> tuple[float, Priced | None]:
    """Proven lower bound of the objective (ns) and the best plan found; the problem must pass `shortfall`."""
    table = configurations(problem)
    period_ns, _ = period_relaxation(problem, table)
    choices = graded_choices(problem, table, period_ns)
    bound_ns = period_ns
    if problem.pipeline is Pipeline.ELEMENT:
        latency_ns, rows = latency_relaxation(problem, table, problem.crossbars)
        bound_ns = max(period_ns, latency_ns)  # a latency is at least the busiest core's work, as a period is
        rows = rows[:2] + [
            r for share in TIGHTER for r in latency_relaxation(problem, table, int(share * problem.crossbars))[1][:1]
        ]
        choices = chain((chosen(table, r) for r in rows), choices)
    best = best_placed(problem, choices, bound_ns, candidates)
    return bound_ns, best if best is not None else single(problem)


def single(problem: MappingProblem) -> Priced | None:
    """One replica of everything in its smallest option, packed somehow."""
    choice = Choice(smallest_options(problem), (1,) * len(problem.layers))
    core_of = first_fit(problem, choice.option, choice.replication)
    return price(
        problem, choice, core_of if core_of is not None else best_fit(problem, choice.option, choice.replication)
    )
