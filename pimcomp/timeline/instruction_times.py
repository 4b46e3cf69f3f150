"""When every instruction of one pass is dispatched, starts, ends and retires: the timeline's replay, written down."""

import itertools
from typing import NamedTuple

import numpy as np

from pimcomp.errors import DeadlockError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.timeline.deadlock import find_deadlock
from pimcomp.timeline.out_of_order import outcome, replay
from pimcomp.timeline.state import ARRIVED, BEGUN, DISPATCHED, FINISHED, KNOWN, NOTES, RESUMED, new_machine
from pimcomp.timeline.work import Instructions, UnitWork


class Times(NamedTuple):
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


def instruction_times(stream: Instructions, work: UnitWork, arch: Arch) -> Times:
    """Replay one pass at the chip's rob_size. Raises DeadlockError when a core waits forever."""
    machine = new_machine(stream, work, arch, rob_size=arch.rob_size, rounds=1, kept_rounds=1)
    notes = np.full((len(stream.op), NOTES), -1, np.int64)
    replay(machine, True, notes)  # `wait` counts as in the HEAPLab fork
    run = outcome(machine, stream)
    if (deadlock := find_deadlock(stream, run)) is not None:
        raise DeadlockError(deadlock.message(), deadlock)
    columns = np.ascontiguousarray(notes.T)
    return Times(
        dispatched=columns[DISPATCHED],
        started=columns[BEGUN],
        arrived=columns[ARRIVED],
        resumed=columns[RESUMED],
        finished=columns[FINISHED],
        committed=columns[KNOWN],
        retired=_retirements(columns[KNOWN], stream.core_start),
        finish=run.finish[0],
    )


def _retirements(committed: LongArray, core_start: LongArray) -> LongArray:
    """In order: an instruction leaves once all before it have committed."""
    retired = np.empty_like(committed)
    for first, stop in itertools.pairwise(core_start):
        np.maximum.accumulate(committed[first:stop], out=retired[first:stop])
    return retired
