"""Exact replay at any rob_size: in-order dispatch, out-of-order completion, in-order retirement.

Each core runs ahead on its own until its transfer unit needs another core or the global memory; only there do cores
meet. That is exact because cores influence each other through their transfer units alone, one transfer at a time.
`core_step` has the rules of one core; here is what happens between cores.
"""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.timeline.core_step import WOKEN_BY_SWITCH, advance
from pimcomp.timeline.request_queue import ask, next_request
from pimcomp.timeline.run import AT_DATA, AT_EVENT, AT_MEMORY, AT_RECV, AT_SEND, DONE, RUNNING, Run
from pimcomp.timeline.state import (
    AMOUNT,
    ARRIVAL,
    ARRIVED,
    ASKED,
    DELIVERED,
    EVENT,
    LEG,
    RANK,
    RECEIVER,
    ROW,
    SENT,
    SERVICE,
    STARTED,
    STATE,
    SWITCH_FREE,
    TARGET,
    TRANSFER,
    WHEN,
    Longs,
    Machine,
    new_machine,
)
from pimcomp.timeline.work import Instructions, UnitWork


def run_out_of_order(
    stream: Instructions,
    work: UnitWork,
    arch: Arch,
    rounds: int,
    *,
    counting_wait: bool = True,
    rob_size: int | None = None,
) -> Run:
    """Execute `rounds` passes of every core's stream back to back.

    counting_wait: `wait` takes its value off the register once it is reached (the HEAPLab fork); else it needs
    exactly that value and clears the register (upstream). rob_size: another than the chip's.
    """
    machine = new_machine(
        stream,
        work,
        arch,
        rob_size=arch.rob_size if rob_size is None else rob_size,
        rounds=rounds,
        kept_rounds=rounds,
    )
    replay(machine, counting_wait, None)
    return outcome(machine, stream)


def outcome(machine: Machine, stream: Instructions) -> Run:
    """What a replay has left in its machine."""
    state = machine.core[:, STATE].astype(np.uint8)
    blocked_in = machine.slots[np.arange(stream.cores), machine.core[:, TRANSFER], ROW]
    machine.finish[:, stream.tail_bubbles > 0] = -1
    return Run(
        finish=machine.finish,
        state=state,
        at=np.where(state == DONE, -1, blocked_in),
        since=machine.core[:, STARTED],
    )


@kernel
def replay(m: Machine, counting_wait: bool, notes: Longs | None) -> None:
    """Let cores run, pair senders with receivers; when none can move, serve the earliest memory request or `wait`.

    notes: see `advance`.
    Everything a waiting core will ever do happens later than the earliest of those, so serving it is safe.
    """
    for c in range(len(m.core) - 1, -1, -1):
        _let_run(c, m)
    requests = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0))]
    requests.pop()
    memory_free = 0
    while True:
        while m.ready[-1]:
            m.ready[-1] -= 1
            c = m.ready[m.ready[-1]]
            advance(c, m, notes)
            if m.core[c, DELIVERED] >= 0:
                _wake(m.core[c, RECEIVER], m.core[c, DELIVERED], m)
                m.core[c, DELIVERED] = -1
            if notes is not None and (m.core[c, STATE] == AT_MEMORY or m.core[c, STATE] == AT_SEND):
                notes[m.slots[c, m.core[c, TRANSFER], ROW], ARRIVED] = m.core[c, ARRIVAL]
            if m.core[c, STATE] == AT_MEMORY:
                ask(requests, m.core[c, ARRIVAL], m.core[c, SENT], c)
            elif m.core[c, STATE] == AT_SEND or m.core[c, STATE] == AT_RECV:
                _pair(c, m)
        waiter, at = _earliest_wait(m, counting_wait)
        if waiter >= 0 and (not requests or at <= requests[0][0]):
            _take_tokens(waiter, at, m, counting_wait)
            _wake(waiter, at, m)
        elif requests:
            arrived, served = next_request(requests, m.period, m.early)
            memory_free = int(
                max(arrived, memory_free) + m.code[m.slots[served, m.core[served, TRANSFER], ROW], SERVICE]
            )
            m.core[served, SWITCH_FREE] = memory_free
            _wake(int(served), memory_free, m)
        else:
            return


@kernel
def _let_run(c: int, m: Machine) -> None:
    """Core c can make progress."""
    m.core[c, STATE] = RUNNING
    m.ready[m.ready[-1]] = c
    m.ready[-1] += 1


@kernel
def _wake(c: int, now: int, m: Machine) -> None:
    """Wake the transfer unit of core c at `now`."""
    slot = m.core[c, TRANSFER]
    m.slots[c, slot, WHEN] = now
    m.slots[c, slot, ASKED] = now
    m.slots[c, slot, RANK] = WOKEN_BY_SWITCH
    _let_run(c, m)


@kernel
def _pair(c: int, m: Machine) -> None:
    """Grant a transfer if core c and its peer are at its two ends: the sender goes on, the receiver awaits the data."""
    peer = m.code[m.slots[c, m.core[c, TRANSFER], ROW], TARGET]
    wanted = AT_RECV if m.core[c, STATE] == AT_SEND else AT_SEND
    if peer == c or m.core[peer, STATE] != wanted or m.code[m.slots[peer, m.core[peer, TRANSFER], ROW], TARGET] != c:
        return
    a, b = (c, peer) if wanted == AT_RECV else (peer, c)
    reply = m.code[m.slots[b, m.core[b, TRANSFER], ROW], LEG]
    granted = max(m.core[a, ARRIVAL], m.core[b, STARTED], m.core[b, SWITCH_FREE]) + reply
    m.core[b, SWITCH_FREE] = granted
    m.core[b, STATE] = AT_DATA
    _wake(a, granted, m)


@kernel
def _earliest_wait(m: Machine, counting: bool) -> tuple[int, int]:
    """The core whose `wait` is satisfied first by the tokens sent so far, and when; (-1, 0) if none is."""
    best, best_at = -1, 0
    if len(m.tokens) == 1:
        return best, best_at
    for c in range(len(m.core)):
        if m.core[c, STATE] != AT_EVENT:
            continue
        row = m.slots[c, m.core[c, TRANSFER], ROW]
        started = m.core[c, STARTED]
        times = _token_times(c, m.code[row, EVENT], m)
        need = m.code[row, AMOUNT]
        before = _arrived(times, started)
        if before >= need:
            if not counting and before > need:
                continue
            at = started
        elif len(times) >= need:
            at = times[need - 1]
        else:
            continue
        if best < 0 or at < best_at:
            best, best_at = c, at
    return best, best_at


@kernel
def _token_times(c: int, event: int, m: Machine) -> LongArray:
    """Arrival times of the unconsumed tokens for one event register, ascending."""
    times = np.empty(m.tokens[-1, 0], np.int64)
    count = 0
    for k in range(m.tokens[-1, 0]):
        if m.tokens[k, 0] == c and m.tokens[k, 1] == event:
            at = count
            while at > 0 and times[at - 1] > m.tokens[k, 2]:
                times[at] = times[at - 1]
                at -= 1
            times[at] = m.tokens[k, 2]
            count += 1
    return times[:count]


@kernel
def _arrived(times: LongArray, at: int) -> int:
    """How many of ascending times are no later. (np.searchsorted would take numba a second to compile.)"""
    count = 0
    while count < len(times) and times[count] <= at:
        count += 1
    return count


@kernel
def _take_tokens(c: int, at: int, m: Machine, counting: bool) -> None:
    """Consume what a satisfied `wait` takes: its value, or (upstream) everything that has arrived."""
    row = m.slots[c, m.core[c, TRANSFER], ROW]
    event = m.code[row, EVENT]
    times = _token_times(c, event, m)
    left = m.code[row, AMOUNT] if counting else _arrived(times, at)
    if left == 0:
        return
    last = times[left - 1]
    for k in range(m.tokens[-1, 0]):
        if left and m.tokens[k, 0] == c and m.tokens[k, 1] == event and m.tokens[k, 2] <= last:
            m.tokens[k, 0] = -1
            left -= 1
