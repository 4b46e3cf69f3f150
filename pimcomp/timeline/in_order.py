"""Timing at rob_size 1: one instruction at a time per core, so a chip is a max-plus system of its transfers.

Between two transfers a core's time is a sum; transfers obey the rendezvous recurrence below; loads and stores queue
at the one global memory in order of arrival. Exact up to the order in which the simulator serves events of the same
instant.
"""

import heapq

import numba
import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.run import AT_RECV, AT_SEND, DONE, Run
from pimcomp.timeline.transfers import ASK, GAP, KEY, PORT, THEN, Transfers, edge_after, rows_of
from pimcomp.timeline.work import LOAD, PS_PER_NS, RECV, SEND, Stream


def run_in_order(stream: Stream, transfers: Transfers, rounds: int) -> Run:
    """Execute `rounds` passes of every core's stream back to back at rob_size 1."""
    cores = stream.cores
    finish = np.full((rounds, cores), -1, np.int64)
    state, at, since = np.zeros(cores, np.uint8), np.full(cores, -1, np.int64), np.zeros(cores, np.int64)
    _solve(
        transfers.start, transfers.code, transfers.tail, transfers.period, transfers.aligned,
        np.diff(stream.core_start) > 0, finish, state, at, since,
    )  # fmt: skip
    finish[:, stream.tail_bubbles > 0] = -1
    waiting = at >= 0
    if waiting.any():
        at[waiting] = rows_of(stream)[at[waiting]]
    return Run(finish=finish, state=state, at=at, since=since)


@numba.njit(cache=True)
def _solve(  # noqa: PLR0915  one event loop; splitting it would hide the recurrence
    start: LongArray,
    code: IntArray | LongArray,
    tail: LongArray,
    period: int,
    aligned: bool,
    present: npt.NDArray[np.bool_],
    finish: npt.NDArray[np.int64],
    state: ByteArray,
    at: LongArray,
    since: LongArray,
) -> None:
    """Advance every core to its next transfer; serve pairs when both are there, the memory when nothing else can move.

    A core that cannot move waits for a peer or for the memory, and everything it will ever do happens later than the
    earliest arrival at the memory: serving that one is safe.
    """
    start, code = borrow(start), borrow(code)
    cores, rounds = finish.shape[1], finish.shape[0]
    nxt = start[:-1].copy()
    # The first instruction without bubbles would start at cycle 3: fetched at 0, decoded at 1, dispatched at 2.
    retired = np.full(cores, 2 * period, np.int64)
    switch_free = np.zeros(cores, np.int64)
    arrival = np.zeros(cores, np.int64)
    waits_in = np.full(cores, -1, np.int64)  # KEY of the send or recv that a core's peer has not come to
    done_rounds = np.zeros(cores, np.int64)
    memory_free = 0
    ready = np.flatnonzero(present)[::-1].copy()
    n_ready = len(ready)
    queue = [(np.int64(0), np.int64(0), np.int64(0))]
    queue.pop()
    while True:
        while n_ready:
            n_ready -= 1
            c = ready[n_ready]
            while True:
                if nxt[c] == start[c + 1]:
                    while nxt[c] == start[c + 1] and done_rounds[c] < rounds:
                        retired[c] += tail[c]
                        finish[done_rounds[c], c] = retired[c]
                        done_rounds[c] += 1
                        if done_rounds[c] < rounds:
                            nxt[c] = start[c]
                    if done_rounds[c] == rounds:
                        break
                i = nxt[c]
                begin = retired[c] + code[i, GAP]
                since[c] = begin
                key = code[i, KEY]
                kind, peer = SEND + (key & 3), key >> 2
                if kind == SEND:
                    arrival[c] = max(begin, switch_free[c]) + code[i, ASK]
                    switch_free[c] = arrival[c] + PS_PER_NS  # the simulator's fixed acknowledge, not a clock cycle
                    a, b = c, peer
                    if waits_in[b] != 4 * c + RECV - SEND:
                        waits_in[c] = key
                        break
                    waits_in[b] = -1
                elif kind == RECV:
                    a, b = peer, c
                    if waits_in[a] != 4 * c:
                        waits_in[c] = key
                        break
                    waits_in[a] = -1
                else:
                    sent = max(begin if kind == LOAD else begin + code[i, PORT], switch_free[c])
                    arrival[c] = sent + code[i, ASK]
                    # Of cores that asked and arrive together the simulator serves the last first (its event heap).
                    heapq.heappush(queue, (arrival[c], sent, -c))
                    break
                # a sends, b receives, both are there: grant, read, data, write.
                i, j = nxt[a], nxt[b]
                reads, writes = code[i, PORT], code[j, PORT]
                granted = max(arrival[a], since[b], switch_free[b]) + code[j, ASK]
                switch_free[b] = granted
                delivered = max(granted + reads, switch_free[a]) + code[i, THEN]
                switch_free[a] = delivered
                retired[a] = edge_after(granted, reads, period, aligned) + period
                retired[b] = edge_after(delivered, writes, period, aligned) + period
                nxt[a] = i + 1
                nxt[b] = j + 1
                ready[n_ready] = a
                n_ready += 1
                c = b
        if not queue:
            break
        arrived, _, last = heapq.heappop(queue)
        served = -last
        i = nxt[served]
        memory_free = int(max(arrived, memory_free) + code[i, THEN])
        switch_free[served] = memory_free
        # A load still writes what it got; both are woken by the switch, hence after the clock.
        writes = code[i, PORT] if SEND + (code[i, KEY] & 3) == LOAD else 0
        retired[served] = edge_after(memory_free, writes, period, aligned) + period
        nxt[served] += 1
        ready[n_ready] = served
        n_ready += 1
    for c in range(cores):
        state[c] = DONE
        if present[c] and done_rounds[c] < rounds:
            at[c] = nxt[c]
            state[c] = AT_SEND if waits_in[c] & 3 == 0 else AT_RECV
