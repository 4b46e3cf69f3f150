"""Replication in fixed proportions, the common part of uniform and W0H0."""

from collections.abc import Mapping
from dataclasses import replace

from pimcomp.ir.plan import MappingProblem, Outcome
from solvers.heuristics.faithful import MARGIN, Replication, capped, convolutions, highest_rung, plain_options

RUNGS = 256  # resolution of the degradation below one unit of every layer's proportion


def solve_in_proportion(problem: MappingProblem, proportion: Mapping[int, int], name: str) -> Outcome:
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
