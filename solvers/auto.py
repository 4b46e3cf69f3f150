"""auto: run what tends to win within the time limit, keep the best plan and the best bound."""

import time
from dataclasses import dataclass, field, replace

from pimcomp.ir.plan import MappingProblem, Outcome
from solvers.balance import Balance
from solvers.capacity import no_plan, shortfall
from solvers.cpsat import CpSat
from solvers.packing import Priced, better, certified, place
from solvers.relaxation import Choice


@dataclass(frozen=True, slots=True)
class Auto:
    """cpsat (which contains exact) against balance mapped by `spread`; a note says who won."""

    name: str = field(default="auto", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float, seed: int) -> Outcome:
        """Deterministic in the same sense as cpsat."""
        started = time.perf_counter()
        if shortfall(problem) is not None:
            return no_plan(problem, time.perf_counter() - started)
        joint = CpSat().solve(problem, time_limit_s=time_limit_s, seed=seed)
        faithful = Balance().solve(problem, time_limit_s=time_limit_s, seed=seed).plan
        spread = place(problem, Choice(faithful.option, faithful.replication)) if faithful is not None else None
        found = Priced(joint.objective_ns, joint.plan) if joint.plan and joint.objective_ns is not None else None
        best = better(found, spread)
        wall_s = time.perf_counter() - started
        if best is None:
            return no_plan(problem, wall_s)
        winner = f"auto: {'cpsat' if best is found else 'balance with spread'} won"
        bound_ns = joint.bound_ns if joint.bound_ns is not None else 0.0
        return replace(certified(best, bound_ns, wall_s, (winner, *joint.notes)), time_limited=joint.time_limited)
