"""Local search on a core mapping: move or exchange array groups off the busiest core until nothing makes it less busy.

A *kind* is the array groups of one replica that are alike in crossbars and firing time; a core holds a number of each
kind. Moving part of a replica to another core costs messages at that core and at the core of array
group 0 (plan/cost.py), which every step accounts for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector, IntVector
from solvers.placing.board import (
    Board,
    CoreOf,
    Move,
    Pieces,
    charge,
    empty_board,
    flat,
    groups_of,
    lay,
    like,
    pieces_of,
    shift,
)

MAX_TRIALS = 600_000  # (kind, core or kind) pairs looked at: a deterministic budget of some 10 ms
CLOSE = 1.004  # good enough: busiest core over mean
EXCHANGE_CORES = 32  # exchanges are tried first with so many of the least busy cores


class Kinds(NamedTuple):
    """Per kind: load (float64, ns) and size (int64, crossbars) of an array group, its replica (int64), and whether
    array group 0 of that is one of them (bool)."""

    load: FloatVector
    size: IntVector
    replica: IntVector
    leads: npt.NDArray[np.bool_]


class Inventory(NamedTuple):
    """What every core holds: kinds what[core, i] and how many number[core, i], for i < length[core] (int64)."""

    what: IntVector
    number: IntVector
    length: IntVector


class Step(NamedTuple):
    """`give` array groups of kind `what[top, i]` go to a core, `take` of its kind `what[to, j]` come back. worst: the
    highest load on the cores that this changes."""

    worst: float
    i: int
    give: int
    to: int
    j: int
    take: int


def rebalance(problem: MappingProblem, option: Sequence[int], replication: Sequence[int], core_of: CoreOf) -> CoreOf:
    """A mapping whose busiest core is at most as busy, within the same capacities."""
    if not core_of:
        return core_of
    groups, core = groups_of(problem, option, replication), flat(core_of)
    order = np.lexsort((groups.work, groups.size, groups.of))
    alike = [np.diff(column[order]) == 0 for column in (groups.work, groups.size, groups.of)]
    new = np.concatenate([[True], ~np.logical_and.reduce(alike)])
    kind = np.empty(len(order), dtype=np.int64)
    kind[order] = np.cumsum(new) - 1
    one = order[new]
    leads = np.zeros(len(one), dtype=np.bool_)
    leads[kind[groups.first[:-1]]] = True
    kinds = Kinds(groups.work[one], groups.size[one], groups.of[one], leads)
    pieces = pieces_of(groups, core, problem.cores)
    moved = _descend(kind, core, kinds, pieces, problem.cores, problem.crossbars_per_core, MAX_TRIALS)
    return like(moved, core_of)


@kernel
def _descend(
    group_kind: IntVector, group_core: IntVector, kinds: Kinds, pieces: Pieces, cores: int, capacity: int, budget: float
) -> IntVector:
    """int64[array groups], cores after the search; group_kind, group_core: before it. Fills `pieces`."""
    board = empty_board(cores, capacity)
    held = Inventory(
        np.full((cores, capacity + 1), -1, dtype=np.int64),
        np.zeros((cores, capacity + 1), dtype=np.int64),
        np.zeros(cores, dtype=np.int64),
    )
    for g in range(len(group_kind)):
        _add(held, group_core[g], group_kind[g], 1)
    for c in range(cores):
        for i in range(held.length[c]):
            kind, number = held.what[c, i], held.number[c, i]
            lay(board, pieces, kinds.replica[kind], c, number, number * kinds.size[kind], number * kinds.load[kind])
    close = CLOSE * board.load.sum() / cores
    while budget > 0:
        top = int(np.argmax(board.load))
        if board.load[top] <= close:
            break
        budget -= held.length[top] * cores
        step = _best_move(board, pieces, kinds, held, top)
        for among in (EXCHANGE_CORES, cores):
            if step.i < 0 and budget > 0:
                budget -= held.length[top] * among * held.length.mean()
                step = _best_exchange(board, pieces, kinds, held, top, among)
        if step.i < 0:
            break
        kind, other = held.what[top, step.i], held.what[step.to, step.j]
        _make(board, pieces, kinds, held, kind, _moved(pieces, kinds, kind, step.give, top, step.to))
        if step.take > 0:
            _make(board, pieces, kinds, held, other, _moved(pieces, kinds, other, step.take, step.to, top))
    return _assignment(group_kind, kinds, pieces, held)


@kernel
def _add(held: Inventory, core: int, kind: int, count: int) -> None:
    """Array groups of a kind onto a core; a negative count comes off it."""
    for i in range(held.length[core]):
        if held.what[core, i] == kind:
            held.number[core, i] += count
            if held.number[core, i] == 0:
                held.length[core] -= 1
                last = held.length[core]
                held.what[core, i], held.number[core, i] = held.what[core, last], held.number[core, last]
            return
    held.what[core, held.length[core]], held.number[core, held.length[core]] = kind, count
    held.length[core] += 1


@kernel
def _moved(pieces: Pieces, kinds: Kinds, kind: int, count: int, source: int, target: int) -> Move:
    """A move of so many array groups of a kind that is allowed."""
    j = kinds.replica[kind]
    leads = pieces.head[j] == source and pieces.held[j, source] == count
    return Move(j, source, target, count, count * kinds.load[kind], leads)


@kernel
def _make(board: Board, pieces: Pieces, kinds: Kinds, held: Inventory, kind: int, move: Move) -> None:
    """Make it."""
    shift(board, pieces, move)
    _add(held, move.a, kind, -move.number)
    _add(held, move.b, kind, move.number)
    board.free[move.a] += move.number * kinds.size[kind]
    board.free[move.b] -= move.number * kinds.size[kind]


@kernel
def _allowed(pieces: Pieces, kinds: Kinds, kind: int, count: int, number: int, source: int) -> bool:
    """Whether so many of the `number` array groups of a kind may leave a core: array group 0 stays unless the whole
    replica moves."""
    j = kinds.replica[kind]
    if pieces.head[j] != source:
        return True
    if pieces.held[j, source] == count:
        return bool(pieces.parts[j] == 1)
    return not (kinds.leads[kind] and number == count)


@kernel
def _best_move(board: Board, pieces: Pieces, kinds: Kinds, held: Inventory, top: int) -> Step:
    """The move off the busiest core after which the cores it changes are least busy; i is -1 if none helps."""
    load = board.load
    best = Step(load[top] * (1 - 1e-9), -1, 0, -1, 0, 0)
    for i in range(held.length[top]):
        kind = held.what[top, i]
        each = kinds.load[kind]
        if each <= 0.0:
            continue
        for c in range(len(load)):
            room = min(held.number[top, i], board.free[c] // kinds.size[kind])
            if c == top or room == 0 or load[c] + each >= best.worst:
                continue
            half = int((load[top] - load[c]) / (2.0 * each))
            for give in (min(room, max(1, half)), room):
                if max(load[c] + give * each, load[top] - give * each) >= best.worst:
                    continue
                worst = _after(board, pieces, kinds, held, Step(0.0, i, give, c, 0, 0), top)
                if worst < best.worst:
                    best = Step(worst, i, give, c, 0, 0)
    return best


@kernel
def _calmest(load: FloatVector, count: int) -> IntVector:
    """So many of the least busy cores, or all."""
    if count >= len(load):
        return np.arange(len(load))
    found = np.empty(count, dtype=np.int64)
    taken = np.zeros(len(load), dtype=np.bool_)
    for i in range(count):
        best = -1
        for c in range(len(load)):
            if not taken[c] and (best < 0 or load[c] < load[best]):
                best = c
        found[i] = best
        taken[best] = True
    return found


@kernel
def _best_exchange(board: Board, pieces: Pieces, kinds: Kinds, held: Inventory, top: int, among: int) -> Step:
    """The exchange with one of so many calm cores after which the cores it changes are least busy; i: as above."""
    load = board.load
    best = Step(load[top] * (1 - 1e-9), -1, 0, -1, -1, 0)
    calm = _calmest(load, among)
    for i in range(held.length[top]):
        kind = held.what[top, i]
        each = kinds.load[kind]
        if each <= 0.0:
            continue
        for c in calm:
            if c == top or load[c] >= best.worst:
                continue
            for j in range(held.length[c]):
                other = held.what[c, j]
                if kinds.replica[other] == kinds.replica[kind]:
                    continue
                take = 1
                while take <= held.number[c, j]:
                    room = (board.free[c] + take * kinds.size[other]) // kinds.size[kind]
                    half = int((load[top] - load[c] + 2 * take * kinds.load[other]) / (2.0 * each))
                    give = min(held.number[top, i], room, max(1, half))
                    fits = take * kinds.size[other] <= board.free[top] + give * kinds.size[kind]
                    gain = give * each - take * kinds.load[other]
                    if give > 0 and fits and gain > 0 and max(load[c] + gain, load[top] - gain) < best.worst:
                        worst = _after(board, pieces, kinds, held, Step(0.0, i, give, c, j, take), top)
                        if worst < best.worst:
                            best = Step(worst, i, give, c, j, take)
                    take *= 2
    return best


@kernel
def _after(board: Board, pieces: Pieces, kinds: Kinds, held: Inventory, step: Step, top: int) -> float:
    """The highest load on the cores that a step changes; infinite if it is not allowed.

    Tried and taken back on the loads themselves, allowed or not: which of equally loaded cores is first depends on what
    that rounds, and with it the plan.
    """
    load, to = board.load, step.to
    kind, other = held.what[top, step.i], held.what[to, step.j] if step.take else held.what[top, step.i]
    there, back = _moved(pieces, kinds, kind, step.give, top, to), _moved(pieces, kinds, other, step.take, to, top)
    goes = _allowed(pieces, kinds, kind, step.give, held.number[top, step.i], top)
    comes = step.take == 0 or _allowed(pieces, kinds, other, step.take, held.number[to, step.j], to)
    charge(board, pieces, there, 1.0, goes)
    if step.take:
        charge(board, pieces, back, 1.0, comes)
    worst = max(load[top], load[to], load[pieces.head[there.j]], load[pieces.head[back.j]])
    if step.take:
        charge(board, pieces, back, -1.0, comes)
    charge(board, pieces, there, -1.0, goes)
    return worst if goes and comes else np.inf


@kernel
def _assignment(group_kind: IntVector, kinds: Kinds, pieces: Pieces, held: Inventory) -> IntVector:
    """A core for each array group: those of a kind in order, the core of array group 0 first."""
    start = np.zeros(len(kinds.load) + 1, dtype=np.int64)
    for g in range(len(group_kind)):
        start[group_kind[g] + 1] += 1
    start = np.cumsum(start)
    slots = np.empty(len(group_kind), dtype=np.int64)
    filled = start[:-1].copy()
    for heads_first in (True, False):
        for c in range(len(held.length)):
            for i in range(held.length[c]):
                kind, number = held.what[c, i], held.number[c, i]
                if (pieces.head[kinds.replica[kind]] == c) == heads_first:
                    slots[filled[kind] : filled[kind] + number] = c
                    filled[kind] += number
    result = np.empty(len(group_kind), dtype=np.int64)
    used = start[:-1].copy()
    for g in range(len(group_kind)):
        result[g] = slots[used[group_kind[g]]]
        used[group_kind[g]] += 1
    return result
