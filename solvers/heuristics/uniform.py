"""uniform: PIMCOMP-NN's equal replication of all convolutions."""

from dataclasses import dataclass, field

from pimcomp.ir.plan import MappingProblem, Outcome
from solvers.heuristics.faithful import convolutions
from solvers.heuristics.proportional import solve_in_proportion


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every convolution equally often, within 1/1.2 of the free crossbars."""

    name: str = field(default="uniform", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        return solve_in_proportion(problem, dict.fromkeys(convolutions(problem), 1), self.name)
