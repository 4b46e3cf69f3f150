"""What every core does with the time of one pass: at work by unit, waiting, idle."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pimcomp.attribution.links import Links
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, SYNC, VECTOR, WAIT
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.work import Instructions, UnitWork

USES = ("mvm", "vector", "copy", "network", "global_memory", "waits_memory", "waits_core", "front_end", "idle")
"""An instant counts for the first of these that is going on. network: the core's own message is under way.
global_memory: it serves this core; waits_memory: it serves others first. waits_core: the other end of a transfer is
not there. front_end: scalar instructions, dispatch, retirement. idle: before the first instruction, after the last."""
MVM, VEC, COPY, NETWORK, GLOBAL_MEMORY, WAITS_MEMORY, WAITS_CORE, FRONT_END, IDLE = range(len(USES))
BoolArray = npt.NDArray[np.bool_]


def core_uses(stream: Instructions, work: UnitWork, times: Times, links: Links) -> LongArray:
    """int64[cores, uses] ps; every row adds up to the latency. Above rob_size 1, units of a core overlap."""
    end = times.latency_ps
    phases = [*_core_phases(stream, work, times, end), *_phases(work, times, links)]
    core, start, stop, use = (np.concatenate([phase[k] for phase in phases]) for k in range(4))
    stop = np.minimum(stop, end)
    kept = np.flatnonzero(start < stop)
    # Sweep over the starts and ends of all phases, core after core, with a count of what is going on.
    core, use, time = np.tile(core[kept], 2), np.tile(use[kept], 2), np.concatenate([start[kept], stop[kept]])
    order = np.argsort(core * (end + 1) + time)
    step = np.repeat(np.array([1, -1]), len(kept))[order]
    core, use, span = core[order], use[order], np.diff(time[order], append=0)
    uses, taken = np.zeros((stream.cores, len(USES)), np.int64), np.zeros(len(order), np.bool_)
    for number in range(len(USES)):
        active = np.cumsum(np.where(use == number, step, 0)) > 0
        mine = np.flatnonzero(active & ~taken)
        np.add.at(uses[:, number], core[mine], span[mine])
        taken |= active
    return uses


_Phase = tuple[LongArray, LongArray, LongArray, LongArray]  # core, from, to, use; of no length where from >= to


def _core_phases(stream: Instructions, work: UnitWork, times: Times, end: int) -> Iterator[_Phase]:
    """What cores do beside their instructions: nothing before the first and after the last, the front end between."""
    core = np.arange(stream.cores)
    begin, last = np.full(stream.cores, end, np.int64), np.full(stream.cores, end, np.int64)
    some = np.flatnonzero(np.diff(stream.core_start))
    first = stream.core_start[some]
    begin[some] = np.minimum(times.dispatched[first] - stream.bubbles[first].astype(np.int64) * work.period, end)
    last[some] = np.minimum(times.retired[stream.core_start[some + 1] - 1], end)
    yield core, np.zeros_like(begin), begin, np.full_like(core, IDLE)
    yield core, begin, last, np.full_like(core, FRONT_END)
    yield core, last, np.full_like(last, end), np.full_like(core, IDLE)


def _phases(work: UnitWork, times: Times, links: Links) -> Iterator[_Phase]:
    """What instructions do between their starts and their ends."""
    unit = work.unit
    wait_from, wait_to = wait_times(work, times, links)
    memory = np.isin(unit, (LOAD, STORE))

    def among(rows: BoolArray, start: LongArray, stop: LongArray, use: LongArray) -> _Phase:
        return links.core[rows], start[rows], stop[rows], use[rows]

    own = np.select([unit == MATRIX, unit == VECTOR, unit == LOCAL], [MVM, VEC, COPY], NETWORK)
    yield among((unit <= LOCAL) | (unit == SYNC), times.started, times.finished, own)
    yield among(unit == WAIT, wait_from, wait_to, np.full_like(own, WAITS_CORE))
    parts = (
        (times.started, wait_from, np.full_like(own, NETWORK)),
        (wait_from, wait_to, np.where(memory, WAITS_MEMORY, WAITS_CORE)),
        (wait_to, times.resumed, np.where(memory, GLOBAL_MEMORY, NETWORK)),
        (times.resumed, times.finished, np.full_like(own, COPY)),
    )
    for part in parts:
        yield among(memory | np.isin(unit, (SEND, RECV)), *part)


def wait_times(work: UnitWork, times: Times, links: Links) -> tuple[LongArray, LongArray]:
    """When every instruction waits for another core or for the memory's queue; from = to if it does not.

    A sender waits once its request has arrived, until the receiver starts; a receiver from its start to the sender's; a
    load or store from its arrival to its service; a `wait` until its tokens are there.
    """
    unit = work.unit
    memory, transfer = np.isin(unit, (LOAD, STORE)), np.isin(unit, (SEND, RECV))
    begin = np.where(memory | (unit == SEND), times.arrived, times.started)
    stop = np.select(
        [transfer, memory, unit == WAIT],
        [np.maximum(begin, times.started[links.partner]), times.resumed - work.service, times.resumed],
        begin,
    )
    return begin, stop
