"""What the simulators print in throughput mode: how many rounds fit into the simulated time.

Every core repeats its list by itself. A round counts when the list's last entry is *fetched* (not when it retires),
so a count can be one too high; upstream averages the cores, the HEAPLab fork takes the slowest.
"""

from dataclasses import dataclass

import numpy as np

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray, Program
from pimcomp.timeline.out_of_order import replay
from pimcomp.timeline.state import FETCHED, MARK_BUBBLE, MARK_ROW, new_machine
from pimcomp.timeline.work import PS_PER_NS, Instructions, UnitWork, stream_of, work_of

# The entry at list position p is fetched one cycle after position p - 3 has left the dispatcher: it then moves from
# nowhere into the fetch stage while p - 2 enters the dispatcher and p - 1 the decoder.
_FETCH_AHEAD = 3


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RoundCount:
    """Rounds within `sim_time_ns` per core that has instructions, int64[present cores]."""

    sim_time_ns: float
    per_core: LongArray

    @property
    def upstream(self) -> float:
        """Mean over the cores."""
        return float(self.per_core.mean())

    @property
    def heaplab(self) -> int:
        """The slowest core's."""
        return int(self.per_core.min())

    def time_per_round_ns(self, *, upstream: bool) -> float:
        """What the simulator prints as average latency; infinite when no round is counted."""
        rounds = self.upstream if upstream else self.heaplab
        return self.sim_time_ns / rounds if rounds else float("inf")


def count_rounds(program: Program, arch: Arch, sim_time_ns: float) -> RoundCount:
    """The rounds that both simulators count for a program in throughput mode."""
    stream = stream_of(program, arch)
    return count_stream_rounds(stream, work_of(stream, arch), arch, sim_time_ns)


def count_stream_rounds(stream: Instructions, work: UnitWork, arch: Arch, sim_time_ns: float) -> RoundCount:
    """The same for a program of any origin. The simulation stops just before `sim_time_ns`."""
    limit = round(sim_time_ns * PS_PER_NS)
    present = np.diff(stream.core_start) > 0
    if not present.any():
        raise InvariantError("a program without instructions has no rounds")
    # No round takes less than one cycle per list entry.
    slots = _list_lengths(stream)
    rounds = int(limit // (slots[present].min() * work.period)) + 2
    machine = new_machine(stream, work, arch, rob_size=arch.rob_size, rounds=rounds, kept_rounds=1, limit=limit)
    for core in np.flatnonzero(slots > 1):
        row, bubble, early = _mark(stream, int(core), int(slots[core]))
        machine.core[core, [MARK_ROW, MARK_BUBBLE]] = row, bubble
        length = int(slots[core])
        machine.core[core, FETCHED] = sum(1 for r in range(early) if (r * length + length - 1) * work.period < limit)
    replay(machine, True, None)
    counted = np.where(slots == 1, 1, machine.core[:, FETCHED])  # a list of one entry never restarts
    return RoundCount(sim_time_ns=sim_time_ns, per_core=counted[present])


def _list_lengths(stream: Instructions) -> LongArray:
    """int64[cores]: entries of each core's list, scalar instructions included."""
    bubbles = np.concatenate([[0], np.cumsum(stream.bubbles, dtype=np.int64)])
    inside = bubbles[stream.core_start[1:]] - bubbles[stream.core_start[:-1]]
    return np.asarray(np.diff(stream.core_start) + inside + stream.tail_bubbles, np.int64)


def _mark(stream: Instructions, core: int, length: int) -> tuple[int, int, int]:
    """What has to leave the dispatcher for the last entry of a core's list to be fetched: (instruction, bubble, early).

    bubble: which of the instruction's bubbles (their number: the instruction itself; negative: one that ends the round
    before, counted from its end). early: rounds whose last entry is fetched before anything has left.
    """
    position, early = length - 1 - _FETCH_AHEAD, 0
    while position < 0:
        position, early = position + length, early + 1
    first, stop = int(stream.core_start[core]), int(stream.core_start[core + 1])
    ends = np.cumsum(stream.bubbles[first:stop].astype(np.int64) + 1)
    row = int(np.searchsorted(ends, position, side="right"))
    if row == stop - first:
        return first, position - int(ends[-1]) - int(stream.tail_bubbles[core]), early
    return first + row, position - (int(ends[row]) - int(stream.bubbles[first + row]) - 1), early
