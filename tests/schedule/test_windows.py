"""A core's memory as a cache of windows, executed on tokens: whoever reads finds what was written last."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.schedule.windows import Completed, Contents, Room, Uses, hold_windows

ELEMENT = 2  # bytes
BASE = 6
ZERO = (-1, -1, 0)  # what padding and zero fills hold
NOTHING = (-2, -2, 0)  # what memory holds before anybody has written

Token = tuple[int, int, int]  # buffer, element, how often it was written


class Buffer(NamedTuple):
    """Elements; where its constant stands in global memory (-1: no constant); elements of padding in front."""

    elements: int
    constant_at: int = -1
    padding: int = 0


class Touch(NamedTuple):
    """An instruction reads or writes elements [low, high) of a buffer."""

    buffer: int
    low: int
    high: int
    writes: bool


class Held(NamedTuple):
    """`hold_windows` in words: per touch the address of its first byte, per instruction what is added before it."""

    address: list[int]
    complete: list[int]  # of every touch's elements after its instruction, -1: not there as a whole
    added: list[tuple[int, int, int, int, int]]  # instruction, op, dst, src, bytes
    peak: int


def hold(buffers: list[Buffer], program: list[list[Touch]], limit: int, whole: int, grid: int) -> Held:
    """Run the cache over a core's instructions."""
    touches = [touch for instruction in program for touch in instruction]
    first = np.cumsum([0, *[len(instruction) for instruction in program]])
    number = np.array([t.buffer for t in touches], np.int64)
    low, high = (np.array([getattr(t, name) * ELEMENT for t in touches], np.int64) for name in ("low", "high"))
    by_buffer = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[by_buffer], np.arange(len(buffers) + 1))
    element = np.cumsum([0, *[b.elements for b in buffers]])
    padding = np.zeros(element[-1], np.uint8)
    for at, b in zip(element, buffers, strict=False):
        padding[at : at + b.padding] = 1
    slot = np.array([b.constant_at for b in buffers], np.int64)
    uses = Uses(first, number, low, high, np.array([t.writes for t in touches]), by_buffer, starts)
    padded = np.array([b.padding > 0 for b in buffers])
    sizes = np.array([b.elements * ELEMENT for b in buffers], np.int64)
    contents = Contents(element, sizes, slot, slot >= 0, padded, padding, np.zeros_like(padding))
    completed = Completed(np.arange(len(touches)), np.arange(len(touches)), number, low, high)
    address, complete, added, peak, _ = hold_windows(
        uses, contents, completed, Room(BASE, limit, ELEMENT, whole, grid), 4096
    )
    rows = np.column_stack([np.searchsorted(first, added[:, 0]), added[:, 1:5]])
    return Held((address + low).tolist(), complete.tolist(), [tuple(row) for row in rows.tolist()], int(peak))


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Buffer], list[list[Touch]]]:
    """Instructions that read what is there: padding, constants once they are loaded, and what was written before."""
    buffers = []
    for b in range(draw(st.integers(1, 6))):
        elements = draw(st.integers(1, 20))
        kind = draw(st.sampled_from(("plain", "plain", "constant", "padded")))
        padding = draw(st.integers(1, elements)) if kind == "padded" else 0
        buffers.append(Buffer(elements, 64 * b if kind == "constant" else -1, padding))
    known = [[i < b.padding for i in range(b.elements)] for b in buffers]
    program = []
    for _ in range(draw(st.integers(1, 18))):
        instruction = []
        for b in draw(st.sets(st.integers(0, len(buffers) - 1), min_size=1, max_size=3)):
            buffer = buffers[b]
            low = draw(st.integers(0, buffer.elements - 1))
            high = draw(st.integers(low + 1, buffer.elements))
            if buffer.constant_at >= 0 and not known[b][0]:
                low, high = 0, buffer.elements  # its load
            there = all(known[b][low:high])
            writes = not there or (buffer.constant_at < 0 and low >= buffer.padding and draw(st.booleans()))
            if writes:
                low = max(low, buffer.padding)
                known[b][low:high] = [True] * (high - low)
            instruction.append(Touch(b, low, high, writes))
        program.append(instruction)
    return buffers, program


def needed(program: list[list[Touch]]) -> int:
    """Bytes that the operands of one instruction take at most."""
    return max(sum((t.high - t.low + 1) * ELEMENT for t in instruction) for instruction in program)


def execute(buffers: list[Buffer], program: list[list[Touch]], held: Held, limit: int) -> None:
    """Run the instructions and those that were added, and compare whatever is read with what it should be."""
    memory: list[Token] = [NOTHING] * (limit // ELEMENT)
    world: dict[int, Token] = {}
    now: dict[tuple[int, int], Token] = {}
    for b, buffer in enumerate(buffers):
        for e in range(buffer.elements):
            if buffer.constant_at >= 0:
                now[b, e] = world[buffer.constant_at + e * ELEMENT] = (b, e, 0)
            elif e < buffer.padding:
                now[b, e] = ZERO
    added, j = iter([*held.added, (len(program), 0, 0, 0, 0)]), 0
    row = next(added)
    for i, instruction in enumerate(program):
        while row[0] == i:
            _, op, dst, src, size = row
            for at in range(0, size, ELEMENT):
                if op == Op.ST:
                    world[dst + at] = memory[(src + at) // ELEMENT]
                else:
                    memory[(dst + at) // ELEMENT] = world[src + at] if op == Op.LD else ZERO
            row = next(added)
        first = j
        for touch in instruction:
            at, stop = held.address[j], held.address[j] + (touch.high - touch.low) * ELEMENT
            assert at >= BASE
            assert stop + ELEMENT <= min(limit, held.peak)
            if not touch.writes:
                found = memory[at // ELEMENT : stop // ELEMENT]
                assert found == [now[touch.buffer, e] for e in range(touch.low, touch.high)]
            j += 1
        for k, touch in enumerate(instruction, first):
            for e in range(touch.low, touch.high) if touch.writes else ():
                fresh = (touch.buffer, e, 0 if buffers[touch.buffer].constant_at >= 0 else i + 1)
                now[touch.buffer, e] = memory[held.address[k] // ELEMENT + e - touch.low] = fresh
        for k, touch in enumerate(instruction, first):
            if held.complete[k] >= 0:
                at = held.complete[k] // ELEMENT
                found = memory[at : at + touch.high - touch.low]
                assert found == [now[touch.buffer, e] for e in range(touch.low, touch.high)]


@given(programs(), st.integers(0, 12), st.sampled_from((2, 8, 20)), st.sampled_from((2, 4, 10)))
def test_reads_find_what_was_written_however_short_memory_is(
    case: tuple[list[Buffer], list[list[Touch]]], spare: int, whole: int, grid: int
) -> None:
    buffers, program = case
    limit = BASE + needed(program) + spare * ELEMENT
    execute(buffers, program, hold(buffers, program, limit, whole, grid), limit)


@given(programs())
def test_nothing_is_stored_or_loaded_where_all_buffers_have_room(case: tuple[list[Buffer], list[list[Touch]]]) -> None:
    buffers, program = case
    room = sum((b.elements + 1) * ELEMENT for b in buffers)
    held = hold(buffers, program, BASE + room, room, ELEMENT)
    execute(buffers, program, held, BASE + room)
    assert {op for _, op, *_ in held.added} <= {Op.LLDI}


def test_what_is_used_again_last_leaves_first() -> None:
    """Three buffers, room for two: of the two that wait, the one whose use is further away is stored."""
    write = [[Touch(b, 0, 4, True)] for b in range(3)]
    program = [*write, [Touch(0, 0, 4, False)], [Touch(1, 0, 4, False)], [Touch(2, 0, 4, False)]]
    held = hold([Buffer(4)] * 3, program, BASE + 2 * 5 * ELEMENT, 100, ELEMENT)
    stores = [row for row in held.added if row[1] == Op.ST]
    assert [(row[0], row[3]) for row in stores] == [(2, held.address[1])]  # buffer 1 leaves for buffer 2
    loads = [row for row in held.added if row[1] == Op.LD]
    assert [(row[0], row[3]) for row in loads] == [(4, stores[0][2])]  # and comes back when 0 is done


def test_what_nobody_reads_again_is_not_stored() -> None:
    program = [[Touch(b, 0, 4, True)] for b in range(5)]
    assert hold([Buffer(4)] * 5, program, BASE + 5 * ELEMENT, 100, ELEMENT).added == []


def test_constants_are_loaded_again_and_never_stored() -> None:
    turns = [0, 1, 0, 1]
    program = [[Touch(b, 0, 4, True)] for b in range(2)] + [[Touch(b, 0, 4, False)] for b in turns]
    buffers = [Buffer(4, constant_at=64), Buffer(4, constant_at=128)]
    held = hold(buffers, program, BASE + 5 * ELEMENT, 100, ELEMENT)
    assert {op for _, op, *_ in held.added} == {Op.LD}
    assert {src for _, _, _, src, _ in held.added} == {64, 128}


def test_a_window_of_a_long_buffer_is_a_part_on_the_grid() -> None:
    held = hold([Buffer(100)], [[Touch(0, 50, 52, True)], [Touch(0, 50, 52, False)]], BASE + 200, 20, 8)
    assert held.peak == BASE + (104 - 96 + ELEMENT)
