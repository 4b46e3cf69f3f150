"""Local search on a core mapping: move or swap pieces off the busiest core until nothing lowers the maximum.

A piece is what one replica has on one core; moving it whole keeps the number of partial-sum messages.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from pimcomp.cost import firing_ns, shares
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem

MAX_MOVES = 2000  # a deterministic budget; far more than the searches use


def rebalance(
    problem: MappingProblem, option: Sequence[int], replication: Sequence[int], core_of: tuple[IntArray, ...]
) -> tuple[IntArray, ...]:
    """A mapping whose busiest core is at most as busy, within the same capacities."""
    rows: list[npt.NDArray[np.int64]] = []  # per layer: piece of each array group
    load, size, core = [], [], []  # per piece: issue time, crossbars, core
    for k, (layer, o, r) in enumerate(zip(problem.layers, option, replication, strict=True)):
        choice = layer.options[o]
        blocks, weights = shares(choice.firings, r), firing_ns(choice)
        key = np.arange(r)[:, None] * problem.cores + core_of[k]
        piece, inverse = np.unique(key, return_inverse=True)
        replica = piece // problem.cores
        inverse = inverse.ravel()
        load.append(blocks[replica] * np.bincount(inverse, np.tile(weights, r), len(piece)))
        size.append(np.bincount(inverse, np.tile(choice.ag_crossbars, r), len(piece)).astype(np.int64))
        core.append(piece % problem.cores)
        rows.append(inverse)
    if not rows:
        return core_of
    pieces = np.concatenate(load), np.concatenate(size), np.concatenate(core)
    moved = _descend(*pieces, problem.cores, problem.crossbars_per_core, MAX_MOVES)
    result, at = [], 0
    for k, inverse in enumerate(rows):
        result.append(moved[at + inverse].reshape(core_of[k].shape).astype(np.int32))
        at += len(load[k])
    return tuple(result)


@njit(cache=True)
def _descend(load, size, core, cores, capacity, budget):  # type: ignore[no-untyped-def]
    busy, free = np.zeros(cores), np.full(cores, capacity, dtype=np.int64)
    for p in range(len(load)):
        busy[core[p]] += load[p]
        free[core[p]] -= size[p]
    core = core.copy()
    for _ in range(budget):
        top = np.argmax(busy)
        best, give, take, to = busy[top] * (1 - 1e-9), -1, -1, -1
        calm = _calmest_by_room(busy, free, top, capacity)
        for p in range(len(load)):
            if core[p] != top or load[p] == 0.0:
                continue
            target = calm[size[p]]
            if target >= 0:
                worst = max(busy[top] - load[p], busy[target] + load[p])
                if worst < best:
                    best, give, take, to = worst, p, -1, target
            for q in range(len(load)):
                c = core[q]
                if c == top or load[q] >= load[p] or busy[c] + load[p] - load[q] >= best:
                    continue
                if free[c] + size[q] < size[p] or free[top] + size[p] < size[q]:
                    continue
                worst = max(busy[top] - load[p] + load[q], busy[c] + load[p] - load[q])
                if worst < best:
                    best, give, take, to = worst, p, q, c
        if give < 0:
            break
        core[give] = to
        busy[top] -= load[give]
        busy[to] += load[give]
        free[top] += size[give]
        free[to] -= size[give]
        if take >= 0:
            core[take] = top
            busy[to] -= load[take]
            busy[top] += load[take]
            free[to] += size[take]
            free[top] -= size[take]
    return core


@njit(cache=True)
def _calmest_by_room(busy, free, top, capacity):  # type: ignore[no-untyped-def]
    calm = np.full(capacity + 1, -1, dtype=np.int64)  # per room needed: calmest core with it
    for c in range(len(busy)):
        if c != top and (calm[free[c]] < 0 or busy[c] < busy[calm[free[c]]]):
            calm[free[c]] = c
    for room in range(capacity - 1, -1, -1):
        higher = calm[room + 1]
        if higher >= 0 and (calm[room] < 0 or busy[higher] < busy[calm[room]]):
            calm[room] = higher
    return calm
