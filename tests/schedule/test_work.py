"""Accesses become buffers, buffers need messages, and readers wait for what fills them: against plain loops."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.schedule.work import Accesses, find_transfers, link_readers, merge_accesses

CORES, TENSORS, ROWS, WIDTH = 3, 2, 3, 12


class Access(NamedTuple):
    """Columns [low, high) of a row on a core."""

    core: int
    tensor: int
    row: int
    low: int
    high: int
    reads: bool


@st.composite
def accesses(draw: st.DrawFn) -> list[Access]:
    """Some of which overlap, touch, or lie above and below the map."""
    found = []
    for _ in range(draw(st.integers(1, 14))):
        low = draw(st.integers(-2, WIDTH - 1))
        high = draw(st.integers(low + 1, WIDTH + 2))
        core, tensor = draw(st.integers(0, CORES - 1)), draw(st.integers(0, TENSORS - 1))
        found.append(Access(core, tensor, draw(st.integers(-1, ROWS)), low, high, draw(st.booleans())))
    return found


def column(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


def as_arrays(found: list[Access]) -> tuple[Accesses, np.ndarray]:
    columns = (column([getattr(a, name) for a in found]) for name in ("core", "tensor", "row", "low", "high"))
    return Accesses(np.arange(len(found)), *columns), np.array([a.reads for a in found])


@given(accesses())
def test_accesses_that_touch_share_a_buffer_and_others_do_not(found: list[Access]) -> None:
    buffer_of, buffers = merge_accesses(*as_arrays(found), ROWS, CORES)
    for b in range(len(buffers.core)):
        held = [a for a, number in zip(found, buffer_of, strict=True) if number == b]
        assert {(a.core, a.tensor, a.row) for a in held} == {(buffers.core[b], buffers.tensor[b], buffers.row[b])}
        assert (min(a.low for a in held), max(a.high for a in held)) == (buffers.low[b], buffers.high[b])
        covered = {x for a in held for x in range(a.low, a.high)}
        assert covered == set(range(buffers.low[b], buffers.high[b]))  # no gap
        read = [a for a in held if a.reads]
        if read:
            assert buffers.read_low[b] == min(a.low for a in read)
            assert buffers.read_high[b] == max(a.high for a in read)
        else:
            assert buffers.read_high[b] <= buffers.read_low[b]
        for other in range(b):
            if (buffers.core[b], buffers.tensor[b], buffers.row[b]) == (
                buffers.core[other], buffers.tensor[other], buffers.row[other],
            ):  # fmt: skip
                assert buffers.high[b] < buffers.low[other] or buffers.high[other] < buffers.low[b]


class Segment(NamedTuple):
    """Columns [low, high) of a row that a core owns."""

    tensor: int
    row: int
    low: int
    high: int
    owner: int


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Every row cut into segments."""
    found = []
    for tensor in range(TENSORS):
        for row in range(ROWS):
            cuts = sorted(draw(st.sets(st.integers(1, WIDTH - 1), max_size=3)))
            for low, high in zip([0, *cuts], [*cuts, WIDTH], strict=True):
                found.append(Segment(tensor, row, low, high, draw(st.integers(0, CORES - 1))))
    return found


@given(accesses(), segments())
def test_a_message_is_the_part_of_anothers_segment_that_is_read(found: list[Access], owned: list[Segment]) -> None:
    _, buffers = merge_accesses(*as_arrays(found), ROWS, CORES)
    row_start = ROWS * np.arange(TENSORS + 1)
    row_index = np.searchsorted([s.tensor * ROWS + s.row for s in owned], np.arange(TENSORS * ROWS + 1))
    arguments: list[Any] = [
        buffers.core, buffers.tensor, buffers.row, buffers.read_low, buffers.read_high, row_start, row_index,
        *(column([getattr(s, name) for s in owned]) for name in ("low", "high", "owner")),
    ]  # fmt: skip
    out = np.zeros((find_transfers(*arguments, *[False, np.zeros((0, 4), np.int64)]), 4), np.int64)
    assert find_transfers(*arguments, *[True, out]) == len(out)
    expected = set()
    for b in range(len(buffers.core)):
        for s, segment in enumerate(owned):
            same = (buffers.tensor[b], buffers.row[b]) == (segment.tensor, segment.row)
            low, high = max(buffers.read_low[b], segment.low), min(buffers.read_high[b], segment.high)
            if same and low < high and segment.owner != buffers.core[b]:
                expected.add((b, s, int(low), int(high)))
    assert {tuple(row) for row in out.tolist()} == expected
    assert len(expected) == len(out)


class Filling(NamedTuple):
    """An action that puts columns [low, high) into a buffer."""

    buffer: int
    low: int
    high: int
    action: int


FILLINGS = st.lists(
    st.builds(
        lambda buffer, low, width, action: Filling(buffer, low, low + width, action),
        st.integers(0, 3), st.integers(0, WIDTH), st.integers(1, 5), st.integers(0, 9),
    ),
    max_size=12,
)  # fmt: skip


@given(FILLINGS, FILLINGS)
def test_a_reader_waits_for_whatever_fills_columns_that_it_reads(reads: list[Filling], fills: list[Filling]) -> None:
    by_buffer = np.argsort([r.buffer for r in reads], kind="stable").astype(np.int64)
    starts = np.searchsorted(sorted(r.buffer for r in reads), np.arange(5))
    arguments: list[Any] = [
        starts, by_buffer, *(column([getattr(r, name) for r in reads]) for name in ("action", "low", "high")),
        *(column([getattr(f, name) for f in fills]) for name in ("buffer", "low", "high", "action")),
    ]  # fmt: skip
    out = np.zeros((link_readers(*arguments, *[False, np.zeros((0, 2), np.int64)]), 2), np.int64)
    link_readers(*arguments, *[True, out])
    expected = [
        [f.action, r.action]
        for f in fills
        for r in reads
        if f.buffer == r.buffer and r.low < f.high and f.low < r.high and r.action != f.action
    ]
    assert sorted(out.tolist()) == sorted(expected)
