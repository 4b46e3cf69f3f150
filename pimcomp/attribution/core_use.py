"""What every core does with the time of one pass: at work by unit, waiting, idle."""

import numpy as np

from pimcomp.attribution.links import Links
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, SYNC, VECTOR, WAIT
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.state import Longs
from pimcomp.timeline.work import Instructions, UnitWork

USES = ("mvm", "vector", "copy", "network", "global_memory", "waits_memory", "waits_core", "front_end", "idle")
"""An instant counts for the first of these that is going on. network: the core's own message is under way.
global_memory: it serves this core; waits_memory: it serves others first. waits_core: the other end of a transfer is
not there. front_end: scalar instructions, dispatch, retirement. idle: before the first instruction, after the last."""
MVM, VEC, COPY, NETWORK, GLOBAL_MEMORY, WAITS_MEMORY, WAITS_CORE, FRONT_END, IDLE = range(len(USES))


def core_uses(stream: Instructions, work: UnitWork, times: Times, links: Links) -> LongArray:
    """int64[cores, uses] ps; every row adds up to the latency. Above rob_size 1, units of a core overlap."""
    uses = np.zeros((stream.cores, len(USES)), np.int64)
    _use(stream, work, times, links, times.latency_ps, uses)
    return uses


@kernel
def _use(stream: Instructions, work: UnitWork, times: Times, links: Links, end: int, uses: Longs) -> None:
    """Sweep over the starts and ends of all phases of a core, with a count of what is going on."""
    for core in range(len(uses)):
        first, stop = stream.core_start[core], stream.core_start[core + 1]
        if first == stop:
            uses[core, IDLE] = end
            continue
        begin = min(times.dispatched[first] - stream.bubbles[first] * work.period, end)
        last = min(times.retired[stop - 1], end)
        # (time, use, +1 or -1): two for each of three phases of the core and at most four of an instruction
        changes = np.empty((6 + 8 * (stop - first), 3), np.int64)
        used = _change(changes, 0, 0, begin, IDLE, end)
        used = _change(changes, used, begin, last, FRONT_END, end)
        used = _change(changes, used, last, end, IDLE, end)
        for i in range(first, stop):
            used = _phases(i, work, times, links, changes, used, end)
        going_on = np.zeros(len(USES), np.int64)
        now = np.int64(0)
        for k in np.argsort(changes[:used, 0]):
            time = changes[k, 0]
            if time > now:
                for use in range(len(USES)):
                    if going_on[use] > 0:
                        uses[core, use] += time - now
                        break
                now = time
            going_on[changes[k, 1]] += changes[k, 2]


@kernel
def _phases(i: int, work: UnitWork, times: Times, links: Links, changes: Longs, used: int, end: int) -> int:
    """Add what instruction i does between its start and its end."""
    started, arrived, resumed, finished = times.started[i], times.arrived[i], times.resumed[i], times.finished[i]
    kind = work.unit[i]
    if kind <= LOCAL:
        use = MVM if kind == MATRIX else (VEC if kind == VECTOR else COPY)
        return _change(changes, used, started, finished, use, end)
    if kind == WAIT:
        return _change(changes, used, started, resumed, WAITS_CORE, end)
    if kind == SYNC:
        return _change(changes, used, started, finished, NETWORK, end)
    if kind in (SEND, RECV):
        wait_from, wait_to = waits_from_to(i, work, times, links)
        used = _change(changes, used, started, wait_from, NETWORK, end)
        used = _change(changes, used, wait_from, wait_to, WAITS_CORE, end)
        used = _change(changes, used, wait_to, resumed, NETWORK, end)
        return _change(changes, used, resumed, finished, COPY, end)
    served = resumed - work.service[i]
    used = _change(changes, used, started, arrived, NETWORK, end)
    used = _change(changes, used, arrived, served, WAITS_MEMORY, end)
    used = _change(changes, used, served, resumed, GLOBAL_MEMORY, end)
    return _change(changes, used, resumed, finished, COPY, end)


@kernel
def waits_from_to(i: int, work: UnitWork, times: Times, links: Links) -> tuple[int, int]:
    """When instruction i waits for another core or for the memory's queue; from = to if it does not.

    A sender waits once its request has arrived, until the receiver starts; a receiver from its start to the sender's; a
    load or store from its arrival to its service; a `wait` until its tokens are there.
    """
    kind, started, arrived = work.unit[i], times.started[i], times.arrived[i]
    if kind == SEND:
        return arrived, max(arrived, times.started[links.partner[i]])
    if kind == RECV:
        return started, max(started, times.started[links.partner[i]])
    if kind in (LOAD, STORE):
        return arrived, times.resumed[i] - work.service[i]
    return started, times.resumed[i] if kind == WAIT else started


@kernel
def _change(changes: Longs, used: int, start: int, stop: int, use: int, end: int) -> int:
    """Note that a use begins and ends, cut off at the end of the pass; returns how many changes are noted now."""
    stop = min(stop, end)
    if start >= stop:
        return used
    changes[used, 0], changes[used, 1], changes[used, 2] = start, use, 1
    changes[used + 1, 0], changes[used + 1, 1], changes[used + 1, 2] = stop, use, -1
    return used + 2
