"""Local search on the cores of single array groups: the choice of a plan stays, its balance improves.

A step moves one array group to another core; where that lacks crossbars, array groups of that core come back in
exchange. It is accepted as in reshape.py. Loads change on at most five cores, so a step takes a fraction of a
microsecond and millions of them are made, which places of whole layers (reshape.py) cannot be.

The budget counts steps, so equal seeds give equal plans on any machine.
"""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import MappingProblem, Plan
from pimcomp.plan.cost import firing_ns, message_ns, shares

WHOLE_PARTS = 0.03  # share of steps that move all array groups of the replica on that core
NEAR = 0.4  # share of steps that go to a core which already holds a part of the same replica


def settled(
    problem: MappingProblem, plan: Plan, target_ns: float, steps: int, seed: int, heat: float
) -> tuple[Plan, float]:
    """A plan of the same choice whose cores exceed `target_ns` less, and by how much (sum of squared shares).

    The search stops when none does.
    """
    size, work, message, replica, core = [], [], [], [], []
    replicas = 0
    for layer, o, r, cores in zip(problem.layers, plan.option, plan.replication, plan.core_of, strict=True):
        option = layer.options[o]
        groups = len(option.ag_crossbars)
        blocks = shares(option.firings, r) / problem.rob_size
        size.append(np.tile(option.ag_crossbars, r))
        work.append(np.outer(blocks, firing_ns(option)).ravel())
        message.append(blocks * message_ns(layer, option, r))
        replica.append(np.repeat(np.arange(replicas, replicas + r), groups))
        core.append(cores.ravel())
        replicas += r
    of = np.concatenate(replica)
    head = np.searchsorted(of, np.arange(replicas))
    found, excess = _search(
        np.concatenate(size).astype(np.int64), np.concatenate(work), np.concatenate(message), of, head,
        np.append(head[1:], len(of)), np.concatenate(core).astype(np.int64), problem.cores, problem.crossbars_per_core,
        problem.vector_work_ns / problem.rob_size, target_ns, steps, np.array([seed * 2 + 1], dtype=np.uint64), heat,
    )  # fmt: skip
    ends = np.cumsum([cores.size for cores in plan.core_of])[:-1]
    core_of: tuple[IntArray, ...] = tuple(
        part.reshape(old.shape).astype(np.int32) for part, old in zip(np.split(found, ends), plan.core_of, strict=True)
    )
    return Plan(option=plan.option, replication=plan.replication, core_of=core_of), float(excess)


@kernel
def _search(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915  one step, its undoing and their accounts
    size, work, message, of, head, end, core, cores, capacity, vector, target, steps, rng, heat
):
    groups = len(size)
    count = np.zeros((len(head), cores), dtype=np.int32)  # array groups of each replica on each core
    busy, full = np.zeros(cores), np.zeros(cores, dtype=np.int64)
    held = np.zeros((cores, 3 * capacity + 1), dtype=np.int64)  # array groups on each core, in any order
    many, place = np.zeros(cores, dtype=np.int64), np.zeros(groups, dtype=np.int64)
    parts = np.zeros(len(head), dtype=np.int64)
    for g in range(groups):
        c, j = core[g], of[g]
        busy[c] += work[g]
        full[c] += size[g]
        held[c, many[c]], place[g] = g, many[c]
        many[c] += 1
        if count[j, c] == 0:
            parts[j] += 1
            if c != core[head[j]]:
                busy[c] += message[j]
                busy[core[head[j]]] += message[j]
        count[j, c] += 1
    state = (core, count, parts, busy, full, held, many, place)
    moved, origin = np.zeros(2 * capacity + 2, dtype=np.int64), np.zeros(2 * capacity + 2, dtype=np.int64)
    total = busy.sum() + vector
    energy = _excess(busy, target) + cores * _over(total / cores, target)
    for i in range(steps):
        if energy < 1e-12:
            energy = _excess(busy, target) + cores * _over((busy.sum() + vector) / cores, target)
            if energy == 0.0:
                break
        g = _below(rng, groups)
        if _share(rng) < 0.5:  # from an overloaded core
            for _ in range(4):
                if busy[core[g]] > target:
                    break
                g = _below(rng, groups)
        a = core[g]
        b = core[head[of[g]] + _below(rng, end[of[g]] - head[of[g]])] if _share(rng) < NEAR else _below(rng, cores)
        if a == b:
            continue
        moved[0], origin[0] = g, a
        moves = 1
        change, more = _move(size, work, message, of, head, state, g, b, target)
        if _share(rng) < WHOLE_PARTS:
            for n in range(many[a] - 1, -1, -1):
                if n < many[a] and of[held[a, n]] == of[g]:
                    moved[moves], origin[moves] = held[a, n], a
                    moves += 1
                    d, m = _move(size, work, message, of, head, state, held[a, n], b, target)
                    change += d
                    more += m
        alone = moves == 1
        while full[b] > capacity or (alone and moves == 1 and many[b] > 1 and _share(rng) < 0.3):
            back = held[b, _below(rng, many[b])]
            if of[back] == of[g]:
                if _share(rng) < 0.1:
                    break
                continue
            moved[moves], origin[moves] = back, b
            moves += 1
            d, m = _move(size, work, message, of, head, state, back, a, target)
            change += d
            more += m
            if full[a] > capacity:
                break
        accepted = False
        if full[a] <= capacity and full[b] <= capacity:
            change += cores * (_over((total + more) / cores, target) - _over(total / cores, target))
            accepted = change <= 0.0 or change <= -heat * (1.0 - i / steps) ** 2 * np.log(1.0 - _share(rng))
        if accepted:
            energy += change
            total += more
        else:
            for m in range(moves - 1, -1, -1):
                _move(size, work, message, of, head, state, moved[m], origin[m], target)
    return core, _excess(busy, target) + cores * _over((busy.sum() + vector) / cores, target)


@kernel
def _next(state):  # type: ignore[no-untyped-def]
    """The next of a sequence of pseudo-random 32-bit numbers (splitmix64, Steele et al. 2014): quicker than numpy's."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(32)


@kernel
def _below(state, count):  # type: ignore[no-untyped-def]
    return np.int64((_next(state) * np.uint64(count)) >> np.uint64(32))


@kernel
def _share(state):  # type: ignore[no-untyped-def]
    return np.float64(_next(state)) / 4294967296.0


@kernel
def _over(b, target):  # type: ignore[no-untyped-def]
    return (b / target - 1.0) ** 2 if b > target else 0.0


@kernel
def _excess(busy, target):  # type: ignore[no-untyped-def]
    total = 0.0
    for b in busy:
        total += _over(b, target)
    return total


@kernel
def _move(size, work, message, of, head, state, g, to, target):  # type: ignore[no-untyped-def]
    """Move array group g to another core; by how much excess and total load change."""
    core, count, parts, busy, full, held, many, place = state
    a, j = core[g], of[g]
    h = head[j]
    top = core[h]
    third = top not in (a, to)
    before = _over(busy[a], target) + _over(busy[to], target)
    load = busy[a] + busy[to]
    if third:
        before += _over(busy[top], target)
        load += busy[top]
    last = held[a, many[a] - 1]
    held[a, place[g]], place[last] = last, place[g]
    many[a] -= 1
    held[to, many[to]], place[g] = g, many[to]
    many[to] += 1
    full[a] -= size[g]
    full[to] += size[g]
    busy[a] -= work[g]
    busy[to] += work[g]
    count[j, a] -= 1
    count[j, to] += 1
    others = parts[j] - 1
    parts[j] += (1 if count[j, to] == 1 else 0) - (1 if count[j, a] == 0 else 0)
    core[g] = to
    if g == h:
        busy[a] -= others * message[j]
        if count[j, to] > 1:
            busy[to] -= message[j]
        if count[j, a] > 0:
            busy[a] += message[j]
        busy[to] += (parts[j] - 1) * message[j]
    else:
        if count[j, a] == 0 and a != top:
            busy[a] -= message[j]
            busy[top] -= message[j]
        if count[j, to] == 1 and to != top:
            busy[to] += message[j]
            busy[top] += message[j]
    after = _over(busy[a], target) + _over(busy[to], target)
    load -= busy[a] + busy[to]
    if third:
        after += _over(busy[top], target)
        load -= busy[top]
    return after - before, -load
