"""Local memory that is too small for a schedule: buffers wait in global memory between their uses.

The order of all actions stays as it is. On a core whose buffers do not fit, local memory becomes a cache that knows the
future: it holds *windows*, byte ranges of buffers, and when there is no room, the window that is used again last leaves
first (L. Belady, IBM Systems Journal 1966). What was written and is needed again is stored in global memory before
and loaded when it is used. Windows are made for single instructions, so that a core only has to hold the operands of
one instruction together and its scratch area. Constants are loaded again where they come from.

A window is a whole small buffer, or the part of a large one that an instruction needs, extended to a grid: rows of wide
maps are not held as a whole by cores that convolve them piece by piece.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.windows import Completed, Contents, Room, Uses, hold_windows
from pimcomp.schedule.work import LongArray, same, select, stack

WHOLE = 1 / 8  # share of local memory up to which a buffer is held as a whole
GRID = 1 / 64  # share of local memory that windows of larger buffers are multiples of
UNMOVED = -(1 << 60)
OPERANDS = ("dst", "src", "src2")
WRITTEN = 0  # which of them


class Touches(NamedTuple):
    """Byte ranges [low, high) of buffers that instructions use, in the order of (core, position, sub).

    position, sub: of the instruction in the order of its core. buffer: number of its image times all buffers, plus that
    in the flow; constants are those of image 0. place: where the window's address is wanted: operand 0..2 of tape row
    `row`, or 3 / 4 for the source and destination of transfer `row`, of `image`. writes: whether it is written.
    """

    core: LongArray
    position: LongArray
    sub: LongArray
    buffer: LongArray
    low: LongArray
    high: LongArray
    writes: npt.NDArray[np.bool_]
    place: LongArray
    row: LongArray
    image: LongArray


class Added(NamedTuple):
    """Instructions to be added: position and sub of the instruction they precede; buffer of the flow."""

    position: LongArray
    sub: LongArray
    core: LongArray
    op: LongArray
    dst: LongArray
    src: LongArray
    size: LongArray
    buffer: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Spilled:
    """Instructions to be added, and addresses that differ from use to use.

    operand: int64[images, 3, tape rows] and move: int64[images, 2, transfers]: local address where the operand's buffer
    would begin, UNMOVED where its one address holds. complete: int64[images, segments], address of a finished segment,
    -1 if it was not there as a whole or its core is not `spilling`. peak: int64[cores], bytes used, 0 for other cores.
    """

    added: Added
    operand: LongArray
    move: LongArray
    complete: LongArray
    spilling: npt.NDArray[np.bool_]
    peak: LongArray

    @property
    def bytes(self) -> int:
        """Moved to and from global memory."""
        return int(self.added.size[self.added.op != Op.LLDI].sum())


def buffer_touches(
    flow: Flow, extents: tuple[LongArray, LongArray, LongArray], position: LongArray, cores: npt.NDArray[np.bool_]
) -> Touches:
    """What the instructions of some cores use of their buffers; scratch stays where it is.

    extents: bytes that each instruction writes at dst and reads at src and src2. position: int64[images, actions of the
    flow], in the order.
    """
    tape, moved, count = flow.tape, flow.transfers, len(flow.buffers.core)
    row_core = flow.core[tape.task]
    sub = np.arange(len(tape.task)) - flow.task_rows[tape.task]
    once = tape.task >= flow.tasks - flow.constant_tasks  # constants are loaded for the first image
    move = np.arange(len(moved.bytes))
    ends = ((moved.src_core, moved.src_buffer, moved.src_offset), (moved.dst_core, moved.dst_buffer, moved.dst_offset))
    parts: list[list[npt.NDArray[np.generic]]] = []
    for image, at in enumerate(position):
        for place, (name, extent) in enumerate(zip(OPERANDS, extents, strict=True)):
            buffer, low = getattr(tape, f"{name}_buffer"), getattr(tape, f"{name}_offset")
            row = np.flatnonzero((buffer >= 0) & cores[row_core] & ~(once & (image > 0)))
            number = buffer + np.where(buffer < count - flow.constant_tasks, image * count, 0)
            columns = (row_core, at[tape.task], sub, number, low, low + extent)
            same = np.full(len(row), place)
            parts.append([*(column[row] for column in columns), same == WRITTEN, same, row, same * 0 + image])
        for end, (core, buffer, low) in enumerate(ends):
            same = np.full(len(move), end)
            columns = (core, at[flow.tasks + move], same * 0, buffer + image * count, low, low + moved.bytes)
            both = (*columns, same == 1, same + len(OPERANDS), move, same * 0 + image)
            parts.append([column[cores[core]] for column in both])
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    by_use = np.lexsort((joined[7], joined[2], joined[1], joined[0]))
    return Touches(*(column[by_use] for column in joined))


def most_held(flow: Flow, extents: tuple[LongArray, LongArray, LongArray], arch: Arch) -> LongArray:
    """int64[cores]: bytes that the operands of one instruction take at most, each buffer from the first byte used to
    the last. extents: as in `buffer_touches`."""
    tape, moved = flow.tape, flow.transfers
    starts = (tape.dst_offset, tape.src_offset, tape.src2_offset)
    buffers = (tape.dst_buffer, tape.src_buffer, tape.src2_buffer)
    operands = [(b, low, low + extent) for b, low, extent in zip(buffers, starts, extents, strict=True)]
    held = np.zeros(len(tape.op), dtype=np.int64)
    for k, (buffer, low, high) in enumerate(operands):
        first, last, counted = low, high, buffer < 0
        for j, (other, start, stop) in enumerate(operands):
            first = np.where(other == buffer, np.minimum(first, start), first)
            last = np.where(other == buffer, np.maximum(last, stop), last)
            counted |= (other == buffer) & (j < k)
        held += np.where(counted, 0, last - first + arch.element_bytes)
    most = np.zeros(arch.total_cores, dtype=np.int64)
    np.maximum.at(most, flow.core[tape.task], held)
    for core in (moved.src_core, moved.dst_core):
        np.maximum.at(most, core, moved.bytes + arch.element_bytes)
    return most


def spill(
    flow: Flow, images: int, touches: Touches, base: LongArray, limit: int, gap: int, global_start: int
) -> Spilled:
    """Give the buffers of the cores in `touches` addresses that change with time.

    base: int64[cores], bytes below are taken. limit: bytes of local memory, enough for base and `most_held`. gap: bytes
    between windows. global_start: first free byte of global memory.
    """
    result = Spilled(
        Added(*np.zeros((8, 0), np.int64)),
        np.full((images, len(OPERANDS), len(flow.tape.op)), UNMOVED, np.int64),
        np.full((images, 2, len(flow.transfers.bytes)), UNMOVED, np.int64),
        np.full((images, len(flow.segment_buffer)), -1, np.int64),
        np.zeros(len(base), bool),
        np.zeros(len(base), np.int64),
    )
    count = len(flow.buffers.core)
    slot = np.full(images * count, -1, dtype=np.int64)
    loads = flow.task_rows[flow.tasks - flow.constant_tasks : flow.tasks]  # a constant's task is one load
    slot[flow.tape.dst_buffer[loads]] = flow.tape.src_offset[loads]
    of_task = touches.place < len(OPERANDS)
    task = np.where(of_task, flow.tape.task[np.where(of_task, touches.row, 0)] + touches.image * flow.tasks, -1)
    added: list[Added] = []
    bounds = [0, *(np.flatnonzero(np.diff(touches.core)) + 1).tolist(), len(touches.core)] if len(touches.core) else []
    for start, stop in pairwise(bounds):
        core = int(touches.core[start])
        mine = select(touches, slice(start, stop))
        segments = np.flatnonzero(flow.segments.owner == core)
        buffers = np.unique(mine.buffer).astype(np.int64)
        at, complete, new, peak, global_start = hold_windows(
            _uses(mine, buffers),
            _contents(flow, buffers, slot, gap),
            _completed(flow, images, segments, task[start:stop], buffers),
            Room(int(base[core]), limit, gap, int(limit * WHOLE), max(64, int(limit * GRID) // 64 * 64)),
            global_start,
        )
        moves = mine.place >= len(OPERANDS)
        result.operand[mine.image[~moves], mine.place[~moves], mine.row[~moves]] = at[~moves]
        result.move[mine.image[moves], mine.place[moves] - len(OPERANDS), mine.row[moves]] = at[moves]
        result.complete[:, segments] = complete.reshape(images, -1)
        result.spilling[core], result.peak[core] = True, peak
        touch, op, dst, src, size, buffer = new.T
        place = (mine.position[touch], mine.sub[touch], same(core, touch))
        added.append(Added(*place, op, dst, src, size, buffers[buffer] % count))
    return replace(result, added=stack(result.added, *added))


def _uses(t: Touches, buffers: LongArray) -> Uses:
    """The touches of one core with its buffers numbered from 0."""
    other = np.append(True, (np.diff(t.position) != 0) | (np.diff(t.sub) != 0))
    number = np.searchsorted(buffers, t.buffer)
    by_buffer = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[by_buffer], np.arange(len(buffers) + 1))
    first = np.append(np.flatnonzero(other), len(other))
    return Uses(first, number, t.low, t.high, t.writes, by_buffer, starts)


def _contents(flow: Flow, buffers: LongArray, slot: LongArray, eb: int) -> Contents:
    """What is known of one core's buffers before its first instruction."""
    count = len(flow.buffers.core)
    sizes = flow.buffers.bytes[buffers % count]
    element = np.append(0, np.cumsum(-(-sizes // eb)))
    padding, padded = np.zeros(element[-1], np.uint8), np.zeros(len(buffers), dtype=bool)
    for image in range(len(slot) // count):
        pads = flow.pads[np.isin(flow.pads[:, 0] + image * count, buffers)]
        number = np.searchsorted(buffers, pads[:, 0] + image * count)
        padded[number] = True
        first = element[number] + pads[:, 1] // eb
        for begin, end in zip(first.tolist(), (first + pads[:, 2] // eb).tolist(), strict=True):
            padding[begin:end] = 1
    place = slot[buffers]
    return Contents(element, sizes, place, place >= 0, padded, padding, np.zeros_like(padding))


def _completed(flow: Flow, images: int, segments: LongArray, task: LongArray, buffers: LongArray) -> Completed:
    """Segments of a core in the order of time."""
    image = np.repeat(np.arange(images), len(segments))
    segments = np.tile(segments, images)
    by_task = np.argsort(task, kind="stable")
    wanted = flow.segments.final[segments] + image * flow.tasks
    last = by_task[np.searchsorted(task[by_task], wanted, side="right") - 1]
    order = np.argsort(last, kind="stable")
    number = np.searchsorted(buffers, flow.segment_buffer[segments] + image * len(flow.buffers.core))
    low, high = flow.segment_bytes[segments].T
    return Completed(order, last[order], number[order], low[order], high[order])
