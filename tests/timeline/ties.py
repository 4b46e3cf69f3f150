"""Where the simulator's answer hangs on the order in which it serves requests of one instant."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, RECV, SEND, STORE, VECTOR
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.work import Instructions, UnitWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """Requests that reach a server in the same instant as another: of n in one instant, n - 1 are counted.

    global_memory: of all cores. local_memory: at the port of one core, by different units (none at rob_size 1). A unit
    that ends on a clock edge is a contest with the clock, too; where all times are whole cycles that is every
    instruction, and it is not counted.
    """

    global_memory: int
    local_memory: int

    @property
    def total(self) -> int:
        """Both."""
        return self.global_memory + self.local_memory


def contests_of(stream: Instructions, work: UnitWork, times: Times) -> Contests:
    """Count the contests of one pass."""
    core = np.repeat(np.arange(stream.cores), np.diff(stream.core_start))
    unit = work.unit
    shared = (unit == LOAD) | (unit == STORE)
    # Before computing: matrix and vector unit, local moves, the data of a store; after it: results, what has arrived.
    first = (unit == MATRIX) | (unit == VECTOR) | (unit == LOCAL) | (unit == STORE)
    second = (unit == MATRIX) | (unit == VECTOR) | (unit == SEND) | (unit == RECV) | (unit == LOAD)
    at = np.concatenate([times.started[first], times.resumed[second]])
    where = np.concatenate([core[first], core[second]])
    return Contests(
        global_memory=_repeats(np.zeros(int(shared.sum()), np.int64), times.arrived[shared]),
        local_memory=_repeats(where, at),
    )


def _repeats(where: LongArray, at: LongArray) -> int:
    """Pairs (server, time) that have occurred before."""
    order = np.lexsort((at, where))
    where, at = where[order], at[order]
    return int(((np.diff(where) == 0) & (np.diff(at) == 0)).sum())
