"""cpsat: replication, unfolding and core mapping jointly by CP-SAT, with a certified gap."""

from dataclasses import dataclass, field, replace

from pimcomp.ir.plan import Judges, MappingProblem, Outcome
from solvers.capacity import answer
from solvers.master.search import Engine, solve_master
from solvers.options import setting

# Units of CP-SAT's deterministic time per second of the limit. A shared core did 0.05 to 0.26 of them in a second
# (measured), so the wall clock, which makes results irreproducible, seldom ends the search.
DETERMINISTIC_SHARE = 0.02
# Integers may be large, and its handler of Ctrl-C allocates memory, which can hang the process.
PARAMETERS = "mip_max_bound: 1e15 catch_sigint_signal: false"


@dataclass(frozen=True, slots=True)
class CpSat:
    """The model of master/model.py within a deterministic budget derived from the time limit."""

    budget_s: float = setting(0.0, "work for so many seconds of an idle core; 0: for as many as the time limit, or 10")
    log: bool = setting(False, "true: print CP-SAT's search log")
    workers: int = setting(1, "searches in parallel; with more than one another run may find another plan")
    name: str = field(default="cpsat", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """See `solve_master`. With several workers never called repeatable."""
        engine = Engine(word="sat", name="CP-SAT", whole=True, parameters=self._parameters, log=self.log)
        outcome = solve_master(problem, engine, budget_s=self.budget_s, time_limit_s=time_limit_s, seed=seed)
        return replace(outcome, time_limited=outcome.time_limited or self.workers > 1)

    def _parameters(self, budget_s: float, seed: int) -> str:
        return (
            f"num_workers: {max(1, self.workers)} random_seed: {seed} "
            f"max_deterministic_time: {DETERMINISTIC_SHARE * budget_s} {PARAMETERS}"
        )
