"""What the simulators print in throughput mode: how many rounds fit into the simulated time.

Every core repeats its list by itself. A round counts when the list's last entry is *fetched* (not when it retires), so a count
can be one too high; upstream averages the cores, the HEAPLab fork takes the slowest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Program
from pimcomp.timeline.core_step import Chip
from pimcomp.timeline.out_of_order import code_of, new_cores, replay
from pimcomp.timeline.work import PS_PER_NS, Stream, Work, stream_of, work_of

# The entry at list position p is fetched one cycle after position p - 3 has left the dispatcher: it then moves from nowhere
# into the fetch stage while p - 2 enters the dispatcher and p - 1 the decoder.
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


def count_stream_rounds(stream: Stream, work: Work, arch: Arch, sim_time_ns: float) -> RoundCount:
    """The same for a program of any origin. The simulation stops just before `sim_time_ns`."""
    limit = round(sim_time_ns * PS_PER_NS)
    present = np.diff(stream.core_start) > 0
    if not present.any():
        raise InvariantError("a program without instructions has no rounds")
    # No round takes less than one cycle per list entry.
    slots = _list_lengths(stream)
    rounds = int(limit // (slots[present].min() * work.period)) + 2
    cores = new_cores(stream, work, arch.rob_size, 1)
    _set_marks(stream, slots, cores.mark_row, cores.mark_slot, cores.fetched, limit // work.period)
    replay(code_of(stream, work, arch), cores, Chip(work.period, limit, rounds), True)
    counted = np.where(slots == 1, 1, cores.fetched)  # a list of one entry never restarts
    return RoundCount(sim_time_ns=sim_time_ns, per_core=counted[present])


def _list_lengths(stream: Stream) -> LongArray:
    """int64[cores]: entries of each core's list, scalar instructions included."""
    bubbles = np.concatenate([[0], np.cumsum(stream.bubbles, dtype=np.int64)])
    inside = bubbles[stream.core_start[1:]] - bubbles[stream.core_start[:-1]]
    return np.asarray(np.diff(stream.core_start) + inside + stream.tail_bubbles, np.int64)


def _set_marks(
    stream: Stream, slots: LongArray, mark_row: LongArray, mark_slot: LongArray, fetched: LongArray, cycles: int
) -> None:
    """Per core, whose leaving the dispatcher lets the last entry be fetched.

    mark_row: an instruction; mark_slot: which of its bubbles (its own number of bubbles: the instruction itself; negative: a
    trailing bubble of the round before, counted from its end). fetched: rounds whose last entry is fetched before anything
    has left.
    """
    for core in np.flatnonzero(slots > 1):
        n = int(slots[core])
        position, early = n - 1 - _FETCH_AHEAD, 0
        while position < 0:
            position, early = position + n, early + 1
        mark_row[core], mark_slot[core] = _locate(stream, int(core), position)
        fetched[core] = sum(1 for r in range(early) if r * n + n - 1 < cycles)


def _locate(stream: Stream, core: int, position: int) -> tuple[int, int]:
    """(instruction, bubble) at a position of a core's list; see `_set_marks` for the bubble's number."""
    first, stop = int(stream.core_start[core]), int(stream.core_start[core + 1])
    ends = np.cumsum(_bubbles(stream.bubbles, first, stop) + 1)
    row = int(np.searchsorted(ends, position, side="right"))
    if row == stop - first:
        return first, position - int(ends[-1]) - int(stream.tail_bubbles[core])
    return first + row, position - (int(ends[row]) - int(stream.bubbles[first + row]) - 1)


def _bubbles(bubbles: IntArray, first: int, stop: int) -> npt.NDArray[np.int64]:
    return bubbles[first:stop].astype(np.int64)
