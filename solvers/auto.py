"""auto: the plan that does best when compiled, beside the proven bound of the cost model."""

import time
from dataclasses import dataclass, field, replace

from pimcomp.ir.plan import MappingProblem, Outcome
from solvers.balance import Balance
from solvers.capacity import no_plan, shortfall
from solvers.exact import solve_exactly
from solvers.packing import Priced, better, certified, place
from solvers.relaxation import Choice
from solvers.stream import Stream


@dataclass(frozen=True, slots=True)
class Auto:
    """stream's plan, since compiled programs favour it; where it packs none, the better of exact and balance.

    The bound is exact's. candidates: packings that exact may compare. A note says whose plan it is.
    """

    candidates: int = 4
    name: str = field(default="auto", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        started = time.perf_counter()
        if shortfall(problem) is not None:
            return no_plan(problem, time.perf_counter() - started)
        bound_ns, exact = solve_exactly(problem, self.candidates)
        streamed = Stream().solve(problem, time_limit_s=time_limit_s, seed=seed)
        if streamed.plan is not None and streamed.objective_ns is not None:
            best: Priced | None = Priced(streamed.objective_ns, streamed.plan)
            winner = "stream"
        else:
            faithful = Balance().solve(problem, time_limit_s=time_limit_s, seed=seed).plan
            spread = place(problem, Choice(faithful.option, faithful.replication)) if faithful is not None else None
            best = better(exact, spread)
            winner = "exact" if best is exact else "balance with spread"
        wall_s = time.perf_counter() - started
        if best is None:
            return no_plan(problem, wall_s)
        return replace(certified(best, bound_ns, wall_s, (f"auto: {winner} chosen",)), time_limited=False)
