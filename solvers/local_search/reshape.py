"""Local search on whole plans for the period: layers are torn out and put back in another shape, elsewhere.

One step removes one or two layers from the chip and places them again: in another shape (option, replication, parts
per replica), each part on the least busy core with room for it, or in the same shape with some parts elsewhere. What is
compared is by how much cores exceed a target period, which is some way below the best plan's. A step that makes it
worse is accepted with a probability that falls with the damage and with time (simulated annealing, Kirkpatrick et al.
1983). All costs are those of plan/cost.py, messages included, so a state's busiest core is the period of its plan.

The budget counts cores looked at, so equal seeds give equal plans on any machine.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import FloatVector, IntVector, Shapes, segment_ns, shapes_of
from solvers.placing.board import Board, calmest, put

PARTIAL = 0.5  # share of steps that move some parts of a layer and keep its shape
# Cores looked at per second of processor time, measured: a deterministic stand-in for time.
WORK_PER_S = 900_000_000
STEP_WORK = 3000  # what a step takes besides


class State(NamedTuple):
    """Per layer: option (row of `Shapes`), replication; held int16[layers, crossbars], cores of its array groups, -1
    behind them; load, used: float64 and int64[layers, cores], issue time over rob_size and crossbars; floor, how long
    its busiest array group takes.
    """

    option: IntVector
    replication: IntVector
    held: npt.NDArray[np.int16]
    load: FloatVector
    used: IntVector
    floor: FloatVector


class Chip(NamedTuple):
    """cores; capacity: crossbars per core; rob: instructions that a core overlaps; vector: ns of work beside the
    layers, over rob."""

    cores: int
    capacity: int
    rob: float
    vector: float


class Schedule(NamedTuple):
    """Of annealing: the period at which it stops, cores looked at, at most, and `warmth` and `step` of `reshaped`."""

    goal: float
    work: float
    warmth: float
    step: float


def reshaped(
    problem: MappingProblem,
    plan: Plan,
    target_ns: float,
    work: float,
    seed: int,
    warmth: float,
    step: float,
) -> Plan:
    """A plan whose period in the cost model is at most that of `plan`; the search stops at `target_ns`.

    work: cores looked at, at most (about WORK_PER_S a second). step: the next target, over the period of the best plan.
    warmth: in units of the excess of a chip that is evenly busy by one step, at the start; it falls to nothing.
    """
    if not problem.layers:
        return plan
    s = shapes_of(problem)
    state = _empty(len(problem.layers), problem.crossbars, problem.cores)
    state.option[:] = np.array(plan.option) + s.first[:-1]
    state.replication[:] = plan.replication
    for k, cores in enumerate(plan.core_of):
        state.held[k, : cores.size] = cores.ravel()
    vector = problem.vector_work_ns / problem.rob_size
    chip = Chip(problem.cores, problem.crossbars_per_core, float(problem.rob_size), vector)
    schedule = Schedule(target_ns, float(work), warmth, step)
    option, replication, held, *_ = _search(s, state, chip, schedule, np.random.default_rng(seed))
    core_of: list[IntArray] = []
    for k, (o, r) in enumerate(zip(option, replication, strict=True)):
        groups = int(s.groups[o])
        core_of.append(held[k, : int(r) * groups].reshape(int(r), groups).astype(np.int32))
    return Plan(
        option=tuple(int(o) for o in option - s.first[:-1]),
        replication=tuple(int(r) for r in replication),
        core_of=tuple(core_of),
    )


@kernel
def _empty(layers: int, crossbars: int, cores: int) -> State:
    return State(
        np.zeros(layers, dtype=np.int64),
        np.zeros(layers, dtype=np.int64),
        np.full((layers, crossbars), -1, dtype=np.int16),
        np.zeros((layers, cores)),
        np.zeros((layers, cores), dtype=np.int64),
        np.zeros(layers),
    )


@kernel
def _search(shapes: Shapes, state: State, chip: Chip, schedule: Schedule, rng: np.random.Generator) -> State:
    """The best state met; changes `state`."""
    layers, seen = len(state.option), np.zeros(chip.cores, dtype=np.int64)
    for k in range(layers):
        _account(shapes, state, k, chip.rob, seen)
    board = _board(state, chip)
    floor, vector, work = state.floor, chip.vector, schedule.work
    lowest = _highest(board.load, floor, vector)
    best, saved = _empty(layers, state.held.shape[1], chip.cores), _empty(2, state.held.shape[1], chip.cores)
    best.option[:], best.replication[:], best.held[:] = state.option, state.replication, state.held
    target = max(schedule.goal, lowest * schedule.step)
    energy = _excess(board.load, floor, vector, target)
    while work > 0 and lowest > schedule.goal:
        torn, count = _torn(state.load, floor, board.load, target, rng)
        for i in range(count):
            k = torn[i]
            _copy(shapes, state, k, saved, i)
            board.load[:] -= state.load[k]
            board.free[:] += state.used[k]
        placed, cost = _put_back(shapes, state, torn[:count], board, chip, target, rng, seen)
        work -= cost + 2 * chip.cores + STEP_WORK
        after = _excess(board.load, floor, vector, target) if placed else np.inf
        heat = schedule.warmth * chip.cores * (1.0 - schedule.step) ** 2 * (work / schedule.work) ** 2
        if placed and after <= energy - heat * np.log(1.0 - rng.random()):
            energy = after
        else:
            for i in range(count):
                _copy(shapes, saved, i, state, torn[i])
            board = _board(state, chip)
            work -= layers * chip.cores / 8
        highest = _highest(board.load, floor, vector)
        if highest < lowest * (1 - 1e-9):
            lowest = highest
            best.option[:], best.replication[:], best.held[:] = state.option, state.replication, state.held
            if lowest <= target:
                target = max(schedule.goal, lowest * schedule.step)
                energy = _excess(board.load, floor, vector, target)
    return best


@kernel
def _board(state: State, chip: Chip) -> Board:
    """All layers on the board."""
    return Board(chip.capacity - state.used.sum(axis=0), state.load.sum(axis=0))


@kernel
def _put_back(
    shapes: Shapes, state: State, torn: IntVector, board: Board, chip: Chip, target: float, rng: np.random.Generator,
    seen: IntVector,
) -> tuple[bool, float]:  # fmt: skip
    """Place the torn layers again, in another shape or elsewhere; (whether all found room, cores looked at)."""
    looked = 0.0
    for k in torn:
        if rng.random() < PARTIAL:
            placed, cost = _shift(shapes, state, k, board, rng)
        else:
            parts = _reshape(shapes, state, k, target, board.free.sum(), chip.capacity, rng)
            placed, cost = _place(shapes, state, k, parts, board)
        looked += cost
        if not placed:
            return False, looked
        _account(shapes, state, k, chip.rob, seen)
        board.load[:] += state.load[k]
        board.free[:] -= state.used[k]
    return True, looked


@kernel
def _copy(shapes: Shapes, source: State, i: int, target: State, j: int) -> None:
    """Layer i of one state to layer j of another."""
    length = source.replication[i] * shapes.groups[source.option[i]]
    target.option[j], target.replication[j] = source.option[i], source.replication[i]
    target.held[j, :length] = source.held[i, :length]
    target.load[j], target.used[j] = source.load[i], source.used[i]
    target.floor[j] = source.floor[i]


@kernel
def _torn(
    load: FloatVector, floor: FloatVector, busy: FloatVector, target: float, rng: np.random.Generator
) -> tuple[IntVector, int]:
    """One or two layers to place again, in this order: int64[2], how many."""
    torn = np.empty(2, dtype=np.int64)
    torn[0] = _culprit(load, floor, busy, target, rng) if rng.random() < 0.5 else rng.integers(0, len(floor))
    torn[1] = rng.integers(0, len(floor))
    count = 1 if torn[1] == torn[0] or rng.random() < 0.4 else 2
    if count == 2 and rng.random() < 0.5:
        torn[0], torn[1] = torn[1], torn[0]
    return torn, count


@kernel
def _highest(busy: FloatVector, floor: FloatVector, vector: float) -> float:
    """The period: busiest core, busiest array group, or the even share of all work."""
    return max(busy.max(), floor.max(), (busy.sum() + vector) / len(busy))


@kernel
def _excess(busy: FloatVector, floor: FloatVector, vector: float, target: float) -> float:
    """Sum of squares of what exceeds the target; the even share of all work counts for every core."""
    mean = (busy.sum() + vector) / len(busy)
    total = len(busy) * (mean / target - 1.0) ** 2 if mean > target else 0.0
    for b in busy:
        if b > target:
            total += (b / target - 1.0) ** 2
    for f in floor:
        if f > target:
            total += (f / target - 1.0) ** 2
    return total


@kernel
def _culprit(load: FloatVector, floor: FloatVector, busy: FloatVector, target: float, rng: np.random.Generator) -> int:
    """A layer on a core above the target, in proportion to its share there."""
    for k in range(len(floor)):
        if floor[k] > target:
            return k
    core = 0
    above = 0
    for c in range(len(busy)):
        if busy[c] > target:
            above += 1
            if rng.random() * above < 1.0:
                core = c
    drawn = rng.random() * busy[core]
    for k in range(len(load)):
        drawn -= load[k, core]
        if drawn <= 0.0:
            return k
    return len(load) - 1


@kernel
def _reshape(
    shapes: Shapes, state: State, k: int, target: float, room: int, capacity: int, rng: np.random.Generator
) -> int:
    """A random option and replication for a layer that fit `room` crossbars; parts per replica."""
    kind = rng.random()
    o, r = state.option[k], state.replication[k]
    if kind >= 0.25:
        if kind >= 0.55:
            o = shapes.first[k] + rng.integers(0, shapes.first[k + 1] - shapes.first[k])
        elif kind < 0.4:
            r = r + rng.integers(-2, 3)
        if kind >= 0.4:  # replicas that last a random share of the target, rather long ones
            share = target * rng.random() ** 2
            r = int(np.ceil(shapes.firings[o] * shapes.weight[o] / max(share, 1.0)))
    firings, crossbars, groups = shapes.firings[o], shapes.crossbars[o], shapes.groups[o]
    r = max(1, min(r, firings, room // crossbars))
    r = -(-firings // -(-firings // r))  # no more than its longest share needs
    state.option[k], state.replication[k] = o, r
    part = rng.integers(1, 5)  # parts of at most a whole, half, third or quarter of a core
    parts = -(-crossbars // max(1, capacity // part)) if rng.random() < 0.9 else groups
    if rng.random() < 0.2:
        parts += rng.integers(0, 3)
    return max(1, min(parts, groups))


@kernel
def _place(shapes: Shapes, state: State, k: int, parts: int, board: Board) -> tuple[bool, float]:
    """Cores for all array groups of a layer; (whether all found room, cores looked at)."""
    o, r, out = state.option[k], state.replication[k], state.held[k]
    firings, groups, start = shapes.firings[o], shapes.groups[o], shapes.start[o]
    size, time = shapes.size[start:], shapes.time[start:]
    cores = len(board.free)
    calm, own = Board(board.free.copy(), board.load.copy()), np.zeros(cores)
    message = segment_ns(shapes.message, shapes.blocks[o], r)
    cost = 4 * cores
    for j in range(r):
        blocks = firings // r + (1 if j < firings % r else 0)
        for p in range(parts):
            a, end = groups * p // parts, groups * (p + 1) // parts
            need, work = size[a:end].sum(), 0.0
            for i in range(a, end):
                work += time[i]
            cost += cores
            core = calmest(calm, own, need)
            if core >= 0:
                out[j * groups + a : j * groups + end] = core
                put(calm, core, need, blocks * (work + (message if parts > 1 else 0.0)))
                continue
            while a < end:  # in parts, as many array groups as fit the core
                cost += cores
                core = calmest(calm, own, size[a])
                if core < 0:
                    return False, cost
                calm.load[core] += blocks * message
                while a < end and size[a] <= calm.free[core]:
                    out[j * groups + a] = core
                    put(calm, core, size[a], blocks * time[a])
                    a += 1
        if parts > 1:
            calm.load[out[j * groups]] += blocks * message * (parts - 2)
    return True, cost


@kernel
def _shift(shapes: Shapes, state: State, k: int, board: Board, rng: np.random.Generator) -> tuple[bool, float]:
    """Other cores for some parts of a layer that keeps its shape; (whether all found room, cores looked at)."""
    o, r, out = state.option[k], state.replication[k], state.held[k]
    firings, groups, start = shapes.firings[o], shapes.groups[o], shapes.start[o]
    size, time = shapes.size[start:], shapes.time[start:]
    calm, own = Board(board.free.copy(), board.load.copy()), np.zeros(len(board.free))
    message = segment_ns(shapes.message, shapes.blocks[o], r)
    moved = np.zeros(r * groups, dtype=np.bool_)
    chance = rng.random() ** 2
    moving = False
    for i in range(r * groups):
        if i == 0 or i % groups == 0 or out[i] != out[i - 1]:
            moving = rng.random() < chance
        a = i % groups
        moved[i] = moving or size[a] > calm.free[out[i]]  # another layer may have taken the room
        if not moved[i]:
            blocks = firings // r + (1 if i // groups < firings % r else 0)
            put(calm, out[i], size[a], blocks * time[a])
    cost = 4 * len(own) + r * groups
    i = 0
    while i < r * groups:
        if not moved[i]:
            i += 1
            continue
        first, core = i, out[i]
        need, work = 0, 0.0
        while i < r * groups and moved[i] and i // groups == first // groups and out[i] == core:
            need += size[i % groups]
            work += time[i % groups]
            i += 1
        blocks = firings // r + (1 if first // groups < firings % r else 0)
        cost += len(own)
        core = calmest(calm, own, need)
        if core < 0:
            return False, cost
        out[first:i] = core
        put(calm, core, need, blocks * (work + (message if i - first < groups else 0.0)))
    return True, cost


@kernel
def _account(shapes: Shapes, state: State, k: int, rob: float, seen: IntVector) -> None:
    """Set load, crossbars and floor of a layer from its cores; `seen`: int64[cores] to work with."""
    o, r, held, load, used = state.option[k], state.replication[k], state.held[k], state.load[k], state.used[k]
    firings, groups, start = shapes.firings[o], shapes.groups[o], shapes.start[o]
    message = segment_ns(shapes.message, shapes.blocks[o], r)
    load[:] = 0.0
    used[:] = 0
    seen[:] = -1
    for j in range(r):
        blocks = firings // r + (1 if j < firings % r else 0)
        head = held[j * groups]
        for a in range(groups):
            core = held[j * groups + a]
            if seen[core] != j:
                seen[core] = j
                if core != head:
                    load[core] += blocks * message / rob
                    load[head] += blocks * message / rob
            load[core] += blocks * shapes.time[start + a] / rob
            used[core] += shapes.size[start + a]
    state.floor[k] = -(-firings // r) * shapes.slowest[o]
