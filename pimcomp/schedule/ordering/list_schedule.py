"""Event-driven list scheduling of tasks and transfers: one global order that every core's stream is a projection of.

An action (a task on one core, or a transfer between two) is committed at the earliest estimated start; a transfer may
make one of its ends wait up to `slack_ns`, otherwise transfers starve because both ends are never free together
(docs/scheduling.md). Times follow the simulator's recurrences for rendezvous and the global-memory server.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.ordering.heap import HEAP_COLUMNS, KEY, RANK, pop, push
from pimcomp.schedule.work import DoubleArray, LongArray
from pimcomp.timeline.borrow import borrow

# Columns of `who`: a task has no peer. Columns of `times`: of a transfer, and of a task.
CORE, PEER, ORDER, _WAITING = range(4)
READ_NS, WRITE_NS, LATENCY_NS, FLITS = range(4)
DURATION_NS, MEMORY_NS = range(2)
# Columns of `Queues.until` and `Queues.cores`, both per core.
_FREE, _SWITCH = range(2)
_PARKED, _TOKENS, _FIRST, _LAST = range(4)
ROUNDS = 4  # until rounds follow each other at a steady pace, nearly
# Entries of `Chosen.clock_ns`.
_MEMORY, _MAKESPAN = range(2)


class Given(NamedTuple):
    """The actions: see `list_schedule`. who has a column of how many an action waits for, -1: it is committed."""

    tasks: int
    who: LongArray
    times: DoubleArray
    edge_start: LongArray
    edge_to: LongArray
    by_rank: LongArray
    slack_ns: float
    window: int


class Queues(NamedTuple):
    """Actions that depend on nothing any more.

    ready: the common heap, by the time when an action could start. held: actions beyond the window, by rank. Tasks
    whose core is busy wait in the core's own heap in `parked`, by rank; the common heap holds a token per such core, at
    the time when the core is free, numbered after the actions. cores int64[cores, 4]: parked tasks and tokens, the
    first row of its heap, and what it did last. until: when a core and its switch are free.
    """

    ready: DoubleArray
    held: DoubleArray
    parked: DoubleArray
    cores: LongArray
    until: DoubleArray


class Chosen(NamedTuple):
    """Per action: when it starts and its cause; before it is committed, when it may start and for whom it waited so
    long. order: the committed ones. clock_ns: when the memory server is free, and the latest end.
    """

    start: DoubleArray
    cause: LongArray
    order: LongArray
    clock_ns: DoubleArray


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
    waiting, by_rank = np.bincount(edge_to, minlength=actions), np.argsort(who[:, ORDER], kind="stable")
    state = np.column_stack([who, waiting]).astype(np.int64)
    given = Given(tasks, state, times, edge_start, edge_to, by_rank, float(slack_ns), window)
    own = np.bincount(who[:tasks, CORE], minlength=cores)
    zeros = np.zeros_like(own)
    queues = Queues(
        ready=np.empty((2 * actions + cores + 1, HEAP_COLUMNS)),
        held=np.empty((actions + 1, HEAP_COLUMNS)),
        parked=np.empty((tasks + 1, HEAP_COLUMNS)),
        cores=np.column_stack([zeros, zeros, np.cumsum(own) - own, zeros - 1]),
        until=np.zeros((cores, 2)),
    )
    chosen = Chosen(np.zeros(actions), np.full(actions, -1), np.zeros(actions, np.int64), np.zeros(2))
    committed = _run(given, queues, chosen)
    return chosen.order[:committed], chosen.start, chosen.cause, float(chosen.clock_ns[_MAKESPAN])


@kernel
def _run(given: Given, queues: Queues, chosen: Chosen) -> int:  # noqa: PLR0912, PLR0915  see below
    """Fills in what is chosen; returns how many actions are committed.

    One function, because handing all queues on to another would take as long as all that is done for an action.
    """
    tasks, who, times, edge_start, edge_to, by_rank, slack_ns, window = borrow(given)
    heap, held, parked, core, until = borrow(queues)
    start, cause, order, clock_ns = borrow(chosen)
    actions = len(who)
    size = held_size = oldest = committed = 0
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
        if a >= actions:  # the token of a core: the best of the tasks that wait for it
            c = a - actions
            own = parked[core[c, _FIRST] :]
            if core[c, _PARKED] == 0 or until[c, _FREE] > key:
                if core[c, _PARKED] > 0 and core[c, _TOKENS] == 1:
                    size = push(heap, size, until[c, _FREE], own[0, RANK], a)
                else:
                    core[c, _TOKENS] -= 1
                continue
            a, _, core[c, _PARKED] = pop(own, core[c, _PARKED])
            core[c, _TOKENS] -= 1
            if core[c, _PARKED] > 0 and core[c, _TOKENS] == 0:
                size = push(heap, size, key, own[0, RANK], actions + c)
                core[c, _TOKENS] = 1
            at = until[c, _FREE]
        elif a < tasks:
            c, rank, at = who[a, CORE], who[a, ORDER], key
            if until[c, _FREE] > key:
                own = parked[core[c, _FIRST] :]
                best = core[c, _PARKED] == 0 or rank < own[0, RANK]
                core[c, _PARKED] = push(own, core[c, _PARKED], rank, rank, a)
                if best:
                    size = push(heap, size, until[c, _FREE], rank, actions + c)
                    core[c, _TOKENS] += 1
                continue
        else:
            c, d = who[a, CORE], who[a, PEER]
            at = max(start[a], until[c, _FREE], until[d, _FREE])
            now = max(start[a], at - slack_ns)
            if now > key:
                size = push(heap, size, now, who[a, ORDER], a)
                continue
        waited = at > start[a]
        start[a] = at
        if waited:
            cause[a] = core[c, _LAST]
        if a < tasks:
            end = _run_task(times[a], until[c], clock_ns, at)
        else:
            d = who[a, PEER]
            if waited and until[d, _FREE] > until[c, _FREE]:
                cause[a] = core[d, _LAST]
            core[d, _LAST] = a
            end = _meet(times[a], until[c], until[d], at)
        core[c, _LAST] = a
        clock_ns[_MAKESPAN] = max(clock_ns[_MAKESPAN], end)
        order[committed], who[a, _WAITING] = a, -1
        committed += 1
        for e in range(edge_start[a], edge_start[a + 1]):
            b = edge_to[e]
            if end >= start[b]:
                start[b], cause[b] = end, a
            who[b, _WAITING] -= 1
            if who[b, _WAITING] == 0:
                rank = who[b, ORDER]
                if rank < limit:
                    size = push(heap, size, start[b], rank, b)
                else:
                    held_size = push(held, held_size, rank, rank, b)
        while oldest < actions and who[by_rank[oldest], _WAITING] < 0:
            oldest += 1
        if oldest < actions:
            limit = who[by_rank[oldest], ORDER] + window
            while held_size > 0 and held[0, KEY] < limit:
                b, _, held_size = pop(held, held_size)
                size = push(heap, size, start[b], who[b, ORDER], b)
    return committed


def repeat_rounds(
    order: LongArray, tasks: int, who: LongArray, times: DoubleArray, cores: int, rounds: int = ROUNDS
) -> tuple[DoubleArray, LongArray, float]:
    """Estimated start and cause of every action in a round that follows others, and the time from round to round, when
    every core takes its actions in that order. Causes are in the same round (-1: none); the rest as in `list_schedule`.

    rounds: 1 for a round that none goes ahead, and its time.
    """
    start, cause, ends = np.zeros(len(order)), np.full(len(order), -1), np.zeros(rounds)
    _repeat(order, tasks, who, times, np.zeros((cores, 2)), start, cause, ends)
    before_ns = ends[-2] if rounds > 1 else 0.0
    return start - before_ns, cause, float(ends[-1] - before_ns)


@kernel
def _repeat(
    order: LongArray,
    tasks: int,
    who: LongArray,
    times: DoubleArray,
    until: DoubleArray,
    start: DoubleArray,
    cause: LongArray,
    ends: DoubleArray,
) -> None:
    """Fill in start and cause of the last round, and the ends of all."""
    clock_ns = np.zeros(2)
    for r in range(len(ends)):
        last = np.full(len(until), -1)
        for a in order:
            c, d = who[a, CORE], who[a, PEER]
            if a < tasks:
                start[a], cause[a] = until[c, _FREE], last[c]
                end = _run_task(times[a], until[c], clock_ns, start[a])
            else:
                start[a] = max(until[c, _FREE], until[d, _FREE])
                cause[a] = last[d] if until[d, _FREE] > until[c, _FREE] else last[c]
                end = _meet(times[a], until[c], until[d], start[a])
                last[d] = a
            last[c] = a
            ends[r] = max(ends[r], end)


@kernel
def _run_task(times: DoubleArray, until: DoubleArray, clock_ns: DoubleArray, at: float) -> float:
    """The end of a task: it keeps its core busy, and the memory server and its switch if it uses them."""
    if times[MEMORY_NS] > 0.0:
        at = max(at, until[_SWITCH], clock_ns[_MEMORY]) + times[MEMORY_NS]
        clock_ns[_MEMORY] = until[_SWITCH] = at
    end: float = at + times[DURATION_NS]
    until[_FREE] = end
    return end


@kernel
def _meet(times: DoubleArray, source: DoubleArray, target: DoubleArray, at: float) -> float:
    """The end of a transfer (docs/timing.md, Rendezvous); source, target: until when the ends and switches are busy."""
    flit_ns = times[LATENCY_NS]
    t1 = max(at, source[_SWITCH]) + flit_ns
    t2 = max(t1, at, target[_SWITCH]) + flit_ns
    t3 = t2 + times[READ_NS]
    t4 = max(t3, t1 + 1.0) + times[FLITS] * flit_ns
    end: float = t4 + times[WRITE_NS]
    source[_SWITCH], target[_SWITCH] = t4, max(target[_SWITCH], t2)
    source[_FREE], target[_FREE] = t3 + 2.0, end + 2.0
    return end
