"""Timing at rob_size 1: one instruction at a time per core, so a chip is a max-plus system of its transfers.

Between two transfers a core's time is a sum; transfers obey the rendezvous recurrence below; loads and stores queue
at the one global memory in order of arrival. Exact up to the order in which the simulator serves events of the same
instant.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, RECV, SEND, STORE
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.early_waits import early_waits
from pimcomp.timeline.prefetch import prefetch
from pimcomp.timeline.request_queue import ask, next_request
from pimcomp.timeline.run import AT_RECV, AT_SEND, DONE, Run
from pimcomp.timeline.transfers import (
    ASK,
    BEATS_BIT,
    GAP,
    KEY,
    KIND,
    PEER_BIT,
    PEERS,
    THEN,
    Transfers,
    edge_after,
    rows_of,
)
from pimcomp.timeline.work import PS_PER_NS, Instructions, beats_ps, borrowed

# Each core walks along rows of its own, too many streams for the processor to foresee: twice as fast with this.
_AHEAD = 6
WHOM = (1 << BEATS_BIT) - 1  # the part of a KEY that names unit and peer


def run_in_order(stream: Instructions, transfers: Transfers, rounds: int) -> Run:
    """Execute `rounds` passes of every core's stream back to back at rob_size 1."""
    cores = stream.cores
    found = Run(
        finish=np.full((rounds, cores), -1, np.int64),
        state=np.zeros(cores, np.uint8),
        at=np.full(cores, -1, np.int64),
        since=np.zeros(cores, np.int64),
    )
    _solve(transfers, early_waits(stream, transfers.tables, transfers.period), np.diff(stream.core_start) > 0, found)
    found.finish[:, stream.tail_bubbles > 0] = -1
    waiting = found.at >= 0
    if waiting.any():
        found.at[waiting] = rows_of(stream)[found.at[waiting]]
    return found


@kernel
def _solve(  # noqa: PLR0915  one event loop; splitting it would hide the recurrence
    transfers: Transfers, early: LongArray, present: npt.NDArray[np.bool_], found: Run
) -> None:
    """Advance every core to its next transfer; serve pairs when both are there, the memory when nothing else can move.

    A core that cannot move waits for a peer or for the memory, and everything it will ever do happens later than the
    earliest arrival at the memory: serving that one is safe.
    """
    finish, state, at, since = borrow(found)
    start, code, tables = borrow(transfers.start), borrow(transfers.code), borrowed(transfers.tables)
    tail, period, aligned = transfers.tail, transfers.period, transfers.aligned
    cores, rounds = finish.shape[1], finish.shape[0]
    nxt = start[:-1].copy()
    # The first instruction without bubbles would start at cycle 3: fetched at 0, decoded at 1, dispatched at 2.
    retired = np.full(cores, 2 * period, np.int64)
    switch_free = np.zeros(cores, np.int64)
    waits_in = np.full(cores, -1, np.int64)  # KEY of the send or recv that a core's peer has not come to
    done_rounds = np.zeros(cores, np.int64)
    memory_free = 0
    ready = np.flatnonzero(present)[::-1].copy()
    n_ready = len(ready)
    queue = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0))]
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
                if key & KIND > RECV - SEND:
                    if key & KIND == STORE - SEND:
                        begin += beats_ps(int(key >> BEATS_BIT), 0, tables)
                    sent = max(begin, switch_free[c])
                    ask(queue, sent + code[i, ASK], sent, c)
                    break
                # Arithmetic, not branches: whether a core sends or receives cannot be predicted.
                receives, peer = key & KIND, (key >> PEER_BIT) & PEERS
                if waits_in[peer] != (c << PEER_BIT | 1 - receives):
                    waits_in[c] = key & WHOM
                    break
                waits_in[peer] = -1
                a = c + receives * (peer - c)
                b = c + peer - a
                # a sends, b receives, both are there: grant, read, data, write.
                i, j = nxt[a], nxt[b]
                reads = beats_ps(int(code[i, KEY] >> BEATS_BIT), 0, tables)
                writes = beats_ps(int(code[j, KEY] >> BEATS_BIT), 1, tables)
                asked = max(since[a], switch_free[a]) + code[i, ASK]
                granted = max(asked, since[b], switch_free[b]) + code[j, ASK]
                switch_free[b] = granted
                # A sender's switch is free 1 ns behind its request: the simulator's fixed acknowledge, no clock cycle.
                delivered = max(granted + reads, asked + PS_PER_NS) + code[i, THEN]
                switch_free[a] = delivered
                retired[a] = edge_after(granted, reads, period, aligned) + period
                retired[b] = edge_after(delivered, writes, period, aligned) + period
                nxt[a] = i + 1
                nxt[b] = j + 1
                prefetch(code, i + _AHEAD)
                prefetch(code, j + _AHEAD)
                ready[n_ready] = a
                n_ready += 1
                c = b
        if not queue:
            break
        arrived, served = next_request(queue, period, early)
        i = nxt[served]
        memory_free = int(max(arrived, memory_free) + code[i, THEN])
        switch_free[served] = memory_free
        # A load still writes what it got; both are woken by the switch, hence after the clock.
        writes = 0
        if SEND + (code[i, KEY] & KIND) == LOAD:
            writes = beats_ps(int(code[i, KEY] >> BEATS_BIT), 1, tables)
        retired[served] = edge_after(memory_free, writes, period, aligned) + period
        nxt[served] += 1
        ready[n_ready] = served
        n_ready += 1
    for c in range(cores):
        state[c] = DONE
        if present[c] and done_rounds[c] < rounds:
            at[c] = nxt[c]
            state[c] = AT_SEND if waits_in[c] & KIND == 0 else AT_RECV
