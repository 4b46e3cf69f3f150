"""Local memory that is too small for a schedule: buffers wait in global memory between their uses.

The order of all actions stays as it is. On a core whose buffers do not fit, local memory becomes a cache that knows the
future: it holds *windows*, byte ranges of buffers, and when there is no room, the window that is used again last leaves
first (L. Belady, IBM Systems Journal 1966). What was written and is needed again is stored in global memory before
and loaded when it is used. Windows are made for single instructions, so that a core only has to hold the operands of
one instruction together and its scratch area. Constants are loaded again where they come from.

A window is a whole small buffer, or the part of a large one that an instruction needs, extended to a grid: rows of wide
maps are not held as a whole by cores that convolve them piece by piece.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.work import LongArray

WHOLE = 1 / 8  # share of local memory up to which a buffer is held as a whole
GRID = 1 / 64  # share of local memory that windows of larger buffers are multiples of
NEVER = 1 << 60
UNMOVED = -(1 << 60)
OPERANDS = ("dst", "src", "src2")
WRITTEN = 0  # which of them
Ranges = list[tuple[int, int]]  # byte ranges of a buffer, sorted, apart


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Byte ranges [low, high) of buffers that instructions use, in the order of (core, position, sub).

    position, sub: of the instruction in the order of its core. place: where the window's address is wanted: operand
    0..2 of tape row `row`, or 3 / 4 for the source and destination of transfer `row`. writes: whether it is written.
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


@dataclass(frozen=True, slots=True, eq=False)
class Spilled:
    """Instructions to be added, and addresses that differ from use to use.

    added: int64[n, 8]: position and sub of the instruction they precede, core, op, dst, src, size, buffer. operand:
    int64[3, tape rows] and move: int64[2, transfers]: local address where the operand's buffer would begin, UNMOVED
    where its one address holds. complete: int64[segments], address of a finished segment, -1 if it was not there as a
    whole or its core is not `spilling`. peak: int64[cores], bytes used, 0 for other cores.
    """

    added: LongArray
    operand: LongArray
    move: LongArray
    complete: LongArray
    spilling: npt.NDArray[np.bool_]
    peak: LongArray

    @property
    def bytes(self) -> int:
        """Moved to and from global memory."""
        return int(self.added[self.added[:, 3] != Op.LLDI, 6].sum())


def buffer_touches(
    flow: Flow, extents: tuple[LongArray, LongArray, LongArray], order: LongArray, cores: npt.NDArray[np.bool_]
) -> Touches:
    """What the instructions of some cores use of their buffers; scratch stays where it is.

    extents: bytes that each instruction writes at dst and reads at src and src2.
    """
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    tape, moved = flow.tape, flow.transfers
    row_core, row_position = flow.core[tape.task], position[tape.task]
    sub = np.arange(len(tape.task)) - flow.task_rows[tape.task]
    parts: list[list[npt.NDArray[np.generic]]] = []
    for place, (name, extent) in enumerate(zip(OPERANDS, extents, strict=True)):
        buffer, low = getattr(tape, f"{name}_buffer"), getattr(tape, f"{name}_offset")
        row = np.flatnonzero((buffer >= 0) & cores[row_core])
        columns = (row_core, row_position, sub, buffer, low, low + extent)
        same = np.full(len(row), place)
        parts.append([*(column[row] for column in columns), same == WRITTEN, same, row])
    move = np.arange(len(moved.bytes))
    ends = ((moved.src_core, moved.src_buffer, moved.src_offset), (moved.dst_core, moved.dst_buffer, moved.dst_offset))
    for end, (core, buffer, low) in enumerate(ends):
        same = np.full(len(move), end)
        columns = (core, position[flow.tasks + move], same * 0, buffer, low, low + moved.bytes)
        both = (*columns, same == 1, same + len(OPERANDS), move)
        parts.append([column[cores[core]] for column in both])
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    by_use = np.lexsort((joined[7], joined[2], joined[1], joined[0]))
    return Touches(*(column[by_use] for column in joined))


def most_held(touches: Touches, arch: Arch) -> LongArray:
    """int64[cores]: bytes that the operands of one instruction take at most."""
    t = touches
    by_buffer = np.lexsort((t.buffer, t.sub, t.position, t.core))
    instruction = np.stack([t.core, t.position, t.sub], axis=1)[by_buffer]
    buffer, low, high = t.buffer[by_buffer], t.low[by_buffer], t.high[by_buffer]
    most = np.zeros(arch.total_cores, dtype=np.int64)
    if not len(buffer):
        return most
    other = np.append(True, (np.diff(instruction, axis=0) != 0).any(axis=1))
    first = np.flatnonzero(other | np.append(True, np.diff(buffer) != 0))
    held = np.maximum.reduceat(high, first) - np.minimum.reduceat(low, first) + arch.element_bytes
    start = np.flatnonzero(other[first])
    np.maximum.at(most, instruction[first[start], 0], np.add.reduceat(held, start))
    return most


def spill(flow: Flow, touches: Touches, base: LongArray, limit: int, gap: int, global_start: int) -> Spilled:
    """Give the buffers of the cores in `touches` addresses that change with time.

    base: int64[cores], bytes below are taken. limit: bytes of local memory, enough for base and `most_held`. gap: bytes
    between windows. global_start: first free byte of global memory.
    """
    result = Spilled(
        np.zeros((0, 8), np.int64),
        np.full((len(OPERANDS), len(flow.tape.op)), UNMOVED, np.int64),
        np.full((2, len(flow.transfers.bytes)), UNMOVED, np.int64),
        np.full(len(flow.segment_buffer), -1, np.int64),
        np.zeros(len(base), bool),
        np.zeros(len(base), np.int64),
    )
    pads: dict[int, Ranges] = {}
    for buffer, offset, size in flow.pads.tolist():
        pads.setdefault(buffer, []).append((offset, offset + size))
    finished: dict[int, list[tuple[int, int, int, int]]] = {}
    chosen = np.flatnonzero(np.isin(flow.core[flow.segment_task], touches.core))
    columns = (flow.segment_task[chosen], chosen, flow.segment_buffer[chosen], *flow.segment_bytes[chosen].T)
    for task, *segment in zip(*(column.tolist() for column in columns), strict=True):
        finished.setdefault(task, []).append((segment[0], segment[1], segment[2], segment[3]))
    of_task = touches.place < len(OPERANDS)
    task_of = np.where(of_task, flow.tape.task[np.where(of_task, touches.row, 0)], -1)
    loads = flow.task_rows[flow.tasks - flow.constant_tasks : flow.tasks]  # a constant's task is one load
    constants = dict(zip(flow.tape.dst_buffer[loads].tolist(), flow.tape.src_offset[loads].tolist(), strict=True))
    added: list[tuple[int, ...]] = []
    bounds = [0, *(np.flatnonzero(np.diff(touches.core)) + 1).tolist(), len(touches.core)] if len(touches.core) else []
    for start, stop in pairwise(bounds):
        core = int(touches.core[start])
        memory = _Memory(core, int(base[core]), limit, gap, flow.buffers.bytes, pads, constants, global_start, added)
        memory.run(touches, task_of, slice(start, stop), finished, result)
        global_start = memory.global_end
        result.spilling[core], result.peak[core] = True, memory.peak
    return Spilled(
        np.array(added, dtype=np.int64).reshape(-1, 8), result.operand, result.move, result.complete, result.spilling,
        result.peak,
    )  # fmt: skip


class _Window:
    """Bytes [low, high) of a buffer at local address `at`; `valid` of them are known; `until`: when it is used next."""

    __slots__ = ("at", "buffer", "dirty", "high", "low", "until", "valid")

    def __init__(self, buffer: int, low: int, high: int) -> None:
        self.buffer, self.low, self.high = buffer, low, high
        self.at, self.dirty, self.until = -1, False, NEVER
        self.valid: Ranges = []

    def write(self, low: int, high: int) -> None:
        self.dirty = True
        if self.valid != [(self.low, self.high)]:
            _add(self.valid, low, high)


class _Memory:
    """The windows in one core's local memory while its instructions go by."""

    def __init__(
        self, core: int, base: int, limit: int, gap: int, sizes: LongArray, pads: dict[int, Ranges],
        constants: dict[int, int], global_end: int, added: list[tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.core, self.base, self.limit, self.gap, self.sizes, self.pads = core, base, limit, gap, sizes, pads
        self.added, self.global_end, self.peak = added, global_end, base
        self.whole, self.grid = int(limit * WHOLE), max(64, int(limit * GRID) // 64 * 64)
        self.windows: list[_Window] = []  # by address
        self.of_buffer: dict[int, list[_Window]] = {}
        self.stored: dict[int, Ranges] = {}  # what global memory holds of a buffer
        self.constants, self.slot = constants, dict(constants)  # where
        self.at = (0, 0)  # position and sub of the current instruction
        self.last = 0  # its last touch
        self.uses: dict[int, tuple[list[int], list[int], list[int]]] = {}  # per buffer: number, low, high of touches

    def run(
        self, t: Touches, task_of: LongArray, mine: slice, finished: dict[int, list[tuple[int, int, int, int]]],
        out: Spilled,
    ) -> None:  # fmt: skip
        """Instructions are runs of touches with equal (position, sub). finished: segments (number, buffer, low, high)
        that a task completes."""
        columns = (t.position, t.sub, t.buffer, t.low, t.high, t.writes, task_of)
        position, sub, buffer, low, high, writes, tasks = (c[mine].tolist() for c in columns)
        base: list[int] = []  # address at which each touch's buffer would begin
        for i, b in enumerate(buffer):
            use = self.uses.setdefault(b, ([], [], []))
            for values, value in zip(use, (i, low[i], high[i]), strict=True):
                values.append(value)
        i, count = 0, len(position)
        while i < count:
            end = i + 1
            while end < count and position[end] == position[i] and sub[end] == sub[i]:
                end += 1
            self.at, self.last = (position[i], sub[i]), end - 1
            needed: dict[int, tuple[int, int]] = {}
            for j in range(i, end):
                a, b = needed.get(buffer[j], (low[j], high[j]))
                needed[buffer[j]] = (min(a, low[j]), max(b, high[j]))
            held = self._hold(needed)
            for j in range(i, end):
                window = held[buffer[j]]
                if writes[j]:
                    window.write(low[j], high[j])
                    if buffer[j] in self.constants:
                        window.dirty, self.stored[buffer[j]] = False, [(low[j], high[j])]
                base.append(window.at - window.low)
            if end == count or position[end] != position[i]:
                for segment, b, first, last in finished.get(tasks[i], ()):
                    found = self._found(b, first, last)
                    if found is not None:
                        out.complete[segment] = found.at + first - found.low
            for window in held.values():
                window.until = self._next(window)
                if window.until == NEVER:
                    self._drop(window)
            i = end
        place, row, at = t.place[mine], t.row[mine], np.array(base, dtype=np.int64)
        move = place >= len(OPERANDS)
        out.operand[place[~move], row[~move]] = at[~move]
        out.move[place[move] - len(OPERANDS), row[move]] = at[move]

    def _hold(self, needed: dict[int, tuple[int, int]]) -> dict[int, _Window]:
        """Windows that cover the ranges, all in memory at the same time."""
        for generous in (True, False):
            held: dict[int, _Window] = {}
            for b, (low, high) in needed.items():
                window = self._found(b, low, high) or self._bring(b, low, high, generous, held)
                if window is None:
                    break
                held[b] = window
            else:
                return held
            for window in list(self.windows):  # too many pieces: begin with an empty memory
                self._drop(window)
        raise AssertionError("`most_held` was not there")

    def _found(self, buffer: int, low: int, high: int) -> _Window | None:
        for window in self.of_buffer.get(buffer, ()):
            if window.low <= low and high <= window.high:
                return window
        return None

    def _bring(self, buffer: int, low: int, high: int, generous: bool, held: dict[int, _Window]) -> _Window | None:
        """A new window around the range, filled with what is known of it; None if there is no room."""
        if generous:
            size = int(self.sizes[buffer])
            if size <= self.whole:
                low, high = 0, size
            else:
                low, high = low // self.grid * self.grid, min(size, -(-high // self.grid) * self.grid)
        for other in [w for w in self.of_buffer.get(buffer, ()) if w.low < high and low < w.high]:
            self._drop(other)
        window = _Window(buffer, low, high)
        if not self._place(window, held):
            return None
        known = _within(self.stored.get(buffer, []), low, high)
        for a, b in known:
            self._add_instruction(Op.LD, window.at + a - low, self.slot[buffer] + a, b - a, buffer)
        window.valid = list(known)
        for a, b in _within(self.pads.get(buffer, []), low, high):
            for c, d in _without(known, a, b):
                self._add_instruction(Op.LLDI, window.at + c - low, 0, d - c, buffer)
                _add(window.valid, c, d)
        return window

    def _place(self, window: _Window, held: dict[int, _Window]) -> bool:
        """The lowest address with room, after as many windows have left as it takes."""
        size = window.high - window.low + self.gap
        while True:
            place, index = self.base, 0
            for other in self.windows:
                if other.at - place >= size:
                    break
                place, index = other.at + other.high - other.low + self.gap, index + 1
            if index < len(self.windows) or self.limit - place >= size:
                window.at = place
                self.windows.insert(index, window)
                self.of_buffer.setdefault(window.buffer, []).append(window)
                self.peak = max(self.peak, place + size)
                return True
            leaving = [w for w in self.windows if held.get(w.buffer) is not w]
            if not leaving:
                return False
            self._drop(max(leaving, key=lambda w: w.until))

    def _drop(self, window: _Window) -> None:
        """Free a window; what was written and is needed again is stored."""
        if window.dirty and window.until != NEVER:
            if window.buffer not in self.slot:
                self.slot[window.buffer] = self.global_end
                self.global_end += -(-int(self.sizes[window.buffer]) // 64) * 64
            stored = self.stored.setdefault(window.buffer, [])
            for a, b in window.valid:
                at = window.at + a - window.low
                self._add_instruction(Op.ST, self.slot[window.buffer] + a, at, b - a, window.buffer)
                _add(stored, a, b)
        self.windows.remove(window)
        self.of_buffer[window.buffer].remove(window)

    def _next(self, window: _Window) -> int:
        """The next touch of a window after the current instruction."""
        numbers, low, high = self.uses[window.buffer]
        for i in range(bisect_right(numbers, self.last), len(numbers)):
            if low[i] < window.high and window.low < high[i]:
                return numbers[i]
        return NEVER

    def _add_instruction(self, op: Op, dst: int, src: int, size: int, buffer: int) -> None:
        self.added.append((*self.at, self.core, int(op), dst, src, size, buffer))


def _within(ranges: Ranges, low: int, high: int) -> Ranges:
    """The parts of the ranges inside [low, high)."""
    return [(max(a, low), min(b, high)) for a, b in ranges if a < high and low < b]


def _without(ranges: Ranges, low: int, high: int) -> Ranges:
    """The parts of [low, high) outside the ranges."""
    parts, at = [], low
    for a, b in _within(ranges, low, high):
        if at < a:
            parts.append((at, a))
        at = b
    return [*parts, (at, high)] if at < high else parts


def _add(ranges: Ranges, low: int, high: int) -> None:
    """Add [low, high) to the ranges; those that touch become one."""
    for a, b in [(a, b) for a, b in ranges if a <= high and low <= b]:
        ranges.remove((a, b))
        low, high = min(a, low), max(b, high)
    ranges.append((low, high))
    ranges.sort()
