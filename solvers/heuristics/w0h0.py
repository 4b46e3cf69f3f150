"""W0H0: PIMCOMP-NN's replication in proportion to the size of the output map."""

from dataclasses import dataclass, field

from pimcomp.ir.plan import MappingProblem, Outcome
from solvers.heuristics.faithful import convolutions
from solvers.heuristics.proportional import solve_in_proportion


@dataclass(frozen=True, slots=True)
class W0H0:
    """A convolution's proportion is its windows over the second smallest distinct number of windows."""

    name: str = field(default="W0H0", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        return solve_in_proportion(problem, proportions(problem), self.name)


def proportions(problem: MappingProblem) -> dict[int, int]:
    """ceil(windows / base) per convolution.

    With one distinct size PIMCOMP-NN reads an uninitialised base: here it is that size.
    """
    replicated = convolutions(problem)
    distinct = sorted({problem.layers[k].windows for k in replicated})
    if not distinct:
        return {}
    base = distinct[min(1, len(distinct) - 1)]
    return {k: -(-problem.layers[k].windows // base) for k in replicated}
