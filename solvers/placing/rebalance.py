"""Local search on a core mapping: move or exchange array groups off the busiest core until nothing makes it less busy.

A *kind* is the array groups of one replica that are alike in crossbars and firing time; a core holds a number of each
kind. Moving part of a replica to another core costs messages at that core and at the core of array
group 0 (plan/cost.py), which every step accounts for.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import firing_ns, message_ns, shares

# Typed, because numba compiles a function again for every literal argument.
ADD, REMOVE, NOTHING = np.int64(1), np.int64(-1), np.int64(0)

MAX_TRIALS = 600_000  # (kind, core or kind) pairs looked at: a deterministic budget of some 10 ms
CLOSE = 1.004  # good enough: busiest core over mean
EXCHANGE_CORES = 32  # exchanges are tried first with so many of the least busy cores


def rebalance(
    problem: MappingProblem, option: Sequence[int], replication: Sequence[int], core_of: tuple[IntArray, ...]
) -> tuple[IntArray, ...]:
    """A mapping whose busiest core is at most as busy, within the same capacities."""
    if not core_of:
        return core_of
    kind, kind_load, kind_size, kind_replica, message, head = [], [], [], [], [], []
    kinds = replicas = 0
    for k, (layer, o, r) in enumerate(zip(problem.layers, option, replication, strict=True)):
        choice, weights = layer.options[o], firing_ns(layer.options[o])
        blocks = shares(choice.firings, r)
        alike, first, of_group = np.unique(
            np.stack([choice.ag_crossbars, weights]), axis=1, return_index=True, return_inverse=True
        )
        count, of_group = alike.shape[1], of_group.ravel()
        kind.append((kinds + np.arange(r)[:, None] * count + of_group).ravel())
        kind_load.append(np.outer(blocks, weights[first]).ravel())
        kind_size.append(np.tile(choice.ag_crossbars[first], r))
        kind_replica.append(replicas + np.repeat(np.arange(r), count))
        message.append(blocks * message_ns(layer, choice, r))
        head.append(core_of[k][:, 0])
        kinds, replicas = kinds + r * count, replicas + r
    group_kind = np.concatenate(kind)
    flat = np.concatenate([cores.ravel() for cores in core_of]).astype(np.int64)
    leader = np.zeros(kinds, dtype=np.bool_)  # the kind of array group 0 of its replica
    leader[np.concatenate([part.reshape(cores.shape)[:, 0] for part, cores in zip(kind, core_of, strict=True)])] = True
    moved = _descend(
        group_kind,
        flat,
        np.concatenate(kind_load),
        np.concatenate(kind_size).astype(np.int64),
        np.concatenate(kind_replica),
        leader,
        np.concatenate(message).astype(np.float64),
        np.concatenate(head).astype(np.int64),
        problem.cores,
        problem.crossbars_per_core,
        MAX_TRIALS,
    )
    ends = np.cumsum([cores.size for cores in core_of])
    parts: list[npt.NDArray[np.int64]] = np.split(moved, ends[:-1])
    return tuple(part.reshape(cores.shape).astype(np.int32) for part, cores in zip(parts, core_of, strict=True))


@kernel
def _descend(  # type: ignore[no-untyped-def]
    group_kind, group_core, load, size, replica, leader, message, head, cores, capacity, budget
):
    held, number, length = _inventory(group_kind, group_core, cores, capacity)
    busy, free = np.zeros(cores), np.full(cores, capacity, dtype=np.int64)
    for c in range(cores):
        for i in range(length[c]):
            kind = held[c, i]
            busy[c] += number[c, i] * load[kind]
            free[c] -= number[c, i] * size[kind]
            own = head[replica[kind]]
            if c != own and _first_of_replica(held, replica, c, i):
                busy[c] += message[replica[kind]]
                busy[own] += message[replica[kind]]
    state = (held, number, length, busy, free, load, size, replica, leader, message, head)
    close = CLOSE * busy.sum() / cores
    while budget > 0:
        top = np.argmax(busy)
        if busy[top] <= close:
            break
        budget -= length[top] * cores
        _, i, give, to, j, take = _best_move(state, top, busy[top] * (1 - 1e-9))
        for among in (EXCHANGE_CORES, cores):
            if i < 0 and budget > 0:
                budget -= length[top] * among * length.mean()
                _, i, give, to, j, take = _best_exchange(state, top, busy[top] * (1 - 1e-9), among)
        if i < 0:
            break
        kind = held[top, i]
        other = held[to, j]
        _transfer(state, kind, give, top, to)
        if take > 0:
            _transfer(state, other, take, to, top)
    return _assignment(group_kind, held, number, length, replica, head)


@kernel
def _inventory(group_kind, group_core, cores, capacity):  # type: ignore[no-untyped-def]
    """What every core holds: kinds held[core, i] and how many number[core, i], for i < length[core]."""
    held = np.full((cores, capacity + 1), -1, dtype=np.int64)
    number = np.zeros((cores, capacity + 1), dtype=np.int64)
    length = np.zeros(cores, dtype=np.int64)
    for g in range(len(group_kind)):
        _add(held, number, length, group_core[g], group_kind[g], ADD)
    return held, number, length


@kernel
def _add(held, number, length, core, kind, count):  # type: ignore[no-untyped-def]
    for i in range(length[core]):
        if held[core, i] == kind:
            number[core, i] += count
            if number[core, i] == 0:
                length[core] -= 1
                held[core, i], number[core, i] = held[core, length[core]], number[core, length[core]]
            return
    held[core, length[core]], number[core, length[core]] = kind, count
    length[core] += 1


@kernel
def _first_of_replica(held, replica, core, i):  # type: ignore[no-untyped-def]
    earlier = 0
    for before in range(i):
        earlier += replica[held[core, before]] == replica[held[core, i]]
    return earlier == 0


@kernel
def _groups_of(held, number, length, replica, core, which):  # type: ignore[no-untyped-def]
    """How many array groups of a replica a core holds."""
    total = 0
    for i in range(length[core]):
        if replica[held[core, i]] == which:
            total += number[core, i]
    return total


@kernel
def _alone(held, length, replica, busy, core, which):  # type: ignore[no-untyped-def]
    """Whether a replica is on this core only."""
    for c in range(len(busy)):
        if c != core:
            for i in range(length[c]):
                if replica[held[c, i]] == which:
                    return False
    return True


@kernel
def _price(state, kind, count, source, target, sign):  # type: ignore[no-untyped-def]
    """Add the effect of moving `count` of a kind to `busy` (ADD) or take it back (REMOVE), before the move is made.

    Returns whether the move is allowed: the core of array group 0 keeps it unless the whole replica moves.
    """
    held, number, length, busy, _, load, _, replica, leader, message, head = state
    which = replica[kind]
    own = head[which]
    leaves = _groups_of(held, number, length, replica, source, which) == count
    arrives = _groups_of(held, number, length, replica, target, which) == 0
    busy[source] -= sign * count * load[kind]
    busy[target] += sign * count * load[kind]
    if source == own:
        if leaves:
            return arrives and _alone(held, length, replica, busy, source, which)
        for i in range(length[source]):
            if held[source, i] == kind and leader[kind] and number[source, i] == count:
                return False
    elif leaves:
        busy[source] -= sign * message[which]
        busy[own] -= sign * message[which]
    if arrives:
        busy[target] += sign * message[which]
        busy[own] += sign * message[which]
    return True


@kernel
def _transfer(state, kind, count, source, target):  # type: ignore[no-untyped-def]
    held, number, length, _, free, _, size, replica, _, _, head = state
    _price(state, kind, count, source, target, ADD)
    whole = _groups_of(held, number, length, replica, source, replica[kind]) == count
    if whole and head[replica[kind]] == source:
        head[replica[kind]] = target
    _add(held, number, length, source, kind, -count)
    _add(held, number, length, target, kind, count)
    free[source] += count * size[kind]
    free[target] -= count * size[kind]


@kernel
def _best_move(state, top, limit):  # type: ignore[no-untyped-def]
    held, number, length, busy, free, load, size, replica, _, _, head = state
    best, best_i, best_give, best_to = limit, -1, NOTHING, -1
    for i in range(length[top]):
        kind = held[top, i]
        if load[kind] <= 0.0:
            continue
        own = head[replica[kind]]
        for c in range(len(busy)):
            room = min(number[top, i], free[c] // size[kind])
            if c == top or room == 0 or busy[c] + load[kind] >= best:
                continue
            half = int((busy[top] - busy[c]) / (2.0 * load[kind]))
            for give in (min(room, max(1, half)), room):
                if max(busy[c] + give * load[kind], busy[top] - give * load[kind]) >= best:
                    continue
                allowed = _price(state, kind, give, top, c, ADD)
                worst = max(busy[top], busy[c], busy[own])
                _price(state, kind, give, top, c, REMOVE)
                if allowed and worst < best:
                    best, best_i, best_give, best_to = worst, i, give, c
    return best, best_i, best_give, best_to, NOTHING, NOTHING


@kernel
def _calmest(busy, count):  # type: ignore[no-untyped-def]
    """So many of the least busy cores, or all."""
    if count >= len(busy):
        return np.arange(len(busy))
    found = np.empty(count, dtype=np.int64)
    taken = np.zeros(len(busy), dtype=np.bool_)
    for i in range(count):
        best = -1
        for c in range(len(busy)):
            if not taken[c] and (best < 0 or busy[c] < busy[best]):
                best = c
        found[i] = best
        taken[best] = True
    return found


@kernel
def _best_exchange(state, top, limit, among):  # type: ignore[no-untyped-def]
    held, number, length, busy, free, load, size, replica, _, _, head = state
    best, best_i, best_give, best_to, best_j, best_take = limit, -1, NOTHING, -1, -1, NOTHING
    calmest = _calmest(busy, among)
    for i in range(length[top]):
        kind = held[top, i]
        if load[kind] <= 0.0:
            continue
        own = head[replica[kind]]
        for c in calmest:
            if c == top or busy[c] >= best:
                continue
            for j in range(length[c]):
                other = held[c, j]
                take = ADD
                if replica[other] == replica[kind]:
                    continue
                while take <= number[c, j]:
                    room = (free[c] + take * size[other]) // size[kind]
                    half = int((busy[top] - busy[c] + 2 * take * load[other]) / (2.0 * load[kind]))
                    give = min(number[top, i], room, max(1, half))
                    fits = take * size[other] <= free[top] + give * size[kind]
                    gain = give * load[kind] - take * load[other]
                    if give > 0 and fits and gain > 0 and max(busy[c] + gain, busy[top] - gain) < best:
                        allowed = _price(state, kind, give, top, c, ADD)
                        allowed = _price(state, other, take, c, top, ADD) and allowed
                        worst = max(busy[top], busy[c], busy[own], busy[head[replica[other]]])
                        _price(state, other, take, c, top, REMOVE)
                        _price(state, kind, give, top, c, REMOVE)
                        if allowed and worst < best:
                            best, best_i, best_give, best_to, best_j, best_take = worst, i, give, c, j, take
                    take *= 2
    return best, best_i, best_give, best_to, best_j, best_take


@kernel
def _assignment(group_kind, held, number, length, replica, head):  # type: ignore[no-untyped-def]
    """A core for each array group: those of a kind in order, the core of array group 0 first."""
    kinds = len(replica)
    start = np.zeros(kinds + 1, dtype=np.int64)
    for g in range(len(group_kind)):
        start[group_kind[g] + 1] += 1
    start = np.cumsum(start)
    slots = np.empty(len(group_kind), dtype=np.int64)
    filled = start[:-1].copy()
    for heads_first in (True, False):
        for c in range(len(length)):
            for i in range(length[c]):
                kind = held[c, i]
                if (head[replica[kind]] == c) == heads_first:
                    slots[filled[kind] : filled[kind] + number[c, i]] = c
                    filled[kind] += number[c, i]
    result = np.empty(len(group_kind), dtype=np.int64)
    used = start[:-1].copy()
    for g in range(len(group_kind)):
        result[g] = slots[used[group_kind[g]]]
        used[group_kind[g]] += 1
    return result
