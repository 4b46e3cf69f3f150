"""What a run of a program leaves behind, and the states a core can be in meanwhile."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import ByteArray, LongArray
from pimcomp.isa.table import LOCAL, MATRIX
from pimcomp.timeline.clock import finish_edge, two_waits_edge
from pimcomp.timeline.work import Instructions, UnitWork

# AT_SEND, AT_RECV: for the peer; AT_DATA: a receiver whose sender has been granted; AT_MEMORY: for the global memory;
# AT_EVENT: in `wait`; DONE: all rounds retired; STOPPED: past the time limit of the run.
RUNNING, AT_SEND, AT_RECV, AT_DATA, AT_MEMORY, AT_EVENT, DONE, STOPPED = range(8)


class Run(NamedTuple):
    """Outcome of a run of `rounds` passes, times in ps.

    finish: int64[rounds, cores], when the last instruction of each round retires (-1: never, also for a core whose
    list ends in a scalar instruction, as in the simulator). state: uint8[cores]; at: int64[cores], index of the
    instruction the core waits in (-1: none); since: int64[cores], when that instruction started.
    """

    finish: npt.NDArray[np.int64]
    state: ByteArray
    at: LongArray
    since: LongArray

    @property
    def latency_ps(self) -> int:
        """When the last core has finished its first round; 0 if none has."""
        return int(self.finish[0].max(initial=0))


def own_work_ps(stream: Instructions, work: UnitWork) -> LongArray:
    """int64[cores]: one round of each core at rob_size 1 if it never had to wait; of transfers only the local part."""
    busy = np.empty(stream.cores, np.int64)
    _own_work(stream, work, busy)
    return busy


@kernel
def local_cost(unit: int, read: int, leg: int, write: int, period: int) -> int:
    """What an instruction that needs no other core adds at rob_size 1 (ps): its unit's time and 2 cycles (mvmul: 3)."""
    if unit == LOCAL:
        return finish_edge(0, read + write, True, period) + 2 * period
    return two_waits_edge(0, read + leg, write, period) + (3 if unit == MATRIX else 2) * period


@kernel
def _own_work(stream: Instructions, work: UnitWork, busy: LongArray) -> None:
    period = work.period
    for core in range(len(busy)):
        total = np.int64(0)
        for i in range(stream.core_start[core], stream.core_start[core + 1]):
            total += stream.bubbles[i] * period
            if work.unit[i] <= LOCAL:
                total += local_cost(work.unit[i], work.read[i], work.leg[i], work.write[i], period)
            else:
                total += work.read[i] + work.write[i] + 2 * period
        busy[core] = total
