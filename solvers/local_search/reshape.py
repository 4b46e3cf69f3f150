"""Local search on whole plans for the period: layers are torn out and put back in another shape, elsewhere.

One step removes one or two layers from the chip and places them again: in another shape (option, replication, parts
per replica), each part on the least busy core with room for it, or in the same shape with some parts elsewhere. What is
compared is by how much cores exceed a target period, which is some way below the best plan's. A step that makes it
worse is accepted with a probability that falls with the damage and with time (simulated annealing, Kirkpatrick et al.
1983). All costs are those of plan/cost.py, messages included, so a state's busiest core is the period of its plan.

The budget counts cores looked at, so equal seeds give equal plans on any machine.
"""

from dataclasses import dataclass

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import MESSAGE_NS, firing_ns
from solvers.exact.relaxation import FloatVector, IntVector

PARTIAL = 0.5  # share of steps that move some parts of a layer and keep its shape
# Cores looked at per second of processor time, measured: a deterministic stand-in for time.
WORK_PER_S = 900_000_000
STEP_WORK = 3000  # what a step takes besides


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Shapes:
    """The layers' options as arrays: option o of layer k is row first[k] + o of the others, first int64[layers + 1].

    firings, blocks (window blocks per row), groups, size_start: int64[options]. weight: float64[options], firing time
    of all array groups of a replica; slowest: of its slowest one. size, time: of all array groups, option after option:
    crossbars and firing time.
    """

    first: IntVector
    firings: IntVector
    blocks: IntVector
    groups: IntVector
    crossbars: IntVector
    weight: FloatVector
    slowest: FloatVector
    size_start: IntVector
    size: IntVector
    time: FloatVector


def shapes_of(problem: MappingProblem) -> Shapes:
    """The problem's options."""
    options = [(layer, option) for layer in problem.layers for option in layer.options]
    times = [firing_ns(option) for _, option in options]
    groups = np.array([len(option.ag_crossbars) for _, option in options], dtype=np.int64)
    return Shapes(
        first=np.cumsum([0] + [len(layer.options) for layer in problem.layers]).astype(np.int64),
        firings=np.array([option.firings for _, option in options], dtype=np.int64),
        blocks=np.array([-(-layer.out_width // o.unfolding.block) for layer, o in options], dtype=np.int64),
        groups=groups,
        crossbars=np.array([option.crossbars for _, option in options], dtype=np.int64),
        weight=np.array([t.sum() for t in times]),
        slowest=np.array([t.max() for t in times]),
        size_start=np.concatenate([[0], np.cumsum(groups)]).astype(np.int64),
        size=np.concatenate([option.ag_crossbars for _, option in options]).astype(np.int64),
        time=np.concatenate(times),
    )


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
    option = np.array(plan.option, dtype=np.int64) + s.first[:-1]
    replication = np.array(plan.replication, dtype=np.int64)
    held = np.full((len(option), problem.crossbars), -1, dtype=np.int16)
    for k, cores in enumerate(plan.core_of):
        held[k, : cores.size] = cores.ravel()
    option, replication, held = _search(
        (s.first, s.firings, s.blocks, s.groups, s.crossbars, s.weight, s.slowest, s.size_start, s.size, s.time),
        option,
        replication,
        held,
        problem.cores,
        problem.crossbars_per_core,
        float(problem.rob_size),
        problem.vector_work_ns / problem.rob_size,
        target_ns,
        float(work),
        np.random.default_rng(seed),
        warmth,
        step,
    )
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
def _search(shapes, option, replication, held, cores, capacity, rob, vector, goal, work, rng, warmth, step):  # type: ignore[no-untyped-def]
    layers = len(option)
    load = np.zeros((layers, cores))
    used = np.zeros((layers, cores), dtype=np.int64)
    floor = np.zeros(layers)
    seen = np.zeros(cores, dtype=np.int64)
    for k in range(layers):
        floor[k] = _account(shapes, option[k], replication[k], held[k], load[k], used[k], rob, seen)
    busy, full = load.sum(axis=0), used.sum(axis=0)
    best = _highest(busy, floor, vector)
    best_option, best_replication, best_held = option.copy(), replication.copy(), held.copy()
    target = max(goal, best * step)
    energy = _excess(busy, floor, vector, target)
    budget = work
    state = (option, replication, held, load, used, floor)
    saved = (
        np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64), np.empty((2, held.shape[1]), dtype=held.dtype),
        np.zeros((2, cores)), np.zeros((2, cores), dtype=np.int64), np.zeros(2),
    )  # fmt: skip
    while work > 0 and best > goal:
        torn, count = _torn(load, floor, busy, target, rng)
        for i in range(count):
            k = torn[i]
            _copy(shapes, state, k, saved, i)
            busy -= load[k]
            full -= used[k]
        placed, cost = _put_back(shapes, state, torn[:count], busy, full, capacity, rob, target, rng, seen)
        work -= cost + 2 * cores + STEP_WORK
        after = _excess(busy, floor, vector, target) if placed else np.inf
        heat = warmth * cores * (1.0 - step) ** 2 * (work / budget) ** 2
        if placed and after <= energy - heat * np.log(1.0 - rng.random()):
            energy = after
        else:
            for i in range(count):
                _copy(shapes, saved, i, state, torn[i])
            busy, full = load.sum(axis=0), used.sum(axis=0)
            work -= layers * cores / 8
        highest = _highest(busy, floor, vector)
        if highest < best * (1 - 1e-9):
            best = highest
            best_option[:], best_replication[:], best_held[:] = option, replication, held
            if best <= target:
                target = max(goal, best * step)
                energy = _excess(busy, floor, vector, target)
    return best_option, best_replication, best_held


@kernel
def _put_back(shapes, state, torn, busy, full, capacity, rob, target, rng, seen):  # type: ignore[no-untyped-def]
    """Place the torn layers again, in another shape or elsewhere; (whether all found room, cores looked at)."""
    option, replication, held, load, used, floor = state
    looked = 0
    for k in torn:
        o, r = option[k], replication[k]
        if rng.random() < PARTIAL:
            placed, cost = _shift(shapes, o, r, busy, full, capacity, held[k], rng)
        else:
            room = capacity * len(full) - full.sum()
            o, r, parts = _shape(shapes, k, o, r, target, room, capacity, rng)
            placed, cost = _place(shapes, o, r, parts, busy, full, capacity, held[k])
        looked += cost
        if not placed:
            return False, looked
        option[k], replication[k] = o, r
        floor[k] = _account(shapes, o, r, held[k], load[k], used[k], rob, seen)
        busy += load[k]
        full += used[k]
    return True, looked


@kernel
def _copy(shapes, source, i, target, j):  # type: ignore[no-untyped-def]
    """Row i of one set of arrays (option, replication, held, load, used, floor) to row j of another."""
    o, r = source[0][i], source[1][i]
    target[0][j], target[1][j] = o, r
    length = r * shapes[3][o]
    target[2][j, :length] = source[2][i, :length]
    target[3][j], target[4][j] = source[3][i], source[4][i]
    target[5][j] = source[5][i]


@kernel
def _torn(load, floor, busy, target, rng):  # type: ignore[no-untyped-def]
    """One or two layers to place again, in this order: int64[2], how many."""
    torn = np.empty(2, dtype=np.int64)
    torn[0] = _culprit(load, floor, busy, target, rng) if rng.random() < 0.5 else rng.integers(0, len(floor))
    torn[1] = rng.integers(0, len(floor))
    count = 1 if torn[1] == torn[0] or rng.random() < 0.4 else 2
    if count == 2 and rng.random() < 0.5:
        torn[0], torn[1] = torn[1], torn[0]
    return torn, count


@kernel
def _highest(busy, floor, vector):  # type: ignore[no-untyped-def]
    """The period: busiest core, busiest array group, or the even share of all work."""
    return max(busy.max(), floor.max(), (busy.sum() + vector) / len(busy))


@kernel
def _excess(busy, floor, vector, target):  # type: ignore[no-untyped-def]
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
def _culprit(load, floor, busy, target, rng):  # type: ignore[no-untyped-def]
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
def _shape(shapes, layer, option, replication, target, room, capacity, rng):  # type: ignore[no-untyped-def]
    """A random (option, replication, parts per replica) for a layer that fits `room` crossbars."""
    first, firings, _, groups, crossbars, weight = shapes[0], shapes[1], shapes[2], shapes[3], shapes[4], shapes[5]
    kind = rng.random()
    o, r = option, replication
    if kind >= 0.25:
        if kind >= 0.55:
            o = first[layer] + rng.integers(0, first[layer + 1] - first[layer])
        elif kind < 0.4:
            r = r + rng.integers(-2, 3)
        if kind >= 0.4:  # replicas that last a random share of the target, rather long ones
            share = target * rng.random() ** 2
            r = int(np.ceil(firings[o] * weight[o] / max(share, 1.0)))
    r = max(1, min(r, firings[o], room // crossbars[o]))
    r = -(-firings[o] // -(-firings[o] // r))  # no more than its longest share needs
    part = rng.integers(1, 5)  # parts of at most a whole, half, third or quarter of a core
    parts = -(-crossbars[o] // max(1, capacity // part)) if rng.random() < 0.9 else groups[o]
    if rng.random() < 0.2:
        parts += rng.integers(0, 3)
    return o, r, max(1, min(parts, groups[o]))


@kernel
def _place(shapes, o, r, parts, busy, full, capacity, out):  # type: ignore[no-untyped-def]
    """Cores for all array groups of a layer, into `out`; (whether all found room, cores looked at)."""
    firings, groups, start = shapes[1][o], shapes[3][o], shapes[7][o]
    size, time = shapes[8], shapes[9]
    cores = len(busy)
    calm, taken = busy.copy(), full.copy()
    message = _message_ns(shapes, o, r)
    cost = 4 * cores
    for j in range(r):
        blocks = firings // r + (1 if j < firings % r else 0)
        for p in range(parts):
            a, end = groups * p // parts, groups * (p + 1) // parts
            need, work = 0, 0.0
            for i in range(a, end):
                need += size[start + i]
                work += time[start + i]
            cost += cores
            core = _least_busy(calm, taken, need, capacity)
            if core >= 0:
                out[j * groups + a : j * groups + end] = core
                taken[core] += need
                calm[core] += blocks * (work + (message if parts > 1 else 0.0))
                continue
            while a < end:  # in parts, as many array groups as fit the core
                cost += cores
                core = _least_busy(calm, taken, size[start + a], capacity)
                if core < 0:
                    return False, cost
                calm[core] += blocks * message
                while a < end and taken[core] + size[start + a] <= capacity:
                    out[j * groups + a] = core
                    taken[core] += size[start + a]
                    calm[core] += blocks * time[start + a]
                    a += 1
        if parts > 1:
            calm[out[j * groups]] += blocks * message * (parts - 2)
    return True, cost


@kernel
def _shift(shapes, o, r, busy, full, capacity, out, rng):  # type: ignore[no-untyped-def]
    """Other cores for some parts of a layer that keeps its shape; (whether all found room, cores looked at)."""
    firings, groups, start = shapes[1][o], shapes[3][o], shapes[7][o]
    size, time = shapes[8], shapes[9]
    calm, taken = busy.copy(), full.copy()
    message = _message_ns(shapes, o, r)
    moved = np.zeros(r * groups, dtype=np.bool_)
    chance = rng.random() ** 2
    moving = False
    for i in range(r * groups):
        if i == 0 or i % groups == 0 or out[i] != out[i - 1]:
            moving = rng.random() < chance
        a = i % groups
        moved[i] = moving or taken[out[i]] + size[start + a] > capacity  # another layer may have taken the room
        if not moved[i]:
            blocks = firings // r + (1 if i // groups < firings % r else 0)
            calm[out[i]] += blocks * time[start + a]
            taken[out[i]] += size[start + a]
    cost = 4 * len(busy) + r * groups
    i = 0
    while i < r * groups:
        if not moved[i]:
            i += 1
            continue
        first, core = i, out[i]
        need, work = 0, 0.0
        while i < r * groups and moved[i] and i // groups == first // groups and out[i] == core:
            need += size[start + i % groups]
            work += time[start + i % groups]
            i += 1
        blocks = firings // r + (1 if first // groups < firings % r else 0)
        cost += len(busy)
        core = _least_busy(calm, taken, need, capacity)
        if core < 0:
            return False, cost
        out[first:i] = core
        taken[core] += need
        calm[core] += blocks * (work + (message if i - first < groups else 0.0))
    return True, cost


@kernel
def _least_busy(calm, taken, need, capacity):  # type: ignore[no-untyped-def]
    best = -1
    lowest = np.inf
    for c in range(len(calm)):
        if taken[c] + need <= capacity and calm[c] < lowest:
            best, lowest = c, calm[c]
    return best


@kernel
def _message_ns(shapes, o, r):  # type: ignore[no-untyped-def]
    blocks = shapes[2][o]
    return MESSAGE_NS / -(-blocks // min(r, blocks))


@kernel
def _account(shapes, o, r, held, load, used, rob, seen):  # type: ignore[no-untyped-def]
    """Load and crossbars of a layer on every core, into `load` and `used`; how long its busiest array group takes."""
    firings, groups, start = shapes[1][o], shapes[3][o], shapes[7][o]
    size, time = shapes[8], shapes[9]
    message = _message_ns(shapes, o, r)
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
            load[core] += blocks * time[start + a] / rob
            used[core] += size[start + a]
    return -(-firings // r) * shapes[6][o]
