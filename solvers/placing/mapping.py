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
from pimcomp.plan.cost import firing_ns, plan_cost, shares
from solvers.placing.rebalance import rebalance

CoreOf = tuple[IntArray, ...]

# A chunk is light if its issue time per crossbar is below this share of the chip's average.
LIGHT = 0.1
# Limits of a core's issue time that the banded mapping tries in turn, over the even share.
SLACKS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.4, 1.8, 2.5, np.inf)


def first_fit(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> CoreOf | None:
    """Each array group, in order of layer and replica, on the lowest-numbered core with room."""
    sizes = _group_sizes(problem, option, replication)
    return _split(problem, option, replication, first_fit_cores(sizes, problem.cores, problem.crossbars_per_core))


def best_fit(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> CoreOf | None:
    """Largest array groups first, each on the core that it fills up best: the fallback when first fit fragments."""
    sizes = _group_sizes(problem, option, replication)
    order = np.argsort(-sizes, kind="stable")
    placed = _best_fit(sizes[order], problem.cores, problem.crossbars_per_core)
    cores = np.empty_like(placed)
    cores[order] = placed
    return _split(problem, option, replication, cores)


def _group_sizes(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> IntArray:
    """Crossbars of every array group of the chip, in order of layer, replica, group."""
    return np.concatenate([
        np.tile(layer.options[o].ag_crossbars, r)
        for layer, o, r in zip(problem.layers, option, replication, strict=True)
    ] or [np.zeros(0, np.int32)]).astype(np.int32)  # fmt: skip


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


@kernel
def _best_fit(sizes, cores, capacity):  # type: ignore[no-untyped-def]
    free = np.full(cores, capacity, dtype=np.int64)
    result = np.full(len(sizes), -1, dtype=np.int32)
    for i in range(len(sizes)):
        best = _fullest(free, sizes[i])
        if best < 0:
            return result
        free[best] -= sizes[i]
        result[i] = best
    return result


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
def _near_path(hops):  # type: ignore[no-untyped-def]
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
    sizes = _group_sizes(problem, option, replication)
    if sizes.sum() > problem.crossbars or sizes.max(initial=0) > problem.crossbars_per_core:
        return []
    loads = np.concatenate([
        np.outer(shares(layer.options[o].firings, r), firing_ns(layer.options[o])).ravel()
        for layer, o, r in zip(problem.layers, option, replication, strict=True)
    ] or [np.zeros(0)])  # fmt: skip
    share_ns = max(loads.sum() / problem.cores, loads.max(initial=0.0))
    chunks = _chunks(problem, option, replication, sizes, loads, share_ns)
    path = near_path(problem.hops_ns)
    capacity = problem.crossbars_per_core
    found = []
    for order, tight in _orders(chunks, sizes, loads):
        wide = _place_wide(chunks[order], tight[order], sizes, loads, problem.cores, capacity)
        core_of = _split(problem, option, replication, wide)
        if core_of is not None:
            found += [core_of, rebalance(problem, option, replication, core_of)]
            break
    for factor in SLACKS:
        banded = _place_banded(chunks, sizes, loads, path, capacity, share_ns * factor)
        core_of = _split(problem, option, replication, banded)
        if core_of is not None:
            found += [core_of, rebalance(problem, option, replication, core_of)]
            break
    return found


def _chunks(
    problem: MappingProblem,
    option: Sequence[int],
    replication: Sequence[int],
    sizes: IntArray,
    loads: npt.NDArray[np.float64],
    share_ns: float,
) -> npt.NDArray[np.int64]:
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


def _orders(
    chunks: npt.NDArray[np.int64], sizes: IntArray, loads: npt.NDArray[np.float64]
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """Orders to place chunks in, from the best balanced to the best packed, and which chunks to pack tightly.

    Longest issue time first (LPT); the same after layers that need room but hardly any issue time (fully connected
    ones), packed tightly so that they leave whole cores to the others; largest first.
    """
    total = np.concatenate([[0.0], np.cumsum(loads)])
    area = np.concatenate([[0], np.cumsum(sizes)])
    load = (total[chunks[:, 2]] - total[chunks[:, 1]]).round(6)
    size = area[chunks[:, 2]] - area[chunks[:, 1]]
    light = load * area[-1] < LIGHT * size * total[-1]
    never = np.zeros(len(chunks), dtype=np.bool_)
    return [
        (np.argsort(-load, kind="stable"), never),
        (np.lexsort((-load, np.where(light, -size, 0), ~light)), light),
        (np.lexsort((-load, -size)), light),
    ]


@kernel
def _extent(chunk, sizes, loads):  # type: ignore[no-untyped-def]
    size, load = 0, 0.0
    for i in range(chunk[1], chunk[2]):
        size += sizes[i]
        load += loads[i]
    return size, load


@kernel
def _place_wide(chunks, tight, sizes, loads, cores, capacity):  # type: ignore[no-untyped-def]
    free = np.full(cores, capacity, dtype=np.int64)
    busy = np.zeros(cores)
    layers = chunks[:, 0].max() + 1 if len(chunks) else 0
    own = np.zeros((layers, cores))
    result = np.full(len(sizes), -1, dtype=np.int32)
    for q in range(len(chunks)):
        layer = chunks[q, 0]
        size, load = _extent(chunks[q], sizes, loads)
        core = _fullest(free, size) if tight[q] else _calmest(free, busy, own[layer], size)
        if core >= 0:
            result[chunks[q, 1] : chunks[q, 2]] = core
            free[core] -= size
            busy[core] += load
            own[layer, core] += load
            continue
        for i in range(chunks[q, 1], chunks[q, 2]):
            core = _fullest(free, sizes[i]) if tight[q] else _calmest(free, busy, own[layer], sizes[i])
            if core < 0:
                return result
            result[i] = core
            free[core] -= sizes[i]
            busy[core] += loads[i]
            own[layer, core] += loads[i]
    return result


@kernel
def _calmest(free, busy, own, size):  # type: ignore[no-untyped-def]
    best = -1
    for core in range(len(free)):
        if free[core] >= size and (best < 0 or busy[core] + own[core] < busy[best] + own[best]):
            best = core
    return best


@kernel
def _fullest(free, size):  # type: ignore[no-untyped-def]
    best = -1
    for core in range(len(free)):
        if free[core] >= size and (best < 0 or free[core] < free[best]):
            best = core
    return best


@kernel
def _place_banded(chunks, sizes, loads, path, capacity, limit):  # type: ignore[no-untyped-def]
    cores = len(path)
    free = np.full(cores, capacity, dtype=np.int64)
    busy = np.zeros(cores)
    result = np.full(len(sizes), -1, dtype=np.int32)
    cursor = 0
    for q in range(len(chunks)):
        size, load = _extent(chunks[q], sizes, loads)
        place = _next_with_room(free, busy, cursor, size, load, limit)
        if place >= 0:
            result[chunks[q, 1] : chunks[q, 2]] = path[place]
            free[place] -= size
            busy[place] += load
            cursor = place
            continue
        for i in range(chunks[q, 1], chunks[q, 2]):
            place = _next_with_room(free, busy, cursor, sizes[i], loads[i], limit)
            if place < 0:
                return result
            result[i] = path[place]
            free[place] -= sizes[i]
            busy[place] += loads[i]
            cursor = place
    return result


@kernel
def _next_with_room(free, busy, cursor, size, load, limit):  # type: ignore[no-untyped-def]
    cores = len(free)
    for step in range(cores):
        place = (cursor + step) % cores
        if free[place] >= size and busy[place] + load <= limit * (1 + 1e-9):
            return place
    return -1
