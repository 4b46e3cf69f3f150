"""One core's local memory as a cache of byte ranges of buffers that knows all coming uses; see `spill`."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.work import ALIGNMENT_BYTES, LongArray

ByteArray = npt.NDArray[np.uint8]

LD, ST, LLDI = int(Op.LD), int(Op.ST), int(Op.LLDI)
NEVER = 1 << 60
# Columns of the table of windows: buffer, its bytes [LOW, HIGH), local address, next use (number of a touch), whether
# it was written since it was loaded, the last instruction that holds it, the next window of the same buffer (-1: none),
# and the elements [BEGIN, END) outside which nothing has a value.
BUFFER, LOW, HIGH, AT, UNTIL, DIRTY, HELD, NEXT, BEGIN, END = range(10)
WINDOW = 10
ADDED = 6  # columns of added instructions: the touch they precede, op, dst, src, size, buffer
# Entries of `state`: windows, highest address used, end of global memory.
WINDOWS, PEAK, GLOBAL = range(3)


class Uses(NamedTuple):
    """What a core's instructions touch: instruction i has touches [first[i], first[i + 1]) of bytes [low, high) of
    buffers. by_buffer: touches by buffer, those of buffer b from `starts[b]` on."""

    first: LongArray
    buffer: LongArray
    low: LongArray
    high: LongArray
    writes: npt.NDArray[np.bool_]
    by_buffer: LongArray
    starts: LongArray


class Contents(NamedTuple):
    """Per buffer: where its elements begin in a list of all (and their end), bytes, place in global memory (-1: none
    yet), whether it is constant or padded. Per element: whether it is a zero of padding, and global memory holds it.
    """

    element: LongArray
    size: LongArray
    slot: LongArray
    constant: npt.NDArray[np.bool_]
    padded: npt.NDArray[np.bool_]
    padding: ByteArray
    known: ByteArray


class Completed(NamedTuple):
    """Segments in the order of time: number, last touch of who completes it, buffer, bytes [low, high) of it."""

    number: LongArray
    last: LongArray
    buffer: LongArray
    low: LongArray
    high: LongArray


class Room(NamedTuple):
    """Local memory: first free address, end, bytes of an element and between windows, bytes up to which a buffer is
    held as a whole, grid of other windows."""

    base: int
    limit: int
    element_bytes: int
    whole: int
    grid: int


class _Cache(NamedTuple):
    """Windows: a table, its rows by address and then the free ones, the first row of every buffer or -1.

    here: elements that are in a window and have a value. added: instructions, each a row of columns.
    """

    contents: Contents
    room: Room
    table: LongArray
    line: LongArray
    head: LongArray
    here: ByteArray
    state: LongArray
    added: list[tuple[int, int, int, int, int, int]]


@kernel
def hold_windows(
    uses: Uses, contents: Contents, completed: Completed, room: Room, global_end: int
) -> tuple[LongArray, LongArray, LongArray, int, int]:
    """Addresses for all touches of a core, and the loads, stores and zero fills that make them right.

    global_end: first free byte of global memory.

    Returns (int64[touches], address at which the touch's buffer would begin; int64[segments], address of a complete
    segment, -1 if it is not there as a whole; int64[n, 6], added instructions; highest address used; global_end).
    """
    first, buffer, low, high, eb = uses.first, uses.buffer, uses.low, uses.high, room.element_bytes
    address, complete = np.empty(len(buffer), np.int64), np.full(len(completed.number), -1)
    most = max(0, room.limit - room.base) // (2 * eb) + 2
    table, line, head = np.zeros((most, WINDOW), np.int64), np.arange(most), np.full(len(contents.slot), -1)
    here, state = np.zeros(len(contents.known), np.uint8), np.array([0, room.base, global_end])
    c = _Cache(contents, room, table, line, head, here, state, [(0, 0, 0, 0, 0, 0) for _ in range(0)])
    pointer, s = uses.starts[:-1].copy(), 0
    for i in range(len(first) - 1):
        a, b = first[i], first[i + 1]
        _bring_all(c, uses, i)
        for j in range(a, b):
            window = table[_find(c, buffer[j], low[j], high[j])]
            address[j] = window[AT] - window[LOW]
            if uses.writes[j]:
                start = contents.element[buffer[j]]
                begin, end = start + low[j] // eb, start + high[j] // eb
                _fill(c, begin, end, window)
                if contents.constant[buffer[j]]:
                    contents.known[begin:end] = 1
                else:
                    window[DIRTY] = 1
        while s < len(completed.last) and completed.last[s] < b:
            w = _find(c, completed.buffer[s], completed.low[s], completed.high[s])
            if w >= 0:
                complete[completed.number[s]] = table[w, AT] + completed.low[s] - table[w, LOW]
            s += 1
        for j in range(a, b):
            w = _find(c, buffer[j], low[j], high[j])
            if w >= 0:
                table[w, UNTIL] = _next_use(table[w], uses, pointer, b - 1)
                if table[w, UNTIL] == NEVER:
                    _drop(c, w, a)
    added = np.empty((len(c.added), ADDED), np.int64)
    for k, row in enumerate(c.added):
        for column in range(ADDED):
            added[k, column] = row[column]
    return address, complete, added, state[PEAK], state[GLOBAL]


@kernel
def _bring_all(c: _Cache, uses: Uses, i: int) -> None:
    """Windows for all touches of instruction i, in memory together."""
    first, buffer, low, high = uses.first, uses.buffer, uses.low, uses.high
    for generous in (True, False):
        fits = True
        for j in range(first[i], first[i + 1]):
            start, stop = low[j], high[j]
            for k in range(first[i], first[i + 1]):  # of one buffer, all at once
                if buffer[k] == buffer[j]:
                    start, stop = min(start, low[k]), max(stop, high[k])
            w = _find(c, buffer[j], start, stop)
            if w >= 0:
                c.table[w, HELD] = i
                continue
            if generous:
                start, stop = _extended(c, buffer[j], start, stop)
            fits = _bring(c, i, first[i], buffer[j], start, stop)
            if not fits:
                break
        if fits:
            return
        while c.state[WINDOWS]:  # too many pieces: begin with an empty memory
            _drop(c, c.line[c.state[WINDOWS] - 1], first[i])
    raise ValueError("the operands of an instruction do not fit")


@kernel
def _extended(c: _Cache, buffer: int, low: int, high: int) -> tuple[int, int]:
    """Bytes that are worth holding with those: all of a small buffer, else up to the grid."""
    size, grid = c.contents.size[buffer], c.room.grid
    if size <= c.room.whole:
        return 0, size
    return low // grid * grid, min(size, -(-high // grid) * grid)


@kernel
def _bring(c: _Cache, i: int, touch: int, buffer: int, low: int, high: int) -> bool:
    """A new window of those bytes, filled with what is known of them; whether there is room."""
    contents, table, eb = c.contents, c.table, c.room.element_bytes
    w = c.head[buffer]
    while w >= 0:
        following = table[w, NEXT]
        if table[w, LOW] < high and low < table[w, HIGH]:
            _drop(c, w, touch)
        w = following
    w = _place(c, i, touch, high - low + eb)
    if w < 0:
        return False
    table[w, BUFFER], table[w, LOW], table[w, HIGH], table[w, HELD] = buffer, low, high, i
    table[w, UNTIL], table[w, DIRTY], table[w, NEXT] = touch, 0, c.head[buffer]
    c.head[buffer] = w
    table[w, BEGIN], table[w, END] = NEVER, 0
    element = contents.element[buffer]
    begin, end = element + low // eb, element + high // eb
    for op in (LD, LLDI):
        e = begin if (contents.slot[buffer] >= 0 if op == LD else contents.padded[buffer]) else end
        while e < end:
            f = e
            while f < end and (contents.known[f] if op == LD else contents.padding[f] and not contents.known[f]):
                f += 1
            if e < f:
                _fill(c, e, f, table[w])
                byte = (e - element) * eb
                source = contents.slot[buffer] + byte if op == LD else 0
                c.added.append((touch, op, table[w, AT] - low + byte, source, (f - e) * eb, buffer))
            e = f + 1
    return True


@kernel
def _place(c: _Cache, i: int, touch: int, size: int) -> int:
    """Row of a window of that size at the lowest address with room, after as many have left as it takes, -1 if there
    is none."""
    table, line, state, eb = c.table, c.line, c.state, c.room.element_bytes
    while True:
        place, at = c.room.base, 0
        while at < state[WINDOWS] and table[line[at], AT] - place < size:
            place = table[line[at], AT] + table[line[at], HIGH] - table[line[at], LOW] + eb
            at += 1
        if at < state[WINDOWS] or c.room.limit - place >= size:
            w: int = line[state[WINDOWS]]
            for k in range(state[WINDOWS], at, -1):
                line[k] = line[k - 1]
            line[at] = w
            table[w, AT] = place
            state[WINDOWS] += 1
            state[PEAK] = max(state[PEAK], place + size)
            return w
        latest = -1
        for k in range(state[WINDOWS]):
            w = line[k]
            if table[w, HELD] != i and (latest < 0 or table[w, UNTIL] > table[latest, UNTIL]):
                latest = w
        if latest < 0:
            return -1
        _drop(c, latest, touch)


@kernel
def _drop(c: _Cache, w: int, touch: int) -> None:
    """Free a window; what was written and is needed again is stored."""
    contents, line, head, window, state = c.contents, c.line, c.head, c.table[w], c.state
    eb, buffer = c.room.element_bytes, window[BUFFER]
    if window[DIRTY] and window[UNTIL] != NEVER:
        if contents.slot[buffer] < 0:
            contents.slot[buffer] = state[GLOBAL]
            state[GLOBAL] += -(-contents.size[buffer] // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        e = window[BEGIN]
        while e < window[END]:
            f = e
            while f < window[END] and c.here[f]:
                contents.known[f] = 1
                f += 1
            if e < f:
                byte = (e - contents.element[buffer]) * eb
                at = window[AT] - window[LOW] + byte
                c.added.append((touch, ST, contents.slot[buffer] + byte, at, (f - e) * eb, buffer))
            e = f + 1
    for e in range(window[BEGIN], window[END]):
        c.here[e] = 0
    if head[buffer] == w:
        head[buffer] = window[NEXT]
    else:
        before = head[buffer]
        while c.table[before, NEXT] != w:
            before = c.table[before, NEXT]
        c.table[before, NEXT] = window[NEXT]
    state[WINDOWS] -= 1
    at = 0
    while line[at] != w:
        at += 1
    for k in range(at, state[WINDOWS]):
        line[k] = line[k + 1]
    line[state[WINDOWS]] = w


@kernel
def _fill(c: _Cache, begin: int, end: int, window: LongArray) -> None:
    """These elements of a window have values."""
    window[BEGIN], window[END] = min(window[BEGIN], begin), max(window[END], end)
    c.here[begin:end] = 1


@kernel
def _find(c: _Cache, buffer: int, low: int, high: int) -> int:
    """The window that holds these bytes, -1 if there is none."""
    w: int = c.head[buffer]
    while w >= 0 and (c.table[w, LOW] > low or high > c.table[w, HIGH]):
        w = c.table[w, NEXT]
    return w


@kernel
def _next_use(window: LongArray, uses: Uses, pointer: LongArray, now: int) -> int:
    """The first touch of a window after touch `now`."""
    buffer, by_buffer, starts = window[BUFFER], uses.by_buffer, uses.starts
    while pointer[buffer] < starts[buffer + 1] and by_buffer[pointer[buffer]] <= now:
        pointer[buffer] += 1
    for k in range(pointer[buffer], starts[buffer + 1]):
        touch: int = by_buffer[k]
        if uses.low[touch] < window[HIGH] and window[LOW] < uses.high[touch]:
            return touch
    return NEVER
