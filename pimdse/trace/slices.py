"""What every core does when, as slices of few tracks; neighbours of one layer become one slice where there are many."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.attribution import Attribution
from pimcomp.attribution.critical_path import ROW, START_PS, STOP_PS
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa import table
from pimdse.folder.program import ProgramFolder

# The process of the trace that is no core and its tracks; tracks of a core. Above rob_size 1 a core's array groups work
# at the same time: each of their lanes is a track, MATRIX and those behind it.
CHIP = -1
PATH, MEMORY = 0, 1
VECTOR, TRANSFER, WAITS, MATRIX = range(4)
SEVERAL = -3  # layers, or cores waited for, in one joined slice


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Slices:
    """Arrays of one length; times in ps. Slices of one (core, track) follow each other without overlap.

    core: CHIP for PATH and MEMORY. layer: graph node, -1 or SEVERAL. other: the core waited for (WAITS; as in
    attribution.waits) or the one at work (PATH, MEMORY), else 0. row: the first instruction; count: how many are
    joined; work_ps: the time they take together, without the gaps.
    """

    core: LongArray
    track: LongArray
    layer: LongArray
    other: LongArray
    start_ps: LongArray
    stop_ps: LongArray
    row: LongArray
    count: LongArray
    work_ps: LongArray

    def __len__(self) -> int:
        """How many."""
        return len(self.core)

    def take(self, which: npt.NDArray[np.bool_]) -> "Slices":
        """Those that are chosen."""
        return Slices(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


def slices_of(folder: ProgramFolder, found: Attribution) -> Slices:
    """One slice per instruction, wait, request served by the global memory and step of the critical path."""
    parts = (_instructions(folder, found), _waits(folder, found), _memory(folder, found), _path(folder, found))
    joined = Slices(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in Slices.__dataclass_fields__})
    order = np.lexsort((joined.start_ps, joined.track, joined.core))
    return Slices(**{name: getattr(joined, name)[order] for name in Slices.__dataclass_fields__})


def clip(slices: Slices, start_ps: int, stop_ps: int, cores: frozenset[int] | None) -> Slices:
    """The slices that touch [start, stop), of some cores or of all; the chip's own tracks stay."""
    chosen = (slices.start_ps < stop_ps) & (slices.stop_ps > start_ps)
    if cores is not None:
        chosen &= np.isin(slices.core, [CHIP, *sorted(cores)])
    return slices.take(chosen)


def join_neighbours(slices: Slices, limit: int) -> Slices:
    """At most `limit` slices: neighbours with the shortest gaps become one, those of one layer first.

    There may be more where even one slice per track and the critical path's changes of layer or core are more.
    """
    if len(slices) <= limit:
        return slices
    same_track = np.zeros(len(slices), bool)
    same_track[1:] = (slices.core[1:] == slices.core[:-1]) & (slices.track[1:] == slices.track[:-1])
    same_name = same_track.copy()
    same_name[1:] &= (slices.layer[1:] == slices.layer[:-1]) & (slices.other[1:] == slices.other[:-1])
    gap_ps = np.zeros(len(slices), np.int64)
    gap_ps[1:] = slices.start_ps[1:] - slices.stop_ps[:-1]
    alike = same_name
    if (~same_name).sum() > limit:  # the critical path has no gaps: without its names nothing would be left of it
        alike = same_name | (same_track & ~((slices.core == CHIP) & (slices.track == PATH)))
    apart = ~alike
    inside = np.flatnonzero(alike)
    widest = inside[np.argsort(-gap_ps[inside], kind="stable")]
    apart[widest[: max(0, limit - int(apart.sum()))]] = True
    return _joined(slices, np.flatnonzero(apart))


def _joined(slices: Slices, first: npt.NDArray[np.intp]) -> Slices:
    """Runs of slices as one each, beginning at `first`."""
    last = np.append(first[1:], len(slices)) - 1

    def common(values: LongArray) -> LongArray:
        lowest, highest = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
        return np.where(lowest == highest, lowest, SEVERAL)

    return Slices(
        core=slices.core[first],
        track=slices.track[first],
        layer=common(slices.layer),
        other=common(slices.other),
        start_ps=slices.start_ps[first],
        stop_ps=slices.stop_ps[last],
        row=slices.row[first],
        count=np.add.reduceat(slices.count, first),
        work_ps=np.add.reduceat(slices.work_ps, first),
    )


def _slices(
    core: LongArray,
    track: LongArray,
    layer: LongArray | IntArray,
    other: LongArray,
    start: LongArray,
    stop: LongArray,
    row: LongArray,
) -> Slices:
    return Slices(
        core=core,
        track=track,
        layer=layer.astype(np.int64),
        other=other,
        start_ps=start,
        stop_ps=stop,
        row=row,
        count=np.ones(len(core), np.int64),
        work_ps=stop - start,
    )


def _instructions(folder: ProgramFolder, found: Attribution) -> Slices:

    unit, times, core = found.work.unit, found.times, found.links.core
    rows = np.arange(len(unit), dtype=np.int64)
    track = np.where(unit == table.VECTOR, VECTOR, TRANSFER).astype(np.int64)
    fires = np.flatnonzero(unit == table.MATRIX)
    track[fires] = MATRIX + lanes(core[fires], times.started[fires], times.finished[fires])
    none = np.zeros(len(unit), np.int64)
    return _slices(core, track, folder.node, none, times.started, times.finished, rows)


def lanes(core: LongArray, start: LongArray, stop: LongArray) -> LongArray:
    """The lowest lane of its core that is free, for every slice: int64, 0 where slices never overlap."""
    lane = np.zeros(len(core), np.int64)
    _fill_lanes(core, start, stop, np.lexsort((start, core)), lane)
    return lane


@kernel
def _fill_lanes(core: LongArray, start: LongArray, stop: LongArray, order: LongArray, lane: LongArray) -> None:
    until = np.zeros(1, np.int64)  # when each lane is free
    used, now = 0, np.int64(-1)
    for k in order:
        if core[k] != now:
            now, used = core[k], 0
        place = 0
        while place < used and until[place] > start[k]:
            place += 1
        if place == used:
            if used == len(until):
                until = np.concatenate((until, np.zeros(used, np.int64)))
            used += 1
        until[place] = stop[k]
        lane[k] = place


def _waits(folder: ProgramFolder, found: Attribution) -> Slices:
    spans = found.spans
    track = np.full(len(spans.row), WAITS, np.int64)
    core, layer = found.links.core[spans.row], folder.node[spans.row]
    return _slices(core, track, layer, spans.peer, spans.start, spans.stop, spans.row)


def _memory(folder: ProgramFolder, found: Attribution) -> Slices:
    rows = np.flatnonzero(found.work.service)
    stop = found.times.resumed[rows]
    chip = np.full(len(rows), CHIP, np.int64)
    start = stop - found.work.service[rows]
    return _slices(chip, np.full_like(chip, MEMORY), folder.node[rows], found.links.core[rows], start, stop, rows)


def _path(folder: ProgramFolder, found: Attribution) -> Slices:
    """Steps of one instruction are one slice."""
    steps = found.path.segments[::-1]
    row = steps[:, ROW]
    first = np.flatnonzero(np.append(True, row[1:] != row[:-1])) if len(row) else np.zeros(0, np.int64)
    last = np.append(first[1:], len(row)) - 1 if len(row) else first
    row = row[first]
    chip = np.full(len(first), CHIP, np.int64)
    core = found.links.core[row]
    return _slices(
        chip, np.full_like(chip, PATH), folder.node[row], core, steps[first, START_PS], steps[last, STOP_PS], row
    )
