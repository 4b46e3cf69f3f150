"""Timing at rob_size 1: one instruction at a time per core, so a chip is a max-plus system of its transfers.

Between two transfers a core's time is a sum; transfers obey the rendezvous recurrence below; loads and stores queue
at the one global memory in order of arrival. Exact up to the order in which the simulator serves events of the same
instant.
"""

import heapq
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.timeline.clock import finish_edge
from pimcomp.timeline.run import AT_MEMORY, AT_RECV, AT_SEND, DONE, RUNNING, Run, local_cost
from pimcomp.timeline.work import LOAD, LOCAL, PS_PER_NS, RECV, SEND, STORE, Stream, Work


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Transfers:
    """A program reduced to its transfers (send, recv, ld, st): `row` of each, `start` int64[cores + 1] into them.

    gap: ps from the retirement of the previous transfer to the start of this one; tail: from a core's last transfer
    to its end.
    """

    start: LongArray
    row: LongArray
    gap: LongArray
    tail: LongArray


def transfers_of(stream: Stream, work: Work) -> Transfers:
    """Sum up what lies between transfers."""
    remote = (work.unit >= SEND) & (work.unit <= STORE)
    counts = np.concatenate([[0], np.cumsum(remote)])
    start = counts[stream.core_start].astype(np.int64)
    row = np.flatnonzero(remote)
    gap = np.empty(len(row), np.int64)
    tail = np.empty(stream.cores, np.int64)
    _collapse(
        stream.core_start, stream.bubbles, stream.tail_bubbles, work.unit, work.read, work.leg, work.write,
        work.period, gap, tail,
    )  # fmt: skip
    return Transfers(start=start, row=row, gap=gap, tail=tail)


def run_in_order(stream: Stream, work: Work, transfers: Transfers, rounds: int) -> Run:
    """Execute `rounds` passes of every core's stream back to back at rob_size 1."""
    cores = stream.cores
    finish = np.full((rounds, cores), -1, np.int64)
    state, at, since = np.zeros(cores, np.uint8), np.full(cores, -1, np.int64), np.zeros(cores, np.int64)
    row = transfers.row
    _solve(
        transfers.start, transfers.gap, transfers.tail, work.unit[row], stream.peer[row], work.read[row],
        work.write[row], work.leg[row], work.payload[row], work.service[row], work.period,
        np.diff(stream.core_start) > 0, finish, state, at, since,
    )  # fmt: skip
    finish[:, stream.tail_bubbles > 0] = -1
    waiting = at >= 0
    at[waiting] = row[at[waiting]]
    return Run(finish=finish, state=state, at=at, since=since)


@numba.njit(cache=True)
def _collapse(
    core_start: LongArray,
    bubbles: IntArray,
    tail_bubbles: IntArray,
    unit: ByteArray,
    read: LongArray,
    leg: LongArray,
    write: LongArray,
    period: int,
    gap: LongArray,
    tail: LongArray,
) -> None:
    """retire(i) = retire(i - 1) + bubbles + duration + 2 cycles, 3 for an mvmul; a transfer starts 1 cycle after."""
    k = 0
    for core in range(len(core_start) - 1):
        since = 0
        for i in range(core_start[core], core_start[core + 1]):
            since += bubbles[i] * period
            if unit[i] <= LOCAL:
                since += local_cost(unit[i], read[i], leg[i], write[i], period)
            else:
                gap[k] = since + period
                since = 0
                k += 1
        tail[core] = since + tail_bubbles[core] * period


@numba.njit(cache=True)
def _solve(  # noqa: PLR0912, PLR0915  one event loop; splitting it would hide the recurrence
    start: LongArray,
    gap: LongArray,
    tail: LongArray,
    unit: ByteArray,
    peer: IntArray,
    read: LongArray,
    write: LongArray,
    leg: LongArray,
    payload: LongArray,
    service: LongArray,
    period: int,
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
    cores, rounds = finish.shape[1], finish.shape[0]
    nxt = start[:-1].copy()
    # The first instruction without bubbles would start at cycle 3: fetched at 0, decoded at 1, dispatched at 2.
    retired = np.full(cores, 2 * period, np.int64)
    switch_free = np.zeros(cores, np.int64)
    arrival = np.zeros(cores, np.int64)
    done_rounds = np.zeros(cores, np.int64)
    memory_free = 0
    ready = np.empty(2 * cores + 2, np.int64)
    n_ready = 0
    for c in range(cores - 1, -1, -1):
        if present[c]:
            ready[n_ready] = c
            n_ready += 1
        else:
            state[c] = DONE
    queue = [(np.int64(0), np.int64(0), np.int64(0))]
    queue.pop()
    while True:
        while n_ready:
            n_ready -= 1
            c = ready[n_ready]
            state[c] = RUNNING
            while nxt[c] == start[c + 1] and done_rounds[c] < rounds:
                retired[c] += tail[c]
                finish[done_rounds[c], c] = retired[c]
                done_rounds[c] += 1
                nxt[c] = start[c]
                if done_rounds[c] == rounds:
                    nxt[c] = start[c + 1]
            if done_rounds[c] == rounds:
                state[c] = DONE
                continue
            i = nxt[c]
            begin = retired[c] + gap[i]
            since[c] = begin
            kind = unit[i]
            if kind == SEND:
                arrival[c] = max(begin, switch_free[c]) + leg[i]
                switch_free[c] = arrival[c] + PS_PER_NS  # the simulator's fixed acknowledge, not a clock cycle
                state[c] = AT_SEND
                a, b = c, np.int64(peer[i])
                if b == c or state[b] != AT_RECV or peer[nxt[b]] != a:
                    continue
            elif kind == RECV:
                state[c] = AT_RECV
                a, b = np.int64(peer[i]), c
                if a == c or state[a] != AT_SEND or peer[nxt[a]] != b:
                    continue
            else:
                if kind == LOAD:
                    sent = max(begin, switch_free[c])
                    arrival[c] = sent + leg[i]
                else:
                    sent = max(begin + read[i], switch_free[c])
                    arrival[c] = sent + payload[i]
                state[c] = AT_MEMORY
                # Of cores that asked and arrive together the simulator serves the last first (its event heap).
                heapq.heappush(queue, (arrival[c], sent, -c))
                continue
            # a sends, b receives, both are there: grant, read, data, write.
            i, j = nxt[a], nxt[b]
            state[a] = RUNNING  # a third core must not meet the state of a transfer that is over
            state[b] = RUNNING
            granted = max(arrival[a], since[b], switch_free[b]) + leg[j]
            switch_free[b] = granted
            delivered = max(granted + read[i], switch_free[a]) + payload[i]
            switch_free[a] = delivered
            retired[a] = finish_edge(granted, read[i], True, period) + period
            retired[b] = finish_edge(delivered, write[j], True, period) + period
            nxt[a] += 1
            nxt[b] += 1
            ready[n_ready] = a
            ready[n_ready + 1] = b
            n_ready += 2
        if not queue:
            break
        arrived, _, last = heapq.heappop(queue)
        served = -last
        i = nxt[served]
        memory_free = int(max(arrived, memory_free) + service[i])
        switch_free[served] = memory_free
        # A load still writes what it got; both are woken by the switch, hence after the clock.
        retired[served] = finish_edge(memory_free, write[i], True, period) + period
        nxt[served] += 1
        ready[n_ready] = served
        n_ready += 1
    for c in range(cores):
        at[c] = -1 if state[c] == DONE else nxt[c]
