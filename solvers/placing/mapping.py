"""Core mapping: which core holds each array group, once options and replications are chosen.

`first_fit` is PIMCOMP-NN's rule (docs/glossary.md); `best_fit` packs where first fit leaves holes; `spread` balances
the issue time of cores (plan/cost.py). All return `core_of` (per layer int32[replication, array groups]) or None
when they find no packing, which proves nothing.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cores_needed import first_fit_cores
from pimcomp.plan.cost import FloatVector, IntVector, plan_cost
from solvers.placing.board import CoreOf, calmest, empty_board, fullest, groups_of, next_with_room, put
from solvers.placing.rebalance import rebalance

# A chunk is light if its issue time per crossbar is below this share of the chip's average.
LIGHT = 0.1
# Limits of a core's issue time that the banded mapping tries in turn, over the even share.
SLACKS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.4, 1.8, 2.5, np.inf)
# Where a chunk goes: where it leaves least room; where it and its layer find least load; on, from core to core.
TIGHT, CALM, ON = np.arange(3)


def first_fit(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> CoreOf | None:
    """Each array group, in order of layer and replica, on the lowest-numbered core with room."""
    sizes = groups_of(problem, option, replication).size.astype(np.int32)
    return _split(problem, option, replication, first_fit_cores(sizes, problem.cores, problem.crossbars_per_core))


def best_fit(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> CoreOf | None:
    """Largest array groups first, each on the core that it fills up best: the fallback when first fit fragments."""
    sizes = groups_of(problem, option, replication).size
    order = np.argsort(-sizes, kind="stable")
    single = np.stack([np.zeros_like(order), order, order + 1], axis=1)
    rule, loads = np.full(len(order), TIGHT), np.zeros(len(order))
    cores = _place(single, rule, sizes, loads, problem.cores, problem.crossbars_per_core, np.inf)
    return _split(problem, option, replication, cores)


def _split(
    problem: MappingProblem, option: Sequence[int], replication: Sequence[int], cores: IntArray
) -> CoreOf | None:
    """The flat array of cores per layer; None if one array group found no place (-1)."""
    if (cores < 0).any():
        return None
    result, at = [], 0
    for layer, o, r in zip(problem.layers, option, replication, strict=True):
        groups = len(layer.options[o].ag_crossbars)
        result.append(cores[at : at + r * groups].reshape(r, groups).copy())
        at += r * groups
    return tuple(result)


def spread(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> CoreOf | None:
    """The best, by the problem's own objective, of the balanced mappings; first or best fit if none of them packs.

    "Banded": layers in graph order on consecutive cores along a path of near neighbours, each core filled up to an
    even share of the issue time, so that layers own disjoint core sets. "Wide": every layer on as many cores as it
    has replicas, the least loaded first, so that a layer's own time is short. A replica stays on one core unless it
    exceeds its share.
    """
    best: tuple[float, CoreOf] | None = None
    for core_of in _balanced(problem, option, replication):
        plan = Plan(option=tuple(option), replication=tuple(replication), core_of=core_of)
        objective = plan_cost(problem, plan).objective_ns(problem.pipeline)
        if best is None or objective < best[0]:
            best = (objective, core_of)
    if best is not None:
        return best[1]
    fitted = first_fit(problem, option, replication)
    return fitted if fitted is not None else best_fit(problem, option, replication)


def near_path(hops_ns: npt.NDArray[np.float64]) -> IntArray:
    """int32[cores]: all cores in an order in which each is as near as possible to the one before; starts at core 0."""
    return np.asarray(_near_path(np.ascontiguousarray(hops_ns)), dtype=np.int32)


@kernel
def _near_path(hops: FloatVector) -> IntArray:
    cores = len(hops)
    path = np.zeros(cores, dtype=np.int32)
    used = np.zeros(cores, dtype=np.bool_)
    used[0] = True
    for i in range(1, cores):
        nearest = -1
        for core in range(cores):
            if not used[core] and (nearest < 0 or hops[path[i - 1], core] < hops[path[i - 1], nearest]):
                nearest = core
        path[i] = nearest
        used[nearest] = True
    return path


def _balanced(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> list[CoreOf]:
    """Mappings of both kinds that pack, each as built and rebalanced."""
    groups = groups_of(problem, option, replication)
    sizes, loads = groups.size, groups.work
    if sizes.sum() > problem.crossbars or sizes.max(initial=0) > problem.crossbars_per_core:
        return []
    share_ns = max(loads.sum() / problem.cores, loads.max(initial=0.0))
    chunks = _chunks(problem, option, replication, sizes, loads, share_ns)
    path = near_path(problem.hops_ns)
    capacity = problem.crossbars_per_core
    found = []
    for order, rule in _orders(chunks, sizes, loads):
        wide = _place(chunks[order], rule[order], sizes, loads, problem.cores, capacity, np.inf)
        core_of = _split(problem, option, replication, wide)
        if core_of is not None:
            found += [core_of, rebalance(problem, option, replication, core_of)]
            break
    for factor in SLACKS:
        on = np.full(len(chunks), ON)
        banded = _place(chunks, on, sizes, loads, problem.cores, capacity, share_ns * factor)
        core_of = _split(problem, option, replication, np.where(banded < 0, banded, path[banded]))
        if core_of is not None:
            found += [core_of, rebalance(problem, option, replication, core_of)]
            break
    return found


def _chunks(
    problem: MappingProblem,
    option: Sequence[int],
    replication: Sequence[int],
    sizes: IntVector,
    loads: FloatVector,
    share_ns: float,
) -> IntVector:
    """int64[chunks, 3]: (layer, first, last + 1) of flat array groups that should share a core.

    A replica is one chunk if a core can hold it and its issue time is within `share_ns`; else the fewest equal parts.
    """
    result, at = [], 0
    for k, (layer, o, r) in enumerate(zip(problem.layers, option, replication, strict=True)):
        groups = len(layer.options[o].ag_crossbars)
        crossbars = int(sizes[at : at + groups].sum())
        load = float(loads[at : at + groups].sum())  # replica 0 has the largest share of the windows
        by_load = int(np.ceil(load / share_ns - 1e-9)) if share_ns > 0 else 1
        parts = min(groups, max(1, -(-crossbars // problem.crossbars_per_core), by_load))
        cuts = np.linspace(0, groups, parts + 1).astype(np.int64)
        for j in range(r):
            first = at + j * groups + cuts
            result.append(np.stack([np.full(parts, k), first[:-1], first[1:]], axis=1))
        at += r * groups
    return np.concatenate(result or [np.zeros((0, 3), np.int64)]).astype(np.int64)


def _orders(chunks: IntVector, sizes: IntVector, loads: FloatVector) -> list[tuple[IntVector, IntVector]]:
    """Orders to place chunks in, from the best balanced to the best packed, and the rule for each chunk.

    Longest issue time first (LPT); the same after layers that need room but hardly any issue time (fully connected
    ones), packed tightly so that they leave whole cores to the others; largest first.
    """
    total = np.concatenate([[0.0], np.cumsum(loads)])
    area = np.concatenate([[0], np.cumsum(sizes)])
    load = (total[chunks[:, 2]] - total[chunks[:, 1]]).round(6)
    size = area[chunks[:, 2]] - area[chunks[:, 1]]
    light = load * area[-1] < LIGHT * size * total[-1]
    rule = np.where(light, TIGHT, CALM)
    return [
        (np.argsort(-load, kind="stable"), np.full(len(chunks), CALM)),
        (np.lexsort((-load, np.where(light, -size, 0), ~light)), rule),
        (np.lexsort((-load, -size)), rule),
    ]


@kernel
def _place(
    chunks: IntVector, rule: IntVector, sizes: IntVector, loads: FloatVector, cores: int, capacity: int, limit: float
) -> IntArray:
    """int32[array groups], a core for each, chunk by chunk: the whole chunk, or else each of it; -1 from the first one
    on that finds no room."""
    board, cursor = empty_board(cores, capacity), 0
    own = np.zeros((chunks[:, 0].max() + 1 if len(chunks) else 0, cores))
    result = np.full(len(sizes), -1, dtype=np.int32)
    for q in range(len(chunks)):
        layer, first, end = chunks[q]
        length = end - first
        while first < end:
            size, load = 0, 0.0
            for i in range(first, first + length):
                size += sizes[i]
                load += loads[i]
            if rule[q] == TIGHT:
                core = fullest(board, size)
            elif rule[q] == CALM:
                core = calmest(board, own[layer], size)
            else:
                core = next_with_room(board, cursor, size, load, limit)
            if core >= 0:
                result[first : first + length] = core
                put(board, core, size, load)
                own[layer, core] += load
                cursor = core
                first += length
            elif length == 1:
                return result
            else:
                length = 1
    return result
