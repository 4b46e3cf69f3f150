"""Exact replay at any rob_size: in-order dispatch, out-of-order completion, in-order retirement.

Each core runs ahead on its own until its transfer unit needs another core or the global memory; only there do cores meet.
That is exact because cores influence each other through their transfer units alone, one transfer at a time. `core_step`
has the rules of one core; here is what happens between cores.
"""

import heapq

import numba
import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.timeline.clock import finish_edge
from pimcomp.timeline.core_step import NEVER, UNKNOWN, Chip, Code, Cores, advance, let_run, resolve, resume_transfer
from pimcomp.timeline.hazards import ranges_of
from pimcomp.timeline.run import (
    AT_DATA,
    AT_EVENT,
    AT_MEMORY,
    AT_RECV,
    AT_SEND,
    DONE,
    Run,
    own_work_ps,
)
from pimcomp.timeline.work import LOAD, MATRIX, SYNC, WAIT, Stream, Work


def run_out_of_order(
    stream: Stream, work: Work, arch: Arch, rounds: int, *, counting_wait: bool = True, rob_size: int | None = None
) -> Run:
    """Execute `rounds` passes of every core's stream back to back.

    counting_wait: `wait` takes its value off the register once it is reached (the HEAPLab fork); else it needs exactly that
    value and clears the register (upstream). rob_size: another than the chip's.
    """
    code = code_of(stream, work, arch)
    cores = new_cores(stream, work, arch.rob_size if rob_size is None else rob_size, rounds)
    replay(code, cores, Chip(work.period, NEVER, rounds), counting_wait)
    waiting = cores.state != DONE
    at = np.where(waiting, cores.row[np.arange(stream.cores), cores.transfer], -1)
    cores.finish[:, stream.tail_bubbles > 0] = -1
    return Run(
        finish=cores.finish,
        busy=own_work_ps(stream, work),
        state=cores.state,
        at=at,
        since=cores.started,
    )


def code_of(stream: Stream, work: Work, arch: Arch) -> Code:
    """The columns that the kernels read."""
    return Code(
        core_start=stream.core_start,
        unit=work.unit,
        bubbles=stream.bubbles,
        tail_bubbles=stream.tail_bubbles,
        read=work.read,
        compute=work.compute,
        write=work.write,
        request=work.request,
        reply=work.reply,
        payload=work.payload,
        service=work.service,
        group=stream.group,
        peer=stream.peer,
        event=stream.event,
        amount=stream.size,
        ranges=ranges_of(stream, arch),
    )


def new_cores(stream: Stream, work: Work, rob_size: int, rounds: int) -> Cores:
    """All cores before the first cycle."""
    n = stream.cores
    groups = int(stream.group[work.unit == MATRIX].max(initial=0)) + 1
    syncs = int((work.unit == SYNC).sum()) * rounds + int((work.unit == WAIT).any())

    def per_core(value: int = 0) -> LongArray:
        return np.full(n, value, np.int64)

    def per_slot(value: int = 0) -> LongArray:
        return np.full((n, rob_size), value, np.int64)

    return Cores(
        issued=per_core(),
        retired=per_core(),
        # The first list entry reaches the dispatcher at cycle 2: fetched at 0, decoded at 1.
        dispatched_at=per_core(work.period),
        retired_at=per_core(),
        port_free=per_core(),
        switch_free=per_core(),
        unit_free=np.zeros((n, 2), np.int64),
        matrix_free=per_core(),
        group_free=np.zeros((n, groups), np.int64),
        held=per_core(-1),
        held_from=per_core(),
        committed=per_core(),
        blocker=per_core(-1),
        transfer=per_core(),
        arrival=per_core(),
        sent=per_core(),
        state=np.zeros(n, np.uint8),
        started=per_core(),
        row=per_slot(),
        when=per_slot(UNKNOWN),
        rank=per_slot(),
        asked=per_slot(),
        phase=per_slot(),
        after=per_slot(),
        commit=per_slot(UNKNOWN),
        retire=per_slot(),
        finish=np.full((rounds, n), -1, np.int64),
        mark_row=per_core(-1),
        mark_slot=per_core(),
        counted=per_core(-1),
        fetched=per_core(),
        tokens=np.zeros((syncs, 3), np.int64),
        token_count=np.zeros(1, np.int64),
        ready=np.zeros(n + 1, np.int64),
        ready_count=np.zeros(1, np.int64),
    )


@numba.njit(cache=True)
def replay(code: Code, cores: Cores, chip: Chip, counting_wait: bool) -> None:
    """Let cores run, pair senders with receivers, and when none can move serve the earliest request to the memory or `wait`.

    Everything a waiting core will ever do happens later than the earliest of those, so serving it is safe.
    """
    for c in range(len(cores.state) - 1, -1, -1):
        let_run(c, cores)
    requests = [(np.int64(0), np.int64(0), np.int64(0))]
    requests.pop()
    memory_free = np.int64(0)
    while True:
        while cores.ready_count[0]:
            cores.ready_count[0] -= 1
            c = cores.ready[cores.ready_count[0]]
            advance(c, code, cores, chip)
            if cores.state[c] == AT_MEMORY:
                heapq.heappush(requests, (cores.arrival[c], cores.sent[c], c))
            elif cores.state[c] == AT_SEND or cores.state[c] == AT_RECV:
                _pair(c, code, cores)
        waiter, at = _earliest_wait(code, cores, counting_wait)
        if waiter >= 0 and (not requests or at <= requests[0][0]):
            _take_tokens(waiter, at, code, cores, counting_wait)
            resolve(waiter, cores.transfer[waiter], finish_edge(at, 0, True, chip.period), code, cores, chip)
            let_run(waiter, cores)
            continue
        if not requests:
            return
        arrived, _, c = heapq.heappop(requests)
        row = cores.row[c, cores.transfer[c]]
        memory_free = max(arrived, memory_free) + code.service[row]
        cores.switch_free[c] = memory_free
        if code.unit[row] == LOAD:
            resume_transfer(c, memory_free, cores)
        else:
            resolve(c, cores.transfer[c], finish_edge(memory_free, 0, True, chip.period), code, cores, chip)
            let_run(c, cores)


@numba.njit(cache=True)
def _pair(c: int, code: Code, cores: Cores) -> None:
    """If core c and its peer are at the two ends of one transfer, grant it: the sender goes on, the receiver awaits the data."""
    peer = np.int64(code.peer[cores.row[c, cores.transfer[c]]])
    wanted = AT_RECV if cores.state[c] == AT_SEND else AT_SEND
    if peer == c or cores.state[peer] != wanted or code.peer[cores.row[peer, cores.transfer[peer]]] != c:
        return
    a, b = (c, peer) if wanted == AT_RECV else (peer, c)
    reply = code.reply[cores.row[b, cores.transfer[b]]]
    granted = max(cores.arrival[a], cores.started[b], cores.switch_free[b]) + reply
    cores.switch_free[b] = granted
    cores.state[b] = AT_DATA
    resume_transfer(a, granted, cores)


@numba.njit(cache=True)
def _earliest_wait(code: Code, cores: Cores, counting: bool) -> tuple[int, int]:
    """The core whose `wait` is satisfied first by the tokens sent so far, and when; (-1, 0) if none is."""
    best, best_at = np.int64(-1), np.int64(0)
    if len(cores.tokens) == 0:
        return best, best_at
    for c in range(len(cores.state)):
        if cores.state[c] != AT_EVENT:
            continue
        row = cores.row[c, cores.transfer[c]]
        started = cores.started[c]
        times = _token_times(c, code.event[row], cores)
        need = code.amount[row]
        before = np.searchsorted(times, started, side="right")
        if before >= need:
            if not counting and before > need:
                continue
            at = started
        elif len(times) >= need:
            at = times[need - 1]
        else:
            continue
        if best < 0 or at < best_at:
            best, best_at = np.int64(c), at
    return best, best_at


@numba.njit(cache=True)
def _token_times(c: int, event: int, cores: Cores) -> LongArray:
    """Arrival times of the unconsumed tokens for one event register, ascending."""
    times = np.empty(cores.token_count[0], np.int64)
    count = 0
    for k in range(cores.token_count[0]):
        if cores.tokens[k, 0] == c and cores.tokens[k, 1] == event:
            times[count] = cores.tokens[k, 2]
            count += 1
    return np.sort(times[:count])


@numba.njit(cache=True)
def _take_tokens(c: int, at: int, code: Code, cores: Cores, counting: bool) -> None:
    """Consume what a satisfied `wait` takes: its value, or (upstream) everything that has arrived."""
    row = cores.row[c, cores.transfer[c]]
    event = code.event[row]
    times = _token_times(c, event, cores)
    left = np.int64(code.amount[row]) if counting else np.int64(np.searchsorted(times, at, side="right"))
    if left == 0:
        return
    last = times[left - 1]
    for k in range(cores.token_count[0]):
        if left and cores.tokens[k, 0] == c and cores.tokens[k, 1] == event and cores.tokens[k, 2] <= last:
            cores.tokens[k, 0] = -1
            left -= 1
