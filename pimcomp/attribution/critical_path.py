"""What the latency is made of: the chain of causes from the end of a pass back to its start.

Every event of the replay happens as soon as the last of its conditions holds (docs/timing.md), so from any event one
can step to that condition: the previous instruction in the reorder buffer, on the unit, on the array group or in a
hazard, the partner of a transfer, the core's own earlier message in its switch, the request served before at the
global memory. Each step takes some time off and names who took it; together they take off exactly the latency. Where
several conditions hold at the same instant, any of them is a cause; one is followed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pimcomp.attribution.links import Links
from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, SYNC, VECTOR, WAIT
from pimcomp.timeline.clock import finish_edge, runs_after_clock
from pimcomp.timeline.hazards import conflict, ranges_of
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.state import Longs
from pimcomp.timeline.work import Instructions, UnitWork

UNITS = ("mvm", "vector", "copy", "network", "global_memory", "local_port", "front_end")
"""Who takes time on the path. copy: moves in local memory, the ends of messages, loads and stores included. network:
requests, grants and data under way. global_memory: the memory at work. local_port: an instruction waits for its core's
local memory, which others use. front_end: scalar instructions, dispatch, retirement."""
MVM, VEC, COPY, NETWORK, GLOBAL_MEMORY, LOCAL_PORT, FRONT_END = range(len(UNITS))

# Events of an instruction that can be a cause; SENT: its message has left the core's switch.
_RETIRE, _COMMIT, _FINISH, _RESUME, _START, _DISPATCH, _SENT, _BEGIN, _UNEXPLAINED = range(9)

# Columns of `Path.segments`.
ROW, UNIT, START_PS, STOP_PS = range(4)


class _Pass(NamedTuple):
    """What the walk reads. ranges: see `hazards`; syncs: rows of all `sync`s."""

    stream: Instructions
    work: UnitWork
    times: Times
    links: Links
    ranges: Longs
    syncs: LongArray
    rob_size: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Path:
    """int64[segments, 4] from the end of the pass to its start, without gaps: row, unit, start_ps, stop_ps."""

    segments: LongArray

    def by_unit(self, labels: LongArray, count: int) -> LongArray:
        """int64[count, units] ps: time on the path by a label per instruction (int[instructions], 0 to count - 1)."""
        sums = np.zeros((count, len(UNITS)), np.int64)
        s = self.segments
        np.add.at(sums, (labels[s[:, ROW]], s[:, UNIT]), s[:, STOP_PS] - s[:, START_PS])
        return sums


def critical_path(stream: Instructions, work: UnitWork, arch: Arch, times: Times, links: Links) -> Path:
    """Explain a pass. Empty if no core reports an end. Raises InvariantError for an event without a cause."""
    if times.latency_ps <= 0:
        return Path(segments=np.zeros((0, 4), np.int64))
    last = int(stream.core_start[int(np.argmax(times.finish)) + 1]) - 1
    syncs = np.flatnonzero(work.unit == SYNC)
    segments, event, row = _walk(last, _Pass(stream, work, times, links, ranges_of(stream, arch), syncs, arch.rob_size))
    if event != _BEGIN:
        core = int(links.core[row])
        raise InvariantError(
            f"core {core}, instruction {row - int(stream.core_start[core])}: event {event} has no cause in the timeline"
        )
    return Path(segments=segments)


@kernel
def _walk(  # noqa: PLR0912, PLR0915  one state machine over the events; splitting it would hide the steps
    last: int, of: _Pass
) -> tuple[Longs, int, int]:
    """(segments, last event, its row). Every branch: what the event waited for, and who used the time since then."""
    stream, work, times, links, syncs, period = of.stream, of.work, of.times, of.links, of.syncs, of.work.period
    out = np.empty((1024, 4), np.int64)
    used = 0
    event, row, now = _RETIRE, last, times.retired[last]
    spans = np.zeros(3, np.int64)  # time taken off by this step ...
    units = np.zeros(3, np.int64)  # ... and by whom, latest first
    while event < _BEGIN:
        kind = work.unit[row]
        spans[:] = 0
        units[:] = FRONT_END
        me, target, then = row, row, _UNEXPLAINED
        started, resumed = times.started[row], times.resumed[row]
        if event == _RETIRE:
            while times.committed[target] != now:
                target -= 1
            then = _COMMIT
        elif event == _COMMIT:
            spans[0] = now - times.finished[row]
            then = _FINISH
        elif event == _FINISH:
            then = _START if kind <= LOCAL or kind == SYNC else _RESUME
            if kind <= VECTOR:
                after = runs_after_clock(started, resumed - started, True, period)
                spans[0] = finish_edge(resumed, work.write[row], after, period) - resumed
                spans[1] = now - resumed - spans[0]  # the write waited for the port
                units[0] = MVM if kind == MATRIX else VEC
                units[1] = LOCAL_PORT
                then = _RESUME
            elif kind == SYNC:
                spans[0], units[0] = now - started, NETWORK
            else:
                begin = started if kind == LOCAL else resumed
                local = work.read[row] * (kind in (LOCAL, SEND)) + work.write[row] * (kind in (LOCAL, RECV, LOAD))
                spans[0] = finish_edge(begin, local, True, period) - begin
                spans[1] = now - begin - spans[0]
                units[0], units[1] = COPY, LOCAL_PORT
        elif event == _RESUME and kind <= VECTOR:
            spans[0] = work.read[row] + work.leg[row]
            spans[1] = now - started - spans[0]
            units[0], units[1] = MVM if kind == MATRIX else VEC, LOCAL_PORT
            then = _START
        elif event == _RESUME and kind == SEND:
            other = links.partner[row]
            spans[0], units[0] = work.leg[other], NETWORK
            at = now - spans[0]
            busy = links.last_message[other]
            if times.started[other] == at:
                target, then = other, _START
            elif times.arrived[row] == at:
                spans[1], units[1] = work.leg[row], NETWORK
                at -= spans[1]
                then = _START if started == at else _SENT
                target = row if started == at else links.last_message[row]
            elif busy >= 0:
                target, then = busy, _SENT
        elif event == _RESUME and kind == RECV:
            target, then = links.partner[row], _RESUME
            spans[0], units[0] = work.payload[target], NETWORK
            rest = now - spans[0] - times.resumed[target]
            spans[1], units[1] = min(rest, work.read[target]), COPY
            spans[2], units[2] = rest - spans[1], LOCAL_PORT
        elif event == _RESUME and kind in (LOAD, STORE):
            spans[0], units[0] = work.service[row], GLOBAL_MEMORY
            at = now - spans[0]
            if times.arrived[row] != at:
                target, then = links.served_before[row], _RESUME
            else:
                spans[1], units[1] = work.leg[row] if kind == LOAD else work.payload[row], NETWORK
                at -= spans[1]
                busy = links.last_message[row]
                free = np.int64(-1) if busy < 0 else _sent_at(busy, of)
                if free == at and free > started + (work.read[row] if kind == STORE else 0):
                    target, then = busy, _SENT
                else:
                    spans[2], units[2] = at - started, COPY  # a store reads first
                    then = _START
        elif event == _RESUME and kind == WAIT:
            then = _START if now == started else _UNEXPLAINED
            for sync in syncs:
                mine = stream.peer[sync] == links.core[row] and stream.event[sync] == stream.event[row]
                if now != started and mine and times.arrived[sync] == now:
                    target, then = sync, _SENT
        elif event == _SENT and kind == SEND:
            target, then = links.partner[row], _RESUME
        elif event == _SENT:  # of a sync
            spans[0], units[0] = work.leg[row], NETWORK
            then = _START if now - spans[0] == started else _SENT
            target = row if then == _START else links.last_message[row]
        elif event == _START:
            if now == times.dispatched[row] + (2 if kind == MATRIX else 1) * period:
                spans[0], then = now - times.dispatched[row], _DISPATCH
            else:  # the array group was at work
                spans[0], target, then = period, links.same_group[row], _FINISH
        elif event == _DISPATCH:
            target, then, spans[0] = _why_dispatched(row, of)
        negative = False
        for k in range(3):
            negative |= spans[k] < 0
            if spans[k] != 0:
                if used == len(out):
                    grown = np.empty((2 * used, 4), np.int64)
                    for i in range(used):
                        for column in range(4):
                            grown[i, column] = out[i, column]
                    out = grown
                out[used, ROW], out[used, UNIT] = me, units[k]
                out[used, START_PS], out[used, STOP_PS] = now - spans[k], now
                used += 1
                now -= spans[k]
        explained = then == _BEGIN or (then != _UNEXPLAINED and target >= 0 and _moment(then, target, of) == now)
        if negative or not explained:
            return out[:used], event, int(row)
        event, row = then, target
    return out[:used], event, int(row)


@kernel
def _sent_at(row: int, of: _Pass) -> int:
    """When a send's or sync's message has left the core's switch."""
    return int(of.times.resumed[of.links.partner[row]] if of.work.unit[row] == SEND else of.times.arrived[row])


@kernel
def _moment(event: int, row: int, of: _Pass) -> int:
    """When an event happened."""
    if event == _SENT:
        return _sent_at(row, of)
    if event == _RETIRE:
        return int(of.times.retired[row])
    if event == _COMMIT:
        return int(of.times.committed[row])
    if event == _FINISH:
        return int(of.times.finished[row])
    if event == _RESUME:
        return int(of.times.resumed[row])
    return int(of.times.started[row] if event == _START else of.times.dispatched[row])


@kernel
def _why_dispatched(row: int, of: _Pass) -> tuple[int, int, int]:
    """(row, event, time between) of what an instruction's dispatch waited for: hazard, unit, reorder buffer, order."""
    work, times, links, period, rob_size = of.work, of.times, of.links, of.work.period, of.rob_size
    now = times.dispatched[row]
    first = of.stream.core_start[links.core[row]]
    for i in range(row - 1, max(first, row - rob_size + 1) - 1, -1):
        if times.committed[i] == now and conflict(of.ranges, 0, row, i):
            return i, _COMMIT, 0
    before = links.same_unit[row]
    if before >= 0 and work.unit[row] != MATRIX and times.finished[before] == now:
        return before, _FINISH, 0
    if before >= 0 and work.unit[row] == MATRIX and times.started[before] - period == now:
        # the dispatcher of the array groups is free once the mvmul in it has gone on to its group
        if times.dispatched[before] + period == now:
            return before, _DISPATCH, period
        return links.same_group[before], _FINISH, 0
    bubbles = of.stream.bubbles[row] * period
    leaving = row - rob_size
    if leaving >= first and times.retired[leaving] == now - bubbles:
        return leaving, _RETIRE, bubbles
    if row > first:
        return row - 1, _DISPATCH, bubbles + period
    return row, _BEGIN, now
