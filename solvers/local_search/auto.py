"""auto: a portfolio whose judge is the ordered program: stream's variants, exact's plan, and local search from there.

Closed forms rank programs poorly; so every candidate is judged, and the best one's neighbours are searched (`lns`).
"""

from dataclasses import dataclass, field

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Plan
from pimcomp.plan.judge import JUDGE_NAMES, PROGRAM
from solvers.capacity import answer
from solvers.exact.exact import solve_exactly
from solvers.exact.packing import place
from solvers.exact.relaxation import Choice
from solvers.heuristics.balance import Balance
from solvers.heuristics.stream import stream_plans
from solvers.limit import Clock
from solvers.local_search.lns import Lns
from solvers.options import setting


@dataclass(frozen=True, slots=True)
class Auto:
    """The default. Its bound is exact's, of the model; a note says whose plan won."""

    budget: float = setting(
        4.0, "million tasks and messages to be ordered, about 4 s of processor time each; 0: the first plan that packs"
    )
    most: int = setting(60, "plans to be judged at most")
    judge: str = setting(PROGRAM, "who judges plans: their ordered programs, an estimate, or closed forms", JUDGE_NAMES)
    candidates: int = setting(4, "packings that exact may compare")
    name: str = field(default="auto", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The limit bounds the search; the bound and the first plan come before it, within a second or two."""
        clock = Clock(time_limit_s)
        bound_ns, exact = solve_exactly(problem, self.candidates)
        starts = [("stream", plan) for plan in stream_plans(problem)]
        starts += [("exact", exact.plan)] if exact is not None else []
        starts += [] if starts else [("balance", plan) for plan in _balanced(problem)]
        lns = Lns(budget=self.budget, most=self.most, judge=self.judge)
        return lns.search(problem, judges, starts, bound_ns, clock, seed)


def _balanced(problem: MappingProblem) -> list[Plan]:
    """Balance's replication on the least loaded cores, if it can be packed so."""
    plan = Balance().solve(problem, {}, time_limit_s=None, seed=0).plan
    spread = place(problem, Choice(plan.option, plan.replication)) if plan is not None else None
    return [spread.plan] if spread is not None else []
