"""Random plans of every kind: any unfoldings, any share of the chip, replicated and placed by different rules.

A sample is one number: problem and number give the same plan on every machine. Diversity is the point; most samples
are worse than what any solver returns, and latencies of one network differ by several times.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pimcomp.ir.plan import LayerOption, MappingProblem, Plan
from solvers.capacity import smallest_options
from solvers.heuristics.stream import pack
from solvers.placing.board import CoreOf
from solvers.placing.mapping import best_fit, first_fit, spread
from solvers.placing.rebalance import rebalance

ATTEMPTS = 40
# Shares of the replicas that are kept, one after the other, until a placement packs them.
KEPT = (1.0, 0.85, 0.7, 0.5, 0.3, 0.15, 0.0)
PLACEMENTS = ("first fit", "best fit", "rebalanced", "spread", "pack", "random", "random")


def sampled_plans(problem: MappingProblem, seed: int = 0) -> Iterator[tuple[int, Plan]]:
    """Endless samples with their numbers, from `seed` on; those that cannot be packed are left out."""
    number = seed
    while True:
        plan = sampled_plan(problem, number)
        if plan is not None:
            yield number, plan
        number += 1


def sampled_plan(problem: MappingProblem, number: int) -> Plan | None:
    """One sample; None if its choice of unfoldings does not fit the chip."""
    rng = np.random.default_rng(number)
    for _ in range(ATTEMPTS):
        options = _options(problem, rng)
        chosen = [layer.options[o] for layer, o in zip(problem.layers, options, strict=True)]
        least = sum(option.crossbars for option in chosen)
        if least > problem.crossbars:
            continue
        budget = round(math.exp(rng.uniform(math.log(least), math.log(problem.crossbars))))
        replicas = _replicas(problem, chosen, budget, rng)
        placement = str(rng.choice(PLACEMENTS))
        for share in KEPT:
            kept = [1 + int((r - 1) * share) for r in replicas]
            core_of = _place(problem, options, kept, placement, rng)
            if core_of is not None:
                return Plan(option=tuple(options), replication=tuple(kept), core_of=core_of)
    return None


def _options(problem: MappingProblem, rng: np.random.Generator) -> list[int]:
    """Unfoldings: scattering and wide blocks with a probability of the whole plan, else any allowed block."""
    scatters, wide, widest = rng.random(), rng.random(), int(rng.integers(1, 9))
    smallest = smallest_options(problem)
    result = []
    for layer, small in zip(problem.layers, smallest, strict=True):
        blocks = [i for i, o in enumerate(layer.options) if not o.unfolding.scatter and o.unfolding.block <= widest]
        scattering = [i for i, o in enumerate(layer.options) if o.unfolding.scatter]
        if scattering and rng.random() < scatters:
            result.append(scattering[0])
        elif blocks and rng.random() < wide:
            result.append(blocks[-1] if rng.random() < 0.5 else int(rng.choice(blocks)))
        else:
            result.append(small)
    return result


def _replicas(
    problem: MappingProblem, chosen: list[LayerOption], budget: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Replicas in proportion to a random power of the work, with noise, as many as the budget allows."""
    work = np.array([option.work_ns for option in chosen])
    crossbars = np.array([option.crossbars for option in chosen])
    noise = np.exp(rng.normal(0.0, rng.choice([0.0, 0.3, 1.0]), len(chosen)))
    wanted = work ** rng.choice([0.0, 0.5, 1.0]) / crossbars ** rng.choice([0.0, 0.5]) * noise
    rows = int(rng.choice([1, 2, 4, 1000]))
    limit = np.array([
        min(option.firings, problem.cores, rows * -(-layer.out_width // option.unfolding.block))
        for layer, option in zip(problem.layers, chosen, strict=True)
    ])  # fmt: skip
    low, high = 1e-12, 1e12
    for _ in range(100):
        factor = math.sqrt(low * high)
        taken = (np.clip(factor * wanted, 1, limit).astype(np.int64) * crossbars).sum()
        low, high = (factor, high) if taken <= budget else (low, factor)
    return np.asarray(np.clip(low * wanted, 1, limit), dtype=np.int64)


def _place(
    problem: MappingProblem, options: list[int], replicas: list[int], placement: str, rng: np.random.Generator
) -> CoreOf | None:
    if placement == "random":
        return _place_at_random(problem, options, replicas, rng)
    if placement == "pack":
        plan = pack(problem, options, replicas)
        return None if plan is None else plan.core_of
    if placement == "spread":
        return spread(problem, options, replicas)
    core_of = best_fit(problem, options, replicas) if placement == "best fit" else first_fit(problem, options, replicas)
    return rebalance(problem, options, replicas, core_of) if placement == "rebalanced" and core_of else core_of


def _place_at_random(
    problem: MappingProblem, options: list[int], replicas: list[int], rng: np.random.Generator
) -> CoreOf | None:
    """Every replica on up to a random number of cores, wherever there is room; layers with wide groups first."""
    free = np.full(problem.cores, problem.crossbars_per_core)
    most = int(rng.choice([1, 2, 4, 16]))
    placed: dict[int, npt.NDArray[np.int32]] = {}
    sizes = [layer.options[o].ag_crossbars for layer, o in zip(problem.layers, options, strict=True)]
    for k in sorted(range(len(sizes)), key=lambda k: (-int(sizes[k].max()), k)):
        rows = np.empty((replicas[k], len(sizes[k])), dtype=np.int32)
        for row in rows:
            favourites = rng.permutation(problem.cores)[: int(rng.integers(1, most + 1))]
            for group, size in enumerate(sizes[k]):
                room = favourites[free[favourites] >= size]
                room = room if len(room) else np.flatnonzero(free >= size)
                if not len(room):
                    return None
                row[group] = room[rng.integers(len(room))]
                free[row[group]] -= size
        placed[k] = rows
    return tuple(placed[k] for k in range(len(sizes)))
