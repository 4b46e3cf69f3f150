"""Program and machine as the replay kernels hold them: a few two-dimensional arrays with named columns.

Few arrays on purpose: numba passes every array of a kernel's arguments on each call.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.isa.table import MATRIX, SYNC, WAIT
from pimcomp.timeline.early_waits import early_waits_of
from pimcomp.timeline.hazards import RANGE_COLUMNS, write_ranges
from pimcomp.timeline.work import Instructions, UnitWork

Longs = npt.NDArray[np.int64]

UNKNOWN = 1 << 60
NEVER = UNKNOWN - 1  # the latest time that is known

# Columns of `Machine.code`, one row per instruction: see Instructions and UnitWork. TARGET: group of an mvmul, else the
# peer. The hazard ranges follow from RANGES on.
UNIT, BUBBLES, TARGET, READ, WRITE, LEG, PAYLOAD, SERVICE, EVENT, AMOUNT, RANGES = range(11)
CODE_COLUMNS = RANGES + RANGE_COLUMNS

# Columns of `Machine.core`, one row per core (times in ps, -1: none). ISSUED instructions so far over all rounds,
# RETIRED those whose retirement is known; DISPATCHED_AT, RETIRED_AT when the last of them. PORT_FREE local-memory
# port; SWITCH_FREE network switch; VECTOR_FREE, TRANSFER_FREE, MATRIX_FREE when the unit (the array-group dispatcher)
# takes another instruction. HELD: slot of the mvmul that waits in the dispatcher for its group, since HELD_FROM.
# COMMITTED: edge of the latest mvmul commit (one per cycle). BLOCKER: slot without whose commit the next dispatch is
# unknown. TRANSFER: slot of the running transfer, STARTED when, its message SENT when and at its ARRIVAL. STATE: see
# `run`. MARK_ROW, MARK_BUBBLE: what has to leave the dispatcher for a round to count, COUNTED the instruction it last
# counted for, FETCHED the rounds counted; see `rounds`. FIRST_ROW, END_ROW: its part of the code; NEXT_ROW: the next
# to dispatch, with ROUNDS_LEFT to begin or go on with; ROUND: the one that retires. DELIVERED: when the data it has
# just sent arrives at core RECEIVER.
(
    ISSUED, RETIRED, DISPATCHED_AT, RETIRED_AT, PORT_FREE, SWITCH_FREE, VECTOR_FREE, TRANSFER_FREE, MATRIX_FREE, HELD,
    HELD_FROM, COMMITTED, BLOCKER, TRANSFER, STARTED, SENT, ARRIVAL, STATE, MARK_ROW, MARK_BUBBLE, COUNTED, FETCHED,
    FIRST_ROW, END_ROW, NEXT_ROW, TAIL_BUBBLES, ROUND, ROUNDS_LEFT,
    DELIVERED, RECEIVER,
) = range(30)  # fmt: skip
CORE_COLUMNS = 30

# Columns of `Machine.slots`, per reorder-buffer entry; instruction number i of a core uses slot i modulo the ring's
# length. WHEN its next event happens, RANK and ASKED (when it was scheduled) order events of one instant; PHASE of
# its execution; AFTER: see clock.runs_after_clock; COMMIT: edge at which the buffer learns that it has finished;
# RETIRE: edge at which it leaves.
ROW, WHEN, RANK, ASKED, PHASE, AFTER, COMMIT, RETIRE = range(8)
SLOT_COLUMNS = 8


# Columns of notes on a replay, one row per instruction (ps, -1: never); KNOWN: to the reorder buffer. See Times.
DISPATCHED, BEGUN, ARRIVED, RESUMED, FINISHED, KNOWN = range(6)
NOTES = 6


class Machine(NamedTuple):
    """Program and chip during a replay.

    code: int64[instructions, CODE_COLUMNS]; core: int64[cores, CORE_COLUMNS]; slots: int64[cores, ring,
    SLOT_COLUMNS], ring the power of two from rob_size up; group_free: int64[cores, groups], finish edge of each array
    group's latest mvmul; finish: int64[rounds, cores]; tokens: int64[syncs + 1, 3], core, event register and arrival
    of every `sync` so far (core -1: consumed), their number in the last row; ready: int64[cores + 1], stack of cores
    that can run, its height last; early: see `early_waits`.
    """

    code: Longs
    core: Longs
    slots: Longs
    group_free: Longs
    finish: Longs
    tokens: Longs
    ready: Longs
    early: Longs
    period: int
    limit: int
    rob_size: int


def new_machine(
    stream: Instructions,
    work: UnitWork,
    arch: Arch,
    *,
    rob_size: int,
    rounds: int,
    kept_rounds: int,
    limit: int = NEVER,
) -> Machine:
    """All cores before the first cycle; finish times are kept for the first `kept_rounds` rounds."""
    n = stream.cores
    code = np.empty((len(stream.op), CODE_COLUMNS), np.int64)
    _pack(stream, work, code)
    write_ranges(stream, arch, code, RANGES)
    core = np.zeros((n, CORE_COLUMNS), np.int64)
    core[:, [HELD, BLOCKER, MARK_ROW, COUNTED, DELIVERED]] = -1
    # The first list entry reaches the dispatcher at cycle 2: fetched at 0, decoded at 1.
    core[:, DISPATCHED_AT] = work.period
    core[:, FIRST_ROW] = stream.core_start[:-1]
    core[:, NEXT_ROW] = stream.core_start[:-1]
    core[:, END_ROW] = stream.core_start[1:]
    core[:, ROUNDS_LEFT] = np.where(np.diff(stream.core_start) > 0, rounds, 0)
    core[:, TAIL_BUBBLES] = stream.tail_bubbles
    slots = np.zeros((n, 1 << (rob_size - 1).bit_length(), SLOT_COLUMNS), np.int64)
    slots[:, :, [WHEN, COMMIT]] = UNKNOWN
    groups = int(stream.group[work.unit == MATRIX].max(initial=0)) + 1
    syncs = int((work.unit == SYNC).sum()) * rounds + int((work.unit == WAIT).any())
    return Machine(
        code=code,
        core=core,
        slots=slots,
        group_free=np.zeros((n, groups), np.int64),
        finish=np.full((kept_rounds, n), -1, np.int64),
        tokens=np.zeros((syncs + 1, 3), np.int64),
        ready=np.zeros(n + 1, np.int64),
        early=early_waits_of(stream, arch),
        period=work.period,
        limit=limit,
        rob_size=rob_size,
    )


@kernel
def _pack(stream: Instructions, work: UnitWork, code: Longs) -> None:
    for i in range(len(code)):
        row = code[i]
        row[UNIT] = work.unit[i]
        row[BUBBLES] = stream.bubbles[i]
        row[TARGET] = stream.group[i] if work.unit[i] == MATRIX else stream.peer[i]
        row[READ] = work.read[i]
        row[WRITE] = work.write[i]
        row[LEG] = work.leg[i]
        row[PAYLOAD] = work.payload[i]
        row[SERVICE] = work.service[i]
        row[EVENT] = stream.event[i]
        row[AMOUNT] = stream.size[i]
