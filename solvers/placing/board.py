"""Cores while a plan is made or changed: what is free on each, how busy it is, and where the parts of replicas lie."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector, IntVector, firing_ns, message_ns, shares

CoreOf = tuple[IntArray, ...]


class Board(NamedTuple):
    """free: int64[cores], crossbars. load: float64[cores], ns of issue time per inference, messages included."""

    free: IntVector
    load: FloatVector


class Groups(NamedTuple):
    """The array groups of a choice, in order of layer, replica, group. size, work: int64 and float64[array groups],
    crossbars and ns of all firings. of: int64[array groups], their replica, counted through all layers. first:
    int64[replicas + 1], where each begins. message: float64[replicas], ns of each part's messages, at both ends.
    """

    size: IntVector
    work: FloatVector
    of: IntVector
    first: IntVector
    message: FloatVector


class Pieces(NamedTuple):
    """Where the array groups of replicas lie; parts on other cores than the head, array group 0's, send messages there.

    held: int32[replicas, cores], array groups. parts: int64[replicas], cores that have some. head: int64[replicas],
    the core of array group 0. message: float64[replicas], ns at both ends for every part but the head's.
    """

    held: npt.NDArray[np.int32]
    parts: IntVector
    head: IntVector
    message: FloatVector


class Move(NamedTuple):
    """`number` array groups of replica `j` go from core `a` to core `b`. load: theirs, ns. leads: number 0 is one."""

    j: int
    a: int
    b: int
    number: int
    load: float
    leads: bool


def groups_of(problem: MappingProblem, option: Sequence[int], replication: Sequence[int]) -> Groups:
    """The array groups of a choice."""
    size, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    work, message = [np.zeros(0)], [np.zeros(0)]
    for layer, o, r in zip(problem.layers, option, replication, strict=True):
        chosen, blocks = layer.options[o], shares(layer.options[o].firings, r)
        size.append(np.tile(chosen.ag_crossbars, r).astype(np.int64))
        work.append(np.outer(blocks, firing_ns(chosen)).ravel().astype(np.float64))
        message.append((blocks * message_ns(problem, layer, chosen, r)).astype(np.float64))
        counts.append(np.full(r, len(chosen.ag_crossbars)))
    count = np.concatenate(counts)
    first = np.concatenate([[0], np.cumsum(count)])
    of = np.repeat(np.arange(len(count)), count)
    return Groups(np.concatenate(size), np.concatenate(work), of, first, np.concatenate(message))


def flat(core_of: CoreOf) -> IntVector:
    """int64[array groups]: the cores of all array groups."""
    return np.concatenate([np.zeros(0, np.int64), *(cores.ravel() for cores in core_of)]).astype(np.int64)


def like(core: npt.NDArray[np.integer], shape: CoreOf) -> CoreOf:
    """The same, layer by layer again, in another mapping's shapes."""
    parts = np.split(core, np.cumsum([cores.size for cores in shape])[:-1])
    return tuple(part.reshape(cores.shape).astype(np.int32) for part, cores in zip(parts, shape, strict=True))


def pieces_of(groups: Groups, core: IntVector, cores: int) -> Pieces:
    """Replicas of which nothing lies anywhere yet; core: where their array groups will lie."""
    replicas = len(groups.message)
    held = np.zeros((replicas, cores), dtype=np.int32)
    return Pieces(held, np.zeros(replicas, dtype=np.int64), core[groups.first[:-1]], groups.message)


@kernel
def empty_board(cores: int, capacity: int) -> Board:
    """A board without anything on it."""
    return Board(np.full(cores, capacity, dtype=np.int64), np.zeros(cores))


@kernel
def put(board: Board, core: int, size: int, load: float) -> None:
    """Crossbars and issue time onto a core; negative ones come off it."""
    board.free[core] -= size
    board.load[core] += load


@kernel
def lay(board: Board, pieces: Pieces, j: int, core: int, count: int, size: int, load: float) -> None:
    """Put so many array groups of replica j on a core, which take so much together, and their messages."""
    put(board, core, size, load)
    if pieces.held[j, core] == 0:
        pieces.parts[j] += 1
        if core != pieces.head[j]:
            board.load[core] += pieces.message[j]
            board.load[pieces.head[j]] += pieces.message[j]
    pieces.held[j, core] += count


@kernel
def calmest(board: Board, own: FloatVector, size: int) -> int:
    """The core with room whose load is least, with what is its `own`, the first of equals; -1 if none has room."""
    best = -1
    for core in range(len(board.free)):
        if board.free[core] >= size and (best < 0 or board.load[core] + own[core] < board.load[best] + own[best]):
            best = core
    return best


@kernel
def fullest(board: Board, size: int) -> int:
    """The core with room that is left with least, the first of equals; -1 if none has room."""
    best = -1
    for core in range(len(board.free)):
        if board.free[core] >= size and (best < 0 or board.free[core] < board.free[best]):
            best = core
    return best


@kernel
def next_with_room(board: Board, cursor: int, size: int, load: float, limit: float) -> int:
    """From `cursor` on, around, the first core with room whose load stays within the limit; -1 if there is none."""
    cores = len(board.free)
    for step in range(cores):
        core = (cursor + step) % cores
        if board.free[core] >= size and board.load[core] + load <= limit * (1 + 1e-9):
            return core
    return -1


@kernel
def charge(board: Board, pieces: Pieces, move: Move, sign: float, messages: bool) -> None:
    """What a move changes of the loads, before it is made, with or without messages; sign -1 takes the change back."""
    j, a, b, count, load, leads = move
    top, message, loads = pieces.head[j], sign * pieces.message[j], board.load
    left, arrived = pieces.held[j, a] == count, pieces.held[j, b] == 0
    loads[a] -= sign * load
    loads[b] += sign * load
    if not messages:
        return
    if leads:
        others = pieces.parts[j] - 1
        loads[a] -= others * message
        if not arrived:
            loads[b] -= message
        if not left:
            loads[a] += message
        loads[b] += (others + int(arrived) - int(left)) * message
        return
    if left and a != top:
        loads[a] -= message
        loads[top] -= message
    if arrived and b != top:
        loads[b] += message
        loads[top] += message


@kernel
def shift(board: Board, pieces: Pieces, move: Move) -> None:
    """Make a move; crossbars aside."""
    charge(board, pieces, move, 1.0, True)
    j, a, b, count, _, leads = move
    pieces.parts[j] += int(pieces.held[j, b] == 0) - int(pieces.held[j, a] == count)
    pieces.held[j, a] -= count
    pieces.held[j, b] += count
    if leads:
        pieces.head[j] = b
