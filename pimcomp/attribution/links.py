"""Which instruction can have held up which: predecessors on a core's units, partners, order at the global memory."""

from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.isa.table import LOAD, MATRIX, RECV, SEND, STORE, SYNC, VECTOR
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.work import Instructions, UnitWork


class Links(NamedTuple):
    """int64[instructions] each, a row or -1: a tuple of arrays, so that kernels take it.

    core: of the row. partner: other end of a send or recv. served_before: request that the global memory served just
    before this load or store. same_unit: the core's previous instruction on the unit (matrix, vector or transfer).
    same_group: its previous mvmul on the array group. last_message: its previous send or sync.
    """

    core: LongArray
    partner: LongArray
    served_before: LongArray
    same_unit: LongArray
    same_group: LongArray
    last_message: LongArray


def link(stream: Instructions, work: UnitWork, times: Times) -> Links:
    """The links of one finished pass."""
    core = np.repeat(np.arange(stream.cores, dtype=np.int64), np.diff(stream.core_start))
    groups = int(stream.group.max(initial=0)) + 1
    same_unit, same_group, last_message = _own_predecessors(stream.core_start, work.unit, stream.group, groups)
    return Links(
        core=core,
        partner=partners(core, work.unit, stream.peer),
        served_before=_served_before(work.unit, times.resumed),
        same_unit=same_unit,
        same_group=same_group,
        last_message=last_message,
    )


def partners(core: LongArray, unit: ByteArray, peer: IntArray) -> LongArray:
    """The k-th send from a to b meets the k-th recv at b from a. Every transfer of a finished pass has a partner."""
    partner = np.full(len(unit), -1, np.int64)
    sends, receives = np.flatnonzero(unit == SEND), np.flatnonzero(unit == RECV)
    sends = sends[np.lexsort((sends, peer[sends], core[sends]))]
    receives = receives[np.lexsort((receives, core[receives], peer[receives]))]
    partner[sends], partner[receives] = receives, sends
    return partner


def _served_before(unit: ByteArray, resumed: LongArray) -> LongArray:
    requests = np.flatnonzero((unit == LOAD) | (unit == STORE))
    requests = requests[np.argsort(resumed[requests], kind="stable")]
    before = np.full(len(unit), -1, np.int64)
    before[requests[1:]] = requests[:-1]
    return before


@kernel
def _own_predecessors(
    core_start: LongArray, unit: ByteArray, group: IntArray, groups: int
) -> tuple[LongArray, LongArray, LongArray]:
    n = len(unit)
    same_unit, same_group = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    last_message = np.full(n, -1, np.int64)
    for core in range(len(core_start) - 1):
        on_unit, on_group = np.full(3, -1, np.int64), np.full(groups, -1, np.int64)
        message = -1
        for i in range(core_start[core], core_start[core + 1]):
            kind = 0 if unit[i] == MATRIX else (1 if unit[i] == VECTOR else 2)
            same_unit[i] = on_unit[kind]
            on_unit[kind] = i
            last_message[i] = message
            if kind == 0:
                same_group[i] = on_group[group[i]]
                on_group[group[i]] = i
            elif unit[i] in (SEND, SYNC):
                message = i
    return same_unit, same_group, last_message
