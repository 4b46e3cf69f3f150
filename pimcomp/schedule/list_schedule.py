"""Event-driven list scheduling of tasks and transfers: one global order that every core's stream is a projection of.

An action (a task on one core, or a transfer between two) is committed at the earliest estimated start; a transfer may
make one of its ends wait up to `slack_ns`, otherwise transfers starve because both ends are never free together
(docs/scheduling.md). Times follow the simulator's recurrences for rendezvous and the global-memory server.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.heap import HEAP_COLUMNS, KEY, RANK, pop, push
from pimcomp.timeline.borrow import borrow

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

# Columns of `who`: a task has no peer. Columns of `times`: of a transfer, and of a task.
CORE, PEER, ORDER, _WAITING = range(4)
READ_NS, WRITE_NS, LATENCY_NS, FLITS = range(4)
DURATION_NS, MEMORY_NS = range(2)
# Columns of `until` and `waits`, both per core.
_FREE, _SWITCH = range(2)
_PARKED, _TOKENS = range(2)


def list_schedule(
    tasks: int,
    who: LongArray,
    times: DoubleArray,
    edge_start: LongArray,
    edge_to: LongArray,
    cores: int,
    slack_ns: float,
    window: int,
) -> tuple[LongArray, DoubleArray, LongArray, float]:
    """Commit order, estimated start and cause of every action: (int64[actions], float64[actions], int64[actions],
    makespan_ns). The order is shorter than the actions if those that are missing wait for each other.

    A cause is the action whose end an action had to wait for last: what it depends on, or what its cores did before
    (-1: none).

    Actions [0, tasks) are tasks, the others transfers. who: int64[actions, 3], core, peer of a transfer, and rank: the
    priority, which also limits how far work may run ahead: an action starts only if its rank is below the oldest
    uncommitted rank + `window`. times: float64[actions, 4]; of a task its duration and its time at the global-memory
    server (0: not used), of a transfer read, write and flit times and flits. Edges [edge_start[a], edge_start[a + 1])
    lead from a to `edge_to`.
    """
    actions = len(who)
    waiting = np.bincount(edge_to, minlength=actions)
    state = np.column_stack([who, waiting]).astype(np.int64)
    own = np.cumsum(np.append(0, np.bincount(who[:tasks, CORE], minlength=cores)))
    order, cause, awaited = np.zeros(actions, np.int64), np.full(actions, -1), np.full(actions, -1)
    ready, start = np.zeros(actions), np.zeros(actions)
    heaps = [np.empty((rows, HEAP_COLUMNS)) for rows in (2 * actions + cores + 1, actions + 1, tasks + 1)]
    committed, makespan = _run(
        tasks, state, times, edge_start, edge_to, cores, slack_ns, window,
        np.argsort(who[:, ORDER], kind="stable"), own, np.zeros((cores, 2)), np.full(cores, -1),
        np.zeros((cores, 2), np.int64), np.zeros(actions, np.bool_), ready, start, cause, awaited, order, *heaps,
    )  # fmt: skip
    return order[:committed], start, cause, makespan


@kernel
def _run(  # noqa: PLR0912, PLR0915  one event loop; splitting it would hide the order of updates
    tasks,
    who,
    times,
    edge_start,
    edge_to,
    cores,
    slack_ns,
    window,
    by_rank,
    own,
    until,
    last,
    waits,
    done,
    ready,
    start,
    cause,
    awaited,
    order,
    heap,
    held,
    parked,
):
    """(committed actions, makespan); fills start, cause and order.

    until: when a core and its switch are free. last: what a core did last. Tasks whose core is busy wait in the core's
    own heap, rows [own[c], own[c + 1]) of `parked`, by rank; the common heap holds a token per such core, at the time
    when the core is free, numbered after the actions. waits: per core, parked tasks and tokens. held: actions beyond
    the window, by rank.
    """
    who, times, edge_start, edge_to, by_rank = (
        borrow(who), borrow(times), borrow(edge_start), borrow(edge_to), borrow(by_rank)
    )  # fmt: skip
    own, until, last, waits, done = borrow(own), borrow(until), borrow(last), borrow(waits), borrow(done)
    ready, start, cause, awaited, order = (
        borrow(ready), borrow(start), borrow(cause), borrow(awaited), borrow(order)
    )  # fmt: skip
    heap, held, parked = borrow(heap), borrow(held), borrow(parked)
    actions = len(who)
    size = held_size = oldest = committed = 0
    memory_free = makespan = 0.0
    limit = who[by_rank[0], ORDER] + window if actions else 0
    for a in range(actions):
        rank = who[a, ORDER]
        if who[a, _WAITING] == 0:
            if rank < limit:
                size = push(heap, size, 0.0, rank, a)
            else:
                held_size = push(held, held_size, rank, rank, a)
    while committed < actions and size > 0:
        a, key, size = pop(heap, size)
        if a >= actions:
            c = a - actions
            first = parked[own[c] : own[c + 1]]
            if waits[c, _PARKED] == 0 or until[c, _FREE] > key:
                if waits[c, _PARKED] > 0 and waits[c, _TOKENS] == 1:
                    size = push(heap, size, until[c, _FREE], first[0, RANK], a)
                else:
                    waits[c, _TOKENS] -= 1
                continue
            a, _, waits[c, _PARKED] = pop(first, waits[c, _PARKED])
            waits[c, _TOKENS] -= 1
            if waits[c, _PARKED] > 0 and waits[c, _TOKENS] == 0:
                size = push(heap, size, key, first[0, RANK], actions + c)
                waits[c, _TOKENS] = 1
            at = until[c, _FREE]
        elif a < tasks:
            c = who[a, CORE]
            if until[c, _FREE] > key:
                first, rank = parked[own[c] : own[c + 1]], who[a, ORDER]
                best = waits[c, _PARKED] == 0 or rank < first[0, RANK]
                waits[c, _PARKED] = push(first, waits[c, _PARKED], rank, rank, a)
                if best:
                    size = push(heap, size, until[c, _FREE], rank, actions + c)
                    waits[c, _TOKENS] += 1
                continue
            at = key
        else:
            c, d = who[a, CORE], who[a, PEER]
            at = max(ready[a], until[c, _FREE], until[d, _FREE])
            now = max(ready[a], at - slack_ns)
            if now > key:
                size = push(heap, size, now, who[a, ORDER], a)
                continue
        start[a] = at
        cause[a] = awaited[a] if ready[a] >= at else last[c]
        if a < tasks:
            end = at + times[a, DURATION_NS]
            if times[a, MEMORY_NS] > 0.0:
                served = max(at, until[c, _SWITCH], memory_free) + times[a, MEMORY_NS]
                memory_free = served
                end = served + times[a, DURATION_NS]
                until[c, _SWITCH] = served
            until[c, _FREE] = end
        else:
            d, flit_ns = who[a, PEER], times[a, LATENCY_NS]
            if ready[a] < at and until[d, _FREE] > until[c, _FREE]:
                cause[a] = last[d]
            last[d] = a
            t1 = max(at, until[c, _SWITCH]) + flit_ns
            t2 = max(t1, at, until[d, _SWITCH]) + flit_ns
            t3 = t2 + times[a, READ_NS]
            t4 = max(t3, t1 + 1.0) + times[a, FLITS] * flit_ns
            end = t4 + times[a, WRITE_NS]
            until[c, _SWITCH] = t4
            until[d, _SWITCH] = max(until[d, _SWITCH], t2)
            until[c, _FREE] = t3 + 2.0
            until[d, _FREE] = end + 2.0
        last[c] = a
        makespan = max(makespan, end)
        order[committed] = a
        committed += 1
        done[a] = True
        for e in range(edge_start[a], edge_start[a + 1]):
            b = edge_to[e]
            if end >= ready[b]:
                ready[b], awaited[b] = end, a
            who[b, _WAITING] -= 1
            if who[b, _WAITING] == 0:
                rank = who[b, ORDER]
                if rank < limit:
                    size = push(heap, size, ready[b], rank, b)
                else:
                    held_size = push(held, held_size, rank, rank, b)
        while oldest < actions and done[by_rank[oldest]]:
            oldest += 1
        if oldest < actions:
            limit = who[by_rank[oldest], ORDER] + window
            while held_size > 0 and held[0, KEY] < limit:
                b, _, held_size = pop(held, held_size)
                size = push(heap, size, ready[b], who[b, ORDER], b)
    return committed, makespan
