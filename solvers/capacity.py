"""Proofs that a network does not fit a chip whatever is chosen: resource, demand and supply in numbers."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np

from pimcomp.ir.plan import Layer, MappingProblem, Outcome, Status

Solve = TypeVar("Solve", bound=Callable[..., Outcome])


def answer(solve: Solve) -> Solve:
    """Decorator of a solver's `solve`: what provably does not fit is said at once; and how long the answer took."""

    @functools.wraps(solve)
    def answered(self: object, problem: MappingProblem, *args: object, **kwargs: object) -> Outcome:
        started = time.perf_counter()
        outcome = no_plan(problem) if shortfall(problem) is not None else solve(self, problem, *args, **kwargs)
        return replace(outcome, wall_s=time.perf_counter() - started)

    return cast("Solve", answered)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """`demand` exceeds `supply` of `resource` in every plan; `layer` names the culprit if there is a single one."""

    resource: str
    demand: int
    supply: int
    layer: str = ""

    def __str__(self) -> str:
        prefix = f"{self.layer}: " if self.layer else ""
        return f"{prefix}{self.supply} {self.resource}, needs {self.demand}"


def shortfall(problem: MappingProblem) -> Shortfall | None:
    """A resource of which every plan needs more than the chip has, or None if no such proof was found.

    Three proofs, each with every layer once in its smallest option: an array group is indivisible, so one wider than
    a core cannot be placed; crossbars add up; and a core holds at most q array groups of more than 1/(q+1) of its
    crossbars.
    """
    if not problem.layers:
        return None
    capacity = problem.crossbars_per_core
    options = [option for layer in problem.layers for option in layer.options]
    sizes = np.concatenate([option.ag_crossbars for option in options])
    of_option = np.cumsum([0, *(len(option.ag_crossbars) for option in options[:-1])])
    of_layer = np.cumsum([0, *(len(layer.options) for layer in problem.layers[:-1])])
    widest = np.minimum.reduceat(np.maximum.reduceat(sizes, of_option), of_layer)
    for layer, width in zip(problem.layers, widest.tolist(), strict=True):
        if width > capacity:
            return Shortfall("crossbars per core", width, capacity, layer.name)
    crossbars = np.array([option.crossbars for option in options])
    demand = int(np.minimum.reduceat(crossbars, of_layer).sum())
    if demand > problem.crossbars:
        return Shortfall("crossbars", demand, problem.crossbars)
    for q in range(1, 5):
        counts = np.add.reduceat(sizes * (q + 1) > capacity, of_option, dtype=np.int64)
        large = int(np.minimum.reduceat(counts, of_layer).sum())
        if large > q * problem.cores:
            return Shortfall(
                f"cores x {q} (array groups of more than {capacity // (q + 1)} crossbars that a core can hold)",
                large, q * problem.cores,
            )  # fmt: skip
    return None


def smallest_options(problem: MappingProblem) -> tuple[int, ...]:
    """Per layer the option that takes the fewest crossbars among those whose array groups fit a core."""

    def smallest(layer: Layer) -> int:
        options = layer.options
        too_wide = [bool(o.ag_crossbars.max() > problem.crossbars_per_core) for o in options]
        return min(range(len(options)), key=lambda o: (too_wide[o], options[o].crossbars, o))

    return tuple(smallest(layer) for layer in problem.layers)


def no_plan(problem: MappingProblem) -> Outcome:
    """What to answer when even one replica of everything was not packed: a proof if there is one, else UNKNOWN."""
    proof = shortfall(problem)
    if proof is not None:
        return Outcome(status=Status.INFEASIBLE, plan=None, reason=str(proof))
    chosen = [problem.layers[k].options[o] for k, o in enumerate(smallest_options(problem))]
    need, groups = sum(o.crossbars for o in chosen), sum(len(o.ag_crossbars) for o in chosen)
    reason = (
        f"{problem.crossbars} crossbars, needs {need}, but no packing of the {groups} array groups into "
        f"{problem.cores} cores of {problem.crossbars_per_core} was found; more cores or fewer weight bits would help"
    )
    return Outcome(status=Status.UNKNOWN, plan=None, reason=reason)
