"""Local search on the cores of single array groups: the choice of a plan stays, its balance improves.

A step moves one array group to another core; where that lacks crossbars, array groups of that core come back in
exchange. It is accepted as in reshape.py. Loads change on at most five cores, so a step takes a fraction of a
microsecond and millions of them are made, which places of whole layers (reshape.py) cannot be.

The budget counts steps, so equal seeds give equal plans on any machine.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import FloatVector, IntVector
from solvers.placing.board import Board, Groups, Move, Pieces, empty_board, flat, groups_of, lay, like, pieces_of, shift

WHOLE_PARTS = 0.03  # share of steps that move all array groups of the replica on that core
NEAR = 0.4  # share of steps that go to a core which already holds a part of the same replica


class Places(NamedTuple):
    """core: int64[array groups]. held[c, :many[c]]: the array groups on core c, in any order; place: where in it."""

    core: IntVector
    held: IntVector
    many: IntVector
    place: IntVector


def settled(
    problem: MappingProblem, plan: Plan, target_ns: float, steps: int, seed: int, heat: float
) -> tuple[Plan, float]:
    """A plan of the same choice whose cores exceed `target_ns` less, and by how much (sum of squared shares).

    The search stops when none does.
    """
    groups, core = groups_of(problem, plan.option, plan.replication), flat(plan.core_of)
    overlapped = groups._replace(work=groups.work / problem.rob_size, message=groups.message / problem.rob_size)
    excess = _search(
        overlapped, core, pieces_of(overlapped, core, problem.cores), problem.cores, problem.crossbars_per_core,
        problem.vector_work_ns / problem.rob_size, target_ns, steps, np.array([seed * 2 + 1], dtype=np.uint64), heat,
    )  # fmt: skip
    return Plan(option=plan.option, replication=plan.replication, core_of=like(core, plan.core_of)), float(excess)


@kernel
def _search(  # noqa: PLR0912, PLR0915  one step and its undoing
    groups: Groups,
    core: IntVector,
    pieces: Pieces,
    cores: int,
    capacity: int,
    vector: float,
    target: float,
    steps: int,
    rng: npt.NDArray[np.uint64],
    heat: float,
) -> float:
    """The excess of the cores over the target after the search, which changes `core` and `pieces`."""
    board = empty_board(cores, capacity)
    places = Places(
        core,
        np.zeros((cores, 3 * capacity + 1), dtype=np.int64),
        np.zeros(cores, dtype=np.int64),
        np.zeros(len(core), dtype=np.int64),
    )
    for g in range(len(core)):
        _lay(groups, places, board, pieces, g)
    moved, origin = np.zeros(2 * capacity + 2, dtype=np.int64), np.zeros(2 * capacity + 2, dtype=np.int64)
    total = board.load.sum() + vector
    energy = _excess(board.load, vector, target)
    for i in range(steps):
        if energy < 1e-12:
            energy = _excess(board.load, vector, target)
            if energy == 0.0:
                break
        g = _below(rng, len(core))
        if _share(rng) < 0.5:  # from an overloaded core
            for _ in range(4):
                if board.load[core[g]] > target:
                    break
                g = _below(rng, len(core))
        a, j = core[g], groups.of[g]
        near = groups.first[j] + _below(rng, groups.first[j + 1] - groups.first[j]) if _share(rng) < NEAR else -1
        b = core[near] if near >= 0 else _below(rng, cores)
        if a == b:
            continue
        moved[0], origin[0] = g, a
        moves = 1
        change, more = _move(groups, places, board, pieces, g, b, target)
        if _share(rng) < WHOLE_PARTS:
            for n in range(places.many[a] - 1, -1, -1):
                if n < places.many[a] and groups.of[places.held[a, n]] == j:
                    moved[moves], origin[moves] = places.held[a, n], a
                    moves += 1
                    d, m = _move(groups, places, board, pieces, places.held[a, n], b, target)
                    change += d
                    more += m
        alone = moves == 1
        while board.free[b] < 0 or (alone and moves == 1 and places.many[b] > 1 and _share(rng) < 0.3):
            back = places.held[b, _below(rng, places.many[b])]
            if groups.of[back] == j:
                if _share(rng) < 0.1:
                    break
                continue
            moved[moves], origin[moves] = back, b
            moves += 1
            d, m = _move(groups, places, board, pieces, back, a, target)
            change += d
            more += m
            if board.free[a] < 0:
                break
        accepted = False
        if board.free[a] >= 0 and board.free[b] >= 0:
            change += cores * (_over((total + more) / cores, target) - _over(total / cores, target))
            accepted = change <= 0.0 or change <= -heat * (1.0 - i / steps) ** 2 * np.log(1.0 - _share(rng))
        if accepted:
            energy += change
            total += more
        else:
            for m in range(moves - 1, -1, -1):
                _move(groups, places, board, pieces, moved[m], origin[m], target)
    return _excess(board.load, vector, target)


@kernel
def _next(state: npt.NDArray[np.uint64]) -> np.uint64:
    """The next of a sequence of pseudo-random 32-bit numbers (splitmix64, Steele et al. 2014): quicker than numpy's."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(32)


@kernel
def _below(state: npt.NDArray[np.uint64], count: int) -> int:
    return int(np.int64((_next(state) * np.uint64(count)) >> np.uint64(32)))


@kernel
def _share(state: npt.NDArray[np.uint64]) -> float:
    return np.float64(_next(state)) / 4294967296.0


@kernel
def _over(load: float, target: float) -> float:
    return (load / target - 1.0) ** 2 if load > target else 0.0


@kernel
def _excess(load: FloatVector, vector: float, target: float) -> float:
    """Sum of squares of what exceeds the target; the even share of all work counts for every core."""
    total = len(load) * _over((load.sum() + vector) / len(load), target)
    for b in load:
        total += _over(b, target)
    return total


@kernel
def _lay(groups: Groups, places: Places, board: Board, pieces: Pieces, g: int) -> None:
    """Put array group g where it is."""
    c, j = places.core[g], groups.of[g]
    lay(board, pieces, j, c, 1, groups.size[g], groups.work[g])
    places.held[c, places.many[c]], places.place[g] = g, places.many[c]
    places.many[c] += 1


@kernel
def _move(
    groups: Groups, places: Places, board: Board, pieces: Pieces, g: int, to: int, target: float
) -> tuple[float, float]:
    """Move array group g to another core; by how much excess and total load change."""
    a, j = places.core[g], groups.of[g]
    top = pieces.head[j]
    before, loaded = _of_three(board.load, a, to, top, target)
    last = places.held[a, places.many[a] - 1]
    places.held[a, places.place[g]], places.place[last] = last, places.place[g]
    places.many[a] -= 1
    places.held[to, places.many[to]], places.place[g] = g, places.many[to]
    places.many[to] += 1
    places.core[g] = to
    board.free[a] += groups.size[g]
    board.free[to] -= groups.size[g]
    shift(board, pieces, Move(j, a, to, 1, groups.work[g], g == groups.first[j]))
    after, loads = _of_three(board.load, a, to, top, target)
    return after - before, loads - loaded


@kernel
def _of_three(load: FloatVector, a: int, b: int, c: int, target: float) -> tuple[float, float]:
    """Excess and load of two cores and a third, if it is one."""
    excess, total = _over(load[a], target) + _over(load[b], target), load[a] + load[b]
    return (excess, total) if c in (a, b) else (excess + _over(load[c], target), total + load[c])
