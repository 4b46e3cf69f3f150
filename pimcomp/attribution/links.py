"""Which instruction can have held up which: predecessors on a core's units, partners, order at the global memory."""

from typing import NamedTuple

import numpy as np

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
    matrix, rows = work.unit == MATRIX, np.arange(len(work.unit))
    kind = np.where(matrix, 0, np.where(work.unit == VECTOR, 1, 2))
    message = np.maximum.accumulate(np.where(np.isin(work.unit, (SEND, SYNC)), rows, -1))
    last_message = np.concatenate([[-1], message])[: len(rows)]
    return Links(
        core=core,
        partner=partners(core, work.unit, stream.peer),
        served_before=_served_before(work.unit, times.resumed),
        same_unit=_previous(rows, core, kind),
        same_group=_previous(np.flatnonzero(matrix), core, stream.group),
        last_message=np.where(last_message >= stream.core_start[core], last_message, -1),
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


def _previous(rows: LongArray, core: LongArray, key: IntArray) -> LongArray:
    """Of each of some rows the one before it with the same core and key; -1: none. int64[instructions]."""
    order = rows[np.lexsort((key[rows], core[rows]))]
    earlier, later = order[:-1], order[1:]
    same = (core[earlier] == core[later]) & (key[earlier] == key[later])
    before = np.full(len(core), -1, np.int64)
    before[later[same]] = earlier[same]
    return before
