"""ilp: the model of `cpsat` as a mixed-integer program, solved by SCIP, for comparison."""

import math
from dataclasses import dataclass, field

from pimcomp.ir.plan import Judges, MappingProblem, Outcome
from solvers.capacity import answer
from solvers.master.search import Engine, solve_master
from solvers.options import setting

NODES_PER_S = 4  # branch-and-bound nodes per second of the limit: the deterministic budget


@dataclass(frozen=True, slots=True)
class Ilp:
    """Branch and bound within `nodes_per_s` nodes per second of the time limit."""

    budget_s: float = setting(0.0, "work for so many seconds of an idle core; 0: for as many as the time limit, or 10")
    nodes_per_s: int = setting(NODES_PER_S, "nodes of the search tree per second of that")
    log: bool = setting(False, "true: print SCIP's search log")
    name: str = field(default="ilp", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """See `solve_master`."""
        engine = Engine(word="scip", name="SCIP", whole=False, parameters=self._parameters, log=self.log)
        return solve_master(problem, engine, budget_s=self.budget_s, time_limit_s=time_limit_s, seed=seed)

    def _parameters(self, budget_s: float, seed: int) -> str:
        nodes = math.ceil(self.nodes_per_s * budget_s)
        return f"limits/totalnodes = {nodes}\nlimits/gap = 0\nrandomization/randomseedshift = {seed}\n"
