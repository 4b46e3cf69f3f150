"""When every instruction of one pass is dispatched, starts, ends and retires: the timeline's replay, written down.

The rules are those of `core_step` and `out_of_order`; only the loops over them are repeated here, with notes taken in
between, so that the replay of a search pays nothing for a table that only people look at.
"""

from dataclasses import dataclass

import numpy as np

from pimcomp.errors import DeadlockError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.isa.table import SYNC
from pimcomp.timeline.borrow import borrow
from pimcomp.timeline.core_step import _WAITS_FOR_OTHERS, _dispatch, _event, _finish, _next_event, _retire
from pimcomp.timeline.deadlock import find_deadlock
from pimcomp.timeline.out_of_order import _earliest_wait, _let_run, _pair, _take_tokens, _wake
from pimcomp.timeline.request_queue import ask, next_request
from pimcomp.timeline.run import AT_MEMORY, AT_RECV, AT_SEND, DONE, STOPPED, Run
from pimcomp.timeline.state import (
    ARRIVAL,
    COMMIT,
    DELIVERED,
    DISPATCHED_AT,
    NEXT_ROW,
    PHASE,
    RECEIVER,
    ROUNDS_LEFT,
    ROW,
    SENT,
    SERVICE,
    STARTED,
    STATE,
    SWITCH_FREE,
    TRANSFER,
    UNIT,
    WHEN,
    Longs,
    Machine,
    new_machine,
)
from pimcomp.timeline.work import Stream, Work

# Columns of the notes, one row per instruction.
_DISPATCHED, _STARTED, _ARRIVED, _RESUMED, _FINISHED, _COMMITTED = range(6)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Times:
    """One pass, int64[instructions] in ps from the start of the run.

    dispatched: clock edge at which the instruction leaves the dispatcher. started: its unit begins. arrived: the
    request of a send or sync reaches the receiver, that of a load or store the global memory; -1 for all others.
    resumed: its last event: operands read and result computed (matrix, vector), the receiver's grant (send), all data
    there (recv), the global memory done (load, store); `started` for local moves. finished: edge at which the unit is
    seen done. committed: edge at which the reorder buffer knows. retired: edge at which it leaves, in order.
    finish: int64[cores], when each core ends; -1 for cores without instructions or with a scalar one at the end.
    """

    dispatched: LongArray
    started: LongArray
    arrived: LongArray
    resumed: LongArray
    finished: LongArray
    committed: LongArray
    retired: LongArray
    finish: LongArray

    @property
    def latency_ps(self) -> int:
        """When the last core ends; 0 if none does."""
        return int(self.finish.max(initial=0))


def instruction_times(stream: Stream, work: Work, arch: Arch) -> Times:
    """Replay one pass at the chip's rob_size. Raises DeadlockError when a core waits forever."""
    machine = new_machine(stream, work, arch, rob_size=arch.rob_size, rounds=1, kept_rounds=1)
    notes = np.full((len(stream.op), 6), -1, np.int64)
    _replay(machine, notes)
    finish = machine.finish[0]
    finish[stream.tail_bubbles > 0] = -1
    state: ByteArray = machine.core[:, STATE].astype(np.uint8)
    blocked_in = machine.slots[np.arange(stream.cores), machine.core[:, TRANSFER], ROW]
    at = np.where(state == DONE, -1, blocked_in)
    run = Run(finish=machine.finish, state=state, at=at, since=machine.core[:, STARTED])
    if (deadlock := find_deadlock(stream, run)) is not None:
        raise DeadlockError(deadlock.message(), deadlock)
    columns = np.ascontiguousarray(notes.T)
    return Times(
        dispatched=columns[_DISPATCHED],
        started=columns[_STARTED],
        arrived=columns[_ARRIVED],
        resumed=columns[_RESUMED],
        finished=columns[_FINISHED],
        committed=columns[_COMMITTED],
        retired=_retirements(columns[_COMMITTED], stream.core_start),
        finish=finish,
    )


@kernel
def _retirements(committed: LongArray, core_start: LongArray) -> LongArray:
    """In order: an instruction leaves once all before it have committed."""
    retired = np.empty_like(committed)
    for core in range(len(core_start) - 1):
        latest = np.int64(0)
        for i in range(core_start[core], core_start[core + 1]):
            latest = max(latest, committed[i])
            retired[i] = latest
    return retired


@kernel
def _advance(c: int, m: Machine, notes: Longs) -> None:
    """`core_step.advance` with notes."""
    me, slots, groups = borrow(m.core[c]), borrow(m.slots[c]), borrow(m.group_free[c])
    code, tokens, finish = borrow(m.code), borrow(m.tokens), borrow(m.finish)
    period, limit, rob_size, ring = m.period, m.limit, m.rob_size, m.slots.shape[1] - 1
    while True:
        row = me[NEXT_ROW]
        while _dispatch(me, slots, groups, code, period, limit, rob_size, ring):
            notes[row, _DISPATCHED] = me[DISPATCHED_AT]
            row = me[NEXT_ROW]
        slot = _next_event(me, slots, ring)
        if slot < 0:
            me[STATE] = DONE if me[ROUNDS_LEFT] == 0 else STOPPED
            return
        row = slots[slot, ROW]
        if slots[slot, PHASE] == 0:
            notes[row, _STARTED] = slots[slot, WHEN]
        notes[row, _RESUMED] = slots[slot, WHEN]
        edge = _event(slot, me, slots, code, tokens, period)
        if edge >= 0:
            _finish(slot, edge, me, slots, groups, code, period)
            notes[row, _FINISHED] = edge
            notes[row, _COMMITTED] = slots[slot, COMMIT]
            if code[row, UNIT] == SYNC:
                notes[row, _ARRIVED] = me[SWITCH_FREE]
            _retire(c, me, slots, finish, ring)
        elif edge == _WAITS_FOR_OTHERS:
            return


@kernel
def _replay(m: Machine, notes: Longs) -> None:
    """`out_of_order.replay` of one pass, with notes; `wait` counts as in the HEAPLab fork."""
    for c in range(len(m.core) - 1, -1, -1):
        _let_run(c, m)
    requests = [(np.int64(0), np.int64(0), np.int64(0), np.int64(0))]
    requests.pop()
    memory_free = 0
    while True:
        while m.ready[-1]:
            m.ready[-1] -= 1
            c = m.ready[m.ready[-1]]
            _advance(c, m, notes)
            if m.core[c, DELIVERED] >= 0:
                _wake(m.core[c, RECEIVER], m.core[c, DELIVERED], m)
                m.core[c, DELIVERED] = -1
            state = m.core[c, STATE]
            if state in (AT_MEMORY, AT_SEND):
                notes[m.slots[c, m.core[c, TRANSFER], ROW], _ARRIVED] = m.core[c, ARRIVAL]
            if state == AT_MEMORY:
                ask(requests, m.core[c, ARRIVAL], m.core[c, SENT], c)
            elif state in (AT_SEND, AT_RECV):
                _pair(c, m)
        waiter, at = _earliest_wait(m, True)
        if waiter >= 0 and (not requests or at <= requests[0][0]):
            _take_tokens(waiter, at, m, True)
            _wake(waiter, at, m)
        elif requests:
            arrived, served = next_request(requests, m.period, m.early)
            row = m.slots[served, m.core[served, TRANSFER], ROW]
            memory_free = int(max(arrived, memory_free) + m.code[row, SERVICE])
            m.core[served, SWITCH_FREE] = memory_free
            _wake(int(served), memory_free, m)
        else:
            return
