"""One core's local memory as a cache of byte ranges of buffers that knows all coming uses; see `spill`."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.work import ALIGNMENT_BYTES

LD, ST, LLDI = int(Op.LD), int(Op.ST), int(Op.LLDI)
NEVER = 1 << 60
# Columns of the table of windows: buffer, its bytes [LOW, HIGH), local address, next use (number of a touch), whether
# it was written since it was loaded, the last instruction that holds it, the next window of the same buffer (-1: none),
# and the elements [BEGIN, END) outside which nothing has a value.
BUFFER, LOW, HIGH, AT, UNTIL, DIRTY, HELD, NEXT, BEGIN, END = range(10)
WINDOW = 10
ADDED = 6  # columns of added instructions: the touch they precede, op, dst, src, size, buffer
# Entries of `state`: windows, added instructions, highest address used, end of global memory.
WINDOWS, INSTRUCTIONS, PEAK, GLOBAL = range(4)


@kernel
def hold_windows(uses, contents, completed, memory, global_end):
    """Addresses for all touches of a core, and the loads, stores and zero fills that make them right.

    uses: (first touch of every instruction and their end, buffer, low, high and kind of every touch, touches by buffer,
    where each buffer's begin). contents: (where each buffer's elements begin, bytes, place in global memory, constant?,
    padded?, padding of every element, whether global memory holds it). completed: segments in the order of time
    (number, last touch, buffer, low, high). memory: (first free address, end, bytes of an element and between windows,
    bytes up to which a buffer is held as a whole, grid of other windows). global_end: first free byte of global memory.

    Windows are (table, its rows by address and then the free ones, first row of every buffer or -1).

    Returns (int64[touches], address at which the touch's buffer would begin; int64[segments], address of a complete
    segment, -1 if it is not there as a whole; int64[n, 6], added instructions; highest address used; global_end).
    """
    first, buffer, low, high, writes, by_buffer, starts = uses
    element, _, slot, constant, _, _, known = contents
    number, last, segment_buffer, segment_low, segment_high = completed
    base, limit, eb, _, _ = memory
    address = np.empty(len(buffer), np.int64)
    complete = np.full(len(number), -1, np.int64)
    here = np.zeros(len(known), np.uint8)  # elements that are in a window and have a value
    most = max(0, limit - base) // (2 * eb) + 2
    windows = (np.zeros((most, WINDOW), np.int64), np.arange(most), np.full(len(slot), -1))
    pointer = starts[:-1].copy()
    added = np.empty((1024, ADDED), np.int64)
    state = np.array([0, 0, base, global_end])
    s = 0
    for i in range(len(first) - 1):
        a, b = first[i], first[i + 1]
        added = _bring_all(uses, contents, memory, windows, here, state, added, i)
        for j in range(a, b):
            window = windows[0][_find(windows, buffer[j], low[j], high[j])]
            address[j] = window[AT] - window[LOW]
            if writes[j]:
                begin, end = element[buffer[j]] + low[j] // eb, element[buffer[j]] + high[j] // eb
                _fill(here, begin, end, window)
                if constant[buffer[j]]:
                    known[begin:end] = 1
                else:
                    window[DIRTY] = 1
        while s < len(last) and last[s] < b:
            w = _find(windows, segment_buffer[s], segment_low[s], segment_high[s])
            if w >= 0:
                complete[number[s]] = windows[0][w, AT] + segment_low[s] - windows[0][w, LOW]
            s += 1
        for j in range(a, b):
            w = _find(windows, buffer[j], low[j], high[j])
            if w >= 0:
                windows[0][w, UNTIL] = _next_use(windows[0][w], by_buffer, pointer, starts, low, high, b - 1)
                if windows[0][w, UNTIL] == NEVER:
                    added = _drop(contents, memory, windows, here, state, added, w, a)
    return address, complete, added[: state[INSTRUCTIONS]].copy(), state[PEAK], state[GLOBAL]


@kernel
def _bring_all(uses, contents, memory, windows, here, state, added, i):
    """Windows for all touches of instruction i, in memory together. Returns `added`, which may have grown."""
    first, buffer, low, high = uses[0], uses[1], uses[2], uses[3]
    for generous in (True, False):
        fits = True
        for j in range(first[i], first[i + 1]):
            start, stop = low[j], high[j]
            for k in range(first[i], first[i + 1]):  # of one buffer, all at once
                if buffer[k] == buffer[j]:
                    start, stop = min(start, low[k]), max(stop, high[k])
            w = _find(windows, buffer[j], start, stop)
            if w >= 0:
                windows[0][w, HELD] = i
                continue
            fits, added = _bring(
                contents, memory, windows, here, state, added, i, first[i], buffer[j], start, stop, generous
            )
            if not fits:
                break
        if fits:
            return added
        while state[WINDOWS]:  # too many pieces: begin with an empty memory
            added = _drop(contents, memory, windows, here, state, added, windows[1][state[WINDOWS] - 1], first[i])
    raise ValueError("the operands of an instruction do not fit")


@kernel
def _bring(contents, memory, windows, here, state, added, i, touch, buffer, low, high, generous):
    """A new window around the bytes, filled with what is known of them: (whether there is room, added)."""
    element, size, slot, _, padded, padding, known = contents
    _, _, eb, whole, grid = memory
    if generous:
        if size[buffer] <= whole:
            low, high = np.int64(0), size[buffer]
        else:
            low, high = low // grid * grid, min(size[buffer], -(-high // grid) * grid)
    table, _, head = windows
    w = head[buffer]
    while w >= 0:
        following = table[w, NEXT]
        if table[w, LOW] < high and low < table[w, HIGH]:
            added = _drop(contents, memory, windows, here, state, added, w, touch)
        w = following
    w, added = _place(contents, memory, windows, here, state, added, i, touch, high - low + eb)
    if w < 0:
        return False, added
    table[w, BUFFER], table[w, LOW], table[w, HIGH], table[w, HELD] = buffer, low, high, i
    table[w, UNTIL], table[w, DIRTY], table[w, NEXT] = touch, 0, head[buffer]
    head[buffer] = w
    table[w, BEGIN], table[w, END] = NEVER, 0
    begin, end = element[buffer] + low // eb, element[buffer] + high // eb
    for kind in (LD, LLDI):
        e = begin if (slot[buffer] >= 0 if kind == LD else padded[buffer]) else end
        while e < end:
            f = e
            while f < end and (known[f] if kind == LD else padding[f] and not known[f]):
                f += 1
            if e < f:
                _fill(here, e, f, table[w])
                byte = (e - element[buffer]) * eb
                source = slot[buffer] + byte if kind == LD else 0
                added = _add(added, state, touch, kind, table[w, AT] - low + byte, source, (f - e) * eb, buffer)
            e = f + 1
    return True, added


@kernel
def _place(contents, memory, windows, here, state, added, i, touch, size):
    """(row of a window of that size at the lowest address with room, after as many have left as it takes, -1 if there
    is none; added)."""
    base, limit, eb, _, _ = memory
    table, line, _ = windows
    while True:
        place, at = np.int64(base), 0
        while at < state[WINDOWS] and table[line[at], AT] - place < size:
            place = table[line[at], AT] + table[line[at], HIGH] - table[line[at], LOW] + eb
            at += 1
        if at < state[WINDOWS] or limit - place >= size:
            w = line[state[WINDOWS]]
            for k in range(state[WINDOWS], at, -1):
                line[k] = line[k - 1]
            line[at] = w
            table[w, AT] = place
            state[WINDOWS] += 1
            state[PEAK] = max(state[PEAK], place + size)
            return w, added
        latest = -1
        for k in range(state[WINDOWS]):
            w = line[k]
            if table[w, HELD] != i and (latest < 0 or table[w, UNTIL] > table[latest, UNTIL]):
                latest = w
        if latest < 0:
            return -1, added
        added = _drop(contents, memory, windows, here, state, added, latest, touch)


@kernel
def _drop(contents, memory, windows, here, state, added, w, touch):
    """Free a window; what was written and is needed again is stored. Returns `added`."""
    element, size, slot, _, _, _, known = contents
    table, line, head = windows
    eb, buffer = memory[2], table[w, BUFFER]
    begin, end = table[w, BEGIN], table[w, END]
    if table[w, DIRTY] and table[w, UNTIL] != NEVER:
        if slot[buffer] < 0:
            slot[buffer] = state[GLOBAL]
            state[GLOBAL] += -(-size[buffer] // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        e = begin
        while e < end:
            f = e
            while f < end and here[f]:
                known[f] = 1
                f += 1
            if e < f:
                byte = (e - element[buffer]) * eb
                at = table[w, AT] - table[w, LOW] + byte
                added = _add(added, state, touch, ST, slot[buffer] + byte, at, (f - e) * eb, buffer)
            e = f + 1
    for e in range(begin, end):
        here[e] = 0
    if head[buffer] == w:
        head[buffer] = table[w, NEXT]
    else:
        before = head[buffer]
        while table[before, NEXT] != w:
            before = table[before, NEXT]
        table[before, NEXT] = table[w, NEXT]
    state[WINDOWS] -= 1
    at = 0
    while line[at] != w:
        at += 1
    for k in range(at, state[WINDOWS]):
        line[k] = line[k + 1]
    line[state[WINDOWS]] = w
    return added


@kernel
def _fill(here, begin, end, window):
    """These elements of a window have values."""
    window[BEGIN], window[END] = min(window[BEGIN], begin), max(window[END], end)
    for e in range(begin, end):
        here[e] = 1


@kernel
def _find(windows, buffer, low, high):
    """The window that holds these bytes, -1 if there is none."""
    table, _, head = windows
    w = head[buffer]
    while w >= 0 and (table[w, LOW] > low or high > table[w, HIGH]):
        w = table[w, NEXT]
    return w


@kernel
def _next_use(window, by_buffer, pointer, starts, low, high, now):
    """The first touch of a window after touch `now`."""
    buffer = window[BUFFER]
    while pointer[buffer] < starts[buffer + 1] and by_buffer[pointer[buffer]] <= now:
        pointer[buffer] += 1
    for k in range(pointer[buffer], starts[buffer + 1]):
        touch = by_buffer[k]
        if low[touch] < window[HIGH] and window[LOW] < high[touch]:
            return touch
    return NEVER


@kernel
def _add(added, state, touch, op, dst, src, size, buffer):
    """One more instruction; returns `added`, longer if it was full."""
    if state[INSTRUCTIONS] == len(added):
        longer = np.empty((2 * len(added), ADDED), np.int64)
        longer[: len(added)] = added
        added = longer
    row = added[state[INSTRUCTIONS]]
    row[0], row[1], row[2], row[3], row[4], row[5] = touch, op, dst, src, size, buffer
    state[INSTRUCTIONS] += 1
    return added
