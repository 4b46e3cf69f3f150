"""Event-driven list scheduling of tasks and transfers: one global order that every core's stream is a projection of.

An action (a task on one core, or a transfer between two) is committed at the earliest estimated start; a transfer may
make one of its ends wait up to `slack_ns`, otherwise transfers starve because both ends are never free together
(docs/scheduling.md). Times follow the simulator's recurrences for rendezvous and the global-memory server.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]


@njit(cache=True)
def _push(keys, ranks, items, size, key, rank, item):
    """Insert into a binary min-heap ordered by (key, rank)."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] < key or (keys[parent] == key and ranks[parent] <= rank):
            break
        keys[i], ranks[i], items[i] = keys[parent], ranks[parent], items[parent]
        i = parent
    keys[i], ranks[i], items[i] = key, rank, item
    return size + 1


@njit(cache=True)
def _pop(keys, ranks, items, size):
    """Remove the minimum; returns (item, key, new size)."""
    item, first_key = items[0], keys[0]
    size -= 1
    key, rank, last = keys[size], ranks[size], items[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] < keys[child] or (keys[right] == keys[child] and ranks[right] < ranks[child])):
            child = right
        if key < keys[child] or (key == keys[child] and rank <= ranks[child]):
            break
        keys[i], ranks[i], items[i] = keys[child], ranks[child], items[child]
        i = child
    if size > 0:
        keys[i], ranks[i], items[i] = key, rank, last
    return item, first_key, size


@njit(cache=True)
def list_schedule(  # noqa: PLR0912, PLR0915  one event loop; splitting it would hide the order of updates
    tasks,
    core,
    peer,
    rank,
    duration_ns,
    memory_ns,
    read_ns,
    write_ns,
    latency_ns,
    flits,
    edge_start,
    edge_to,
    indegree,
    cores,
    slack_ns,
    window,
):
    """Commit order, estimated start and cause of every action: (int64[actions], float64[actions], int64[actions],
    makespan_ns).

    A cause is the action whose end an action had to wait for last: what it depends on, or what its cores did before
    (-1: none).

    Actions [0, tasks) are tasks on `core`, the others transfers from `core` to `peer`. rank: priority, also limits how
    far work may run ahead: an action starts only if its rank is below the oldest uncommitted rank + `window`.
    memory_ns: time at the global-memory server (0: not used). read/write/latency/flits: transfer parameters.
    """
    actions = len(core)
    free = np.zeros(cores)
    switch = np.zeros(cores)
    memory_free = 0.0
    waiting = indegree.copy()
    ready = np.zeros(actions)
    start = np.zeros(actions)
    cause, awaited = np.full(actions, -1, np.int64), np.full(actions, -1, np.int64)
    last = np.full(cores, -1, np.int64)  # what a core did last
    order = np.empty(actions, np.int64)
    done = np.zeros(actions, np.bool_)
    by_rank = np.argsort(rank, kind="mergesort")
    oldest = 0
    capacity = 2 * actions + cores + 1
    keys, ranks, items, size = np.empty(capacity), np.empty(capacity, np.int64), np.empty(capacity, np.int64), 0
    held_keys, held_ranks = np.empty(capacity), np.empty(capacity, np.int64)
    held, held_size = np.empty(capacity, np.int64), 0
    limit = rank[by_rank[0]] + window if actions else 0
    for a in range(actions):
        if waiting[a] == 0:
            if rank[a] < limit:
                size = _push(keys, ranks, items, size, 0.0, rank[a], a)
            else:
                held_size = _push(held_keys, held_ranks, held, held_size, float(rank[a]), rank[a], a)
    # Tasks whose core is busy wait in the core's own heap, by rank; the common heap holds a token per such core, at
    # the time when the core is free, numbered after the actions.
    own = np.zeros(cores + 1, np.int64)
    for a in range(tasks):
        own[core[a] + 1] += 1
    own = np.cumsum(own)
    own_keys, own_ranks, own_items = np.empty(tasks), np.empty(tasks, np.int64), np.empty(tasks, np.int64)
    parked, tokens = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    committed = 0
    makespan = 0.0
    while committed < actions:
        if size == 0:
            return order[:committed], start, cause, -1.0
        a, key, size = _pop(keys, ranks, items, size)
        if a >= actions:
            c = a - actions
            low, high = own[c], own[c + 1]
            if parked[c] == 0 or free[c] > key:
                if parked[c] > 0 and tokens[c] == 1:
                    size = _push(keys, ranks, items, size, free[c], own_ranks[low], a)
                else:
                    tokens[c] -= 1
                continue
            a, _, parked[c] = _pop(own_keys[low:high], own_ranks[low:high], own_items[low:high], parked[c])
            tokens[c] -= 1
            if parked[c] > 0 and tokens[c] == 0:
                size = _push(keys, ranks, items, size, key, own_ranks[low], actions + c)
                tokens[c] = 1
            at = free[c]
        elif a < tasks:
            c = core[a]
            if free[c] > key:
                low, high = own[c], own[c + 1]
                best = parked[c] == 0 or rank[a] < own_ranks[low]
                parked[c] = _push(
                    own_keys[low:high], own_ranks[low:high], own_items[low:high], parked[c],
                    float(rank[a]), rank[a], a,
                )  # fmt: skip
                if best:
                    size = _push(keys, ranks, items, size, free[c], rank[a], actions + c)
                    tokens[c] += 1
                continue
            at = key
        else:
            c = core[a]
            d = peer[a]
            at = max(ready[a], free[c], free[d])
            now = max(ready[a], at - slack_ns)
            if now > key:
                size = _push(keys, ranks, items, size, now, rank[a], a)
                continue
        start[a] = at
        cause[a] = awaited[a] if ready[a] >= at else last[c]
        if a < tasks:
            end = at + duration_ns[a]
            if memory_ns[a] > 0.0:
                served = max(at, switch[c], memory_free) + memory_ns[a]
                memory_free = served
                end = served + duration_ns[a]
                switch[c] = served
            free[c] = end
        else:
            d = peer[a]
            if ready[a] < at and free[d] > free[c]:
                cause[a] = last[d]
            last[d] = a
            t1 = max(at, switch[c]) + latency_ns[a]
            t2 = max(t1, at, switch[d]) + latency_ns[a]
            t3 = t2 + read_ns[a]
            t4 = max(t3, t1 + 1.0) + flits[a] * latency_ns[a]
            end = t4 + write_ns[a]
            switch[c] = t4
            switch[d] = max(switch[d], t2)
            free[c] = t3 + 2.0
            free[d] = end + 2.0
        last[c] = a
        makespan = max(makespan, end)
        order[committed] = a
        committed += 1
        done[a] = True
        for e in range(edge_start[a], edge_start[a + 1]):
            b = edge_to[e]
            if end >= ready[b]:
                ready[b], awaited[b] = end, a
            waiting[b] -= 1
            if waiting[b] == 0:
                if rank[b] < limit:
                    size = _push(keys, ranks, items, size, ready[b], rank[b], b)
                else:
                    held_size = _push(held_keys, held_ranks, held, held_size, float(rank[b]), rank[b], b)
        while oldest < actions and done[by_rank[oldest]]:
            oldest += 1
        if oldest < actions:
            limit = rank[by_rank[oldest]] + window
            while held_size > 0 and held_keys[0] < limit:
                b, _, held_size = _pop(held_keys, held_ranks, held, held_size)
                size = _push(keys, ranks, items, size, ready[b], rank[b], b)
    return order, start, cause, makespan
