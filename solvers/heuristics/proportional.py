"""uniform and W0H0: PIMCOMP-NN's replication of convolutions in fixed proportions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Reads
from solvers.capacity import answer
from solvers.heuristics.faithful import MARGIN, Replication, capped, convolutions, highest_rung, plain_options

RUNGS = 256  # resolution of the degradation below one unit of every layer's proportion


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every convolution equally often, within 1/1.2 of the free crossbars."""

    reads: ClassVar[Reads] = Reads.SHAPES
    name: str = field(default="uniform", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        return _in_proportion(problem, dict.fromkeys(convolutions(problem), 1), self.name)


@dataclass(frozen=True, slots=True)
class W0H0:
    """A convolution's proportion is its windows over the second smallest distinct number of windows."""

    reads: ClassVar[Reads] = Reads.SHAPES
    name: str = field(default="W0H0", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """Deterministic and fast: limit and seed change nothing."""
        return _in_proportion(problem, _proportions(problem), self.name)


def _proportions(problem: MappingProblem) -> dict[int, int]:
    """ceil(windows / base) per convolution.

    With one distinct size PIMCOMP-NN reads an uninitialised base: here it is that size.
    """
    replicated = convolutions(problem)
    distinct = sorted({problem.layers[k].windows for k in replicated})
    if not distinct:
        return {}
    base = distinct[min(1, len(distinct) - 1)]
    return {k: -(-problem.layers[k].windows // base) for k in replicated}


def _in_proportion(problem: MappingProblem, proportion: Mapping[int, int], name: str) -> Outcome:
    """Replicate layer k `times * proportion[k]` times, with PIMCOMP-NN's margin deciding `times`.

    Where that is 0, or does not fit the chip, all proportions are scaled down together, never below one replica.
    """
    option = plain_options(problem)
    crossbars = [layer.options[o].crossbars for layer, o in zip(problem.layers, option, strict=True)]
    replicated = set(convolutions(problem))
    free = problem.crossbars - sum(x for k, x in enumerate(crossbars) if k not in replicated)
    unit = sum(proportion[k] * crossbars[k] for k in replicated)
    times = int(free / unit / MARGIN) if unit else 0
    top = max(times, 1) * RUNGS

    def rung(level: int) -> Replication:
        wanted = tuple(max(1, proportion.get(k, 1) * level // RUNGS) for k in range(len(problem.layers)))
        single = tuple(r if k in replicated else 1 for k, r in enumerate(wanted))
        return capped(problem, option, single)

    outcome = highest_rung(problem, option, top, rung, name)
    if times > 0 or outcome.plan is None or not replicated:
        return outcome
    note = f"{name}'s margin of {MARGIN} leaves no room for one unit of every layer: the margin is dropped"
    return replace(outcome, notes=(note, *outcome.notes))
