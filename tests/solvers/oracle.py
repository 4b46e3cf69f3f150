"""Exhaustive enumeration of tiny mapping problems: what exact solvers must agree with."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import plan_cost


def all_choices(problem: MappingProblem) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every (option, replication) within the chip's crossbars."""
    per_layer = [
        [(o, r) for o, opt in enumerate(layer.options) for r in range(1, opt.firings + 1)] for layer in problem.layers
    ]
    for picks in product(*per_layer):
        used = sum(problem.layers[k].options[o].crossbars * r for k, (o, r) in enumerate(picks))
        if used <= problem.crossbars:
            yield tuple(o for o, _ in picks), tuple(r for _, r in picks)


def all_plans(problem: MappingProblem) -> Iterator[Plan]:
    """Every plan, core mappings included."""
    for option, replication in all_choices(problem):
        groups = [problem.layers[k].options[o].ag_crossbars for k, o in enumerate(option)]
        shapes = [(r, len(one)) for r, one in zip(replication, groups, strict=True)]
        sizes = np.concatenate([np.tile(one, r) for one, r in zip(groups, replication, strict=True)])
        ends = np.cumsum([r * a for r, a in shapes])
        for cores in product(range(problem.cores), repeat=len(sizes)):
            flat = np.array(cores, dtype=np.int32)
            if np.bincount(flat, sizes, problem.cores).max() <= problem.crossbars_per_core:
                parts = np.split(flat, ends[:-1])
                core_of = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
                yield Plan(option=option, replication=replication, core_of=core_of)


def best_objective_ns(problem: MappingProblem) -> float:
    """The optimum over all plans; infinite if there is none."""
    return min(
        (plan_cost(problem, plan).objective_ns(problem.pipeline) for plan in all_plans(problem)), default=float("inf")
    )
