"""The rules of one core at any rob_size, as kernels over its state.

Times are ps. An instruction dispatched at clock edge d starts one cycle later (an mvmul, through the array-group
dispatcher, two); its unit is free again at the edge F that sees it finish, its reorder-buffer entry and its hazards one
cycle after F. Docs: docs/timing.md.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.timeline.clock import finish_edge, runs_after_clock
from pimcomp.timeline.hazards import conflict
from pimcomp.timeline.run import AT_EVENT, AT_MEMORY, AT_RECV, AT_SEND, DONE, RUNNING, STOPPED
from pimcomp.timeline.work import LOAD, LOCAL, MATRIX, PS_PER_NS, RECV, SEND, STORE, SYNC, VECTOR

UNKNOWN = 1 << 60
NEVER = UNKNOWN - 1  # the latest time that is known
Longs2D = npt.NDArray[np.int64]

# Order of local-memory requests of one instant: units that wake from a wait, transfers woken by another core, new starts.
_WOKEN, _WOKEN_BY_SWITCH, _STARTED, _STARTED_GROUP = range(4)


class Code(NamedTuple):
    """The program: columns of Stream and Work, and the hazard ranges."""

    core_start: LongArray
    unit: ByteArray
    bubbles: IntArray
    tail_bubbles: IntArray
    read: LongArray
    compute: LongArray
    write: LongArray
    request: LongArray
    reply: LongArray
    payload: LongArray
    service: LongArray
    group: IntArray
    peer: IntArray
    event: IntArray
    amount: IntArray
    ranges: Longs2D


class Cores(NamedTuple):
    """Everything that changes. Per core: int64[cores]; per reorder-buffer slot: int64[cores, rob_size].

    issued: instructions dispatched so far, over all rounds; retired: those whose retirement is known. Instruction number i lives in
    slot i % rob_size. unit_free: [cores, 2], edge from which vector and transfer unit take the next instruction;
    matrix_free likewise for the array-group dispatcher; group_free: [cores, groups], finish edge of a group's latest
    mvmul; held: slot of the mvmul that waits in the dispatcher for its group (-1: none), since edge held_from; committed:
    edge of the latest mvmul commit (one per cycle). blocker: slot without whose commit the next dispatch is unknown.
    when: time of a slot's next event; rank, since: its order among events of one instant; after: see clock; commit: edge
    at which the reorder buffer notes it finished. transfer: slot of the running transfer, started when; its message was sent
    when and has its arrival.
    mark_row, mark_slot, counted, fetched: see `rounds.last_fetch_marks`. tokens: int64[syncs, 3], core, event register and arrival
    of every `sync` so far (core -1: consumed), token_count of them. ready: stack of cores that can run.
    """

    issued: LongArray
    retired: LongArray
    dispatched_at: LongArray
    retired_at: LongArray
    port_free: LongArray
    switch_free: LongArray
    unit_free: Longs2D
    matrix_free: LongArray
    group_free: Longs2D
    held: LongArray
    held_from: LongArray
    committed: LongArray
    blocker: LongArray
    transfer: LongArray
    arrival: LongArray
    sent: LongArray
    state: ByteArray
    started: LongArray
    row: Longs2D
    when: Longs2D
    rank: Longs2D
    asked: Longs2D
    phase: Longs2D
    after: Longs2D
    commit: Longs2D
    retire: Longs2D
    finish: Longs2D
    mark_row: LongArray
    mark_slot: LongArray
    counted: LongArray
    fetched: LongArray
    tokens: Longs2D
    token_count: LongArray
    ready: LongArray
    ready_count: LongArray


class Chip(NamedTuple):
    """Constants of a run: clock period, end of time, rounds."""

    period: int
    limit: int
    rounds: int


@numba.njit(cache=True)
def advance(c: int, code: Code, cores: Cores, chip: Chip) -> None:
    """Run core c until it needs another core or the memory (see its state), or has nothing left to do."""
    rob_size = cores.row.shape[1]
    while True:
        if _dispatch(c, code, cores, chip):
            continue
        slot = -1
        for i in range(cores.retired[c], cores.issued[c]):
            s = i % rob_size
            if cores.when[c, s] != UNKNOWN and (slot < 0 or _earlier(cores, c, s, slot)):
                slot = s
        if slot < 0:
            total = (code.core_start[c + 1] - code.core_start[c]) * chip.rounds
            cores.state[c] = DONE if cores.retired[c] == total else STOPPED
            return
        if cores.when[c, slot] > chip.limit:
            cores.state[c] = STOPPED
            return
        if _event(c, slot, code, cores, chip):
            return


@numba.njit(cache=True)
def _earlier(cores: Cores, c: int, s: int, t: int) -> bool:
    """Whether slot s has its event before slot t."""
    if cores.when[c, s] != cores.when[c, t]:
        return bool(cores.when[c, s] < cores.when[c, t])
    if cores.rank[c, s] != cores.rank[c, t]:
        return bool(cores.rank[c, s] < cores.rank[c, t])
    return bool(cores.asked[c, s] < cores.asked[c, t])


@numba.njit(cache=True)
def _dispatch(c: int, code: Code, cores: Cores, chip: Chip) -> bool:
    """Dispatch the next instruction if the edge at which that happens is known already."""
    number = cores.issued[c]
    length = code.core_start[c + 1] - code.core_start[c]
    if number == length * chip.rounds:
        return False
    rob_size = cores.row.shape[1]
    blocker = cores.blocker[c]
    if blocker >= 0 and cores.commit[c, blocker] == UNKNOWN:
        return False
    slot = number % rob_size
    if number - cores.retired[c] >= rob_size:
        cores.blocker[c] = slot
        return False
    edge = cores.dispatched_at[c] + chip.period
    if number >= rob_size:
        edge = max(edge, cores.retire[c, slot])
    row = code.core_start[c] + number % length
    bubbles = np.int64(code.bubbles[row])
    if number % length == 0 and number:
        bubbles += code.tail_bubbles[c]
    _count_fetch(c, row, number, edge, bubbles, code, cores, chip)
    edge += bubbles * chip.period
    kind = code.unit[row]
    if kind == MATRIX:
        edge = max(edge, cores.matrix_free[c])
    else:
        edge = max(edge, cores.unit_free[c, 0 if kind == VECTOR else 1])
    if edge > chip.limit:
        return False
    for i in range(max(0, number - rob_size + 1), number):
        s = i % rob_size
        if cores.commit[c, s] > edge and conflict(code.ranges, row, cores.row[c, s]):
            if cores.commit[c, s] == UNKNOWN:
                cores.blocker[c] = s
                return False
            edge = cores.commit[c, s]
    if edge > chip.limit:
        return False
    cores.blocker[c] = -1
    if row == cores.mark_row[c] and cores.mark_slot[c] == code.bubbles[row] and edge + chip.period < chip.limit:
        cores.fetched[c] += 1
    _issue(c, slot, row, edge, code, cores, chip)
    return True


@numba.njit(cache=True)
def _count_fetch(
    c: int, row: int, number: int, edge: int, bubbles: int, code: Code, cores: Cores, chip: Chip
) -> None:
    """Count a round if the list's last entry is fetched when a bubble in front of this instruction leaves the dispatcher.

    edge: when the first of its bubbles leaves. An instruction may be tried several times before it is dispatched: `counted`
    makes it count once.
    """
    if row != cores.mark_row[c] or cores.mark_slot[c] >= code.bubbles[row] or number <= cores.counted[c]:
        return
    index = cores.mark_slot[c] + bubbles - code.bubbles[row]
    if index >= 0 and edge + (index + 1) * chip.period < chip.limit:
        cores.fetched[c] += 1
        cores.counted[c] = number


@numba.njit(cache=True)
def _issue(c: int, slot: int, row: int, edge: int, code: Code, cores: Cores, chip: Chip) -> None:
    """Put an instruction into the reorder buffer at `edge` and schedule its start."""
    cores.issued[c] += 1
    cores.dispatched_at[c] = edge
    cores.row[c, slot] = row
    cores.phase[c, slot] = 0
    cores.after[c, slot] = 1
    cores.commit[c, slot] = UNKNOWN
    start = edge + chip.period
    cores.when[c, slot] = start
    cores.asked[c, slot] = start
    cores.rank[c, slot] = _STARTED
    kind = code.unit[row]
    if kind == MATRIX:
        group = code.group[row]
        busy_until = cores.group_free[c, group]
        cores.group_free[c, group] = UNKNOWN
        cores.rank[c, slot] = _STARTED_GROUP
        if busy_until == UNKNOWN:
            cores.held[c] = slot
            cores.held_from[c] = start
            cores.when[c, slot] = UNKNOWN
            cores.matrix_free[c] = UNKNOWN
        else:
            cores.when[c, slot] = max(start, busy_until) + chip.period
            cores.matrix_free[c] = max(start, busy_until)
    elif kind == VECTOR:
        cores.unit_free[c, 0] = UNKNOWN
    else:
        cores.unit_free[c, 1] = UNKNOWN
        cores.transfer[c] = slot


@numba.njit(cache=True)
def _event(c: int, slot: int, code: Code, cores: Cores, chip: Chip) -> bool:
    """Let a slot's event happen. True: the core now waits for others."""
    now = cores.when[c, slot]
    row = cores.row[c, slot]
    kind = code.unit[row]
    if kind <= VECTOR:
        if cores.phase[c, slot] == 0:
            waits = _port(c, now, code.read[row], cores) + code.compute[row]
            cores.after[c, slot] = runs_after_clock(now, waits, True, chip.period)
            _schedule(c, slot, now + waits, now, _WOKEN, cores)
        else:
            waits = _port(c, now, code.write[row], cores)
            resolve(c, slot, finish_edge(now, waits, cores.after[c, slot] == 1, chip.period), code, cores, chip)
        return False
    return _transfer_event(c, slot, now, row, kind, code, cores, chip)


@numba.njit(cache=True)
def _transfer_event(
    c: int, slot: int, now: int, row: int, kind: int, code: Code, cores: Cores, chip: Chip
) -> bool:
    """The same for the transfer unit."""
    first = cores.phase[c, slot] == 0
    if first:
        cores.started[c] = now
    if kind == LOCAL:
        waits = _port(c, now, code.read[row] + code.write[row], cores)
        resolve(c, slot, finish_edge(now, waits, True, chip.period), code, cores, chip)
    elif kind == SEND and first:
        cores.arrival[c] = max(now, cores.switch_free[c]) + code.request[row]
        cores.switch_free[c] = cores.arrival[c] + PS_PER_NS  # the simulator's fixed acknowledge, not a clock cycle
        return _suspend(c, slot, AT_SEND, cores)
    elif kind == SEND:
        waits = _port(c, now, code.read[row], cores)
        cores.switch_free[c] = max(now + waits, cores.switch_free[c]) + code.payload[row]
        receiver = np.int64(code.peer[row])
        resume_transfer(receiver, cores.switch_free[c], cores)
        resolve(c, slot, finish_edge(now, waits, True, chip.period), code, cores, chip)
    elif kind == RECV and first:
        return _suspend(c, slot, AT_RECV, cores)
    elif kind == LOAD and first:
        cores.sent[c] = max(now, cores.switch_free[c])
        cores.arrival[c] = cores.sent[c] + code.request[row]
        return _suspend(c, slot, AT_MEMORY, cores)
    elif kind in (RECV, LOAD):
        waits = _port(c, now, code.write[row], cores)
        resolve(c, slot, finish_edge(now, waits, True, chip.period), code, cores, chip)
    elif kind == STORE and first:
        waits = _port(c, now, code.read[row], cores)
        _schedule(c, slot, now + waits, now, _WOKEN, cores)
    elif kind == STORE:
        cores.sent[c] = max(now, cores.switch_free[c])
        cores.arrival[c] = cores.sent[c] + code.payload[row]
        return _suspend(c, slot, AT_MEMORY, cores)
    elif kind == SYNC:
        cores.switch_free[c] = max(now, cores.switch_free[c]) + code.request[row]
        token = cores.token_count[0]
        cores.token_count[0] += 1
        cores.tokens[token, 0] = code.peer[row]
        cores.tokens[token, 1] = code.event[row]
        cores.tokens[token, 2] = cores.switch_free[c]
        resolve(c, slot, finish_edge(now, chip.period, True, chip.period), code, cores, chip)
    else:
        return _suspend(c, slot, AT_EVENT, cores)
    return False


@numba.njit(cache=True)
def _suspend(c: int, slot: int, state: int, cores: Cores) -> bool:
    cores.when[c, slot] = UNKNOWN
    cores.state[c] = state
    return True


@numba.njit(cache=True)
def resume_transfer(c: int, now: int, cores: Cores) -> None:
    """Wake the transfer unit of core c at `now`."""
    _schedule(c, cores.transfer[c], now, now, _WOKEN_BY_SWITCH, cores)
    let_run(c, cores)


@numba.njit(cache=True)
def let_run(c: int, cores: Cores) -> None:
    """Core c can make progress again."""
    cores.state[c] = RUNNING
    cores.ready[cores.ready_count[0]] = c
    cores.ready_count[0] += 1


@numba.njit(cache=True)
def _schedule(c: int, slot: int, when: int, asked: int, rank: int, cores: Cores) -> None:
    cores.when[c, slot] = when
    cores.asked[c, slot] = asked
    cores.rank[c, slot] = rank
    cores.phase[c, slot] = 1


@numba.njit(cache=True)
def _port(c: int, now: int, duration: int, cores: Cores) -> int:
    """How long a request to the core's one local-memory port takes from `now`, queueing included."""
    cores.port_free[c] = max(now, cores.port_free[c]) + duration
    return cores.port_free[c] - now


@numba.njit(cache=True)
def resolve(c: int, slot: int, edge: int, code: Code, cores: Cores, chip: Chip) -> None:
    """The slot's unit is seen finished at `edge`: free the unit, commit, and retire what is now known."""
    row = cores.row[c, slot]
    kind = code.unit[row]
    cores.when[c, slot] = UNKNOWN
    if kind == MATRIX:
        group = code.group[row]
        cores.committed[c] = max(edge, cores.committed[c] + chip.period)
        cores.commit[c, slot] = cores.committed[c] + chip.period
        held = cores.held[c]
        if held >= 0 and code.group[cores.row[c, held]] == group:
            cores.held[c] = -1
            cores.matrix_free[c] = max(cores.held_from[c], edge)
            cores.when[c, held] = cores.matrix_free[c] + chip.period
            cores.asked[c, held] = cores.when[c, held]
        else:
            cores.group_free[c, group] = edge
    else:
        cores.unit_free[c, 0 if kind == VECTOR else 1] = edge
        cores.commit[c, slot] = edge + chip.period
    rob_size = cores.row.shape[1]
    length = code.core_start[c + 1] - code.core_start[c]
    while cores.retired[c] < cores.issued[c]:
        number = cores.retired[c]
        s = number % rob_size
        if cores.commit[c, s] == UNKNOWN:
            return
        cores.retired_at[c] = max(cores.retired_at[c], cores.commit[c, s])
        cores.retire[c, s] = cores.retired_at[c]
        cores.retired[c] += 1
        if cores.retired[c] % length == 0 and number // length < len(cores.finish):
            cores.finish[number // length, c] = cores.retired_at[c]
