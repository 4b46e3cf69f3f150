"""Buffers need messages, and readers wait for what fills them: against plain loops."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.schedule.buffers import merge_accesses
from pimcomp.schedule.links import Filled, Readers, find_transfers, link_readers
from pimcomp.schedule.work import Accesses, MapSegments
from tests.schedule.stages import SEEDS, stages
from tests.schedule.test_buffers import CORES, MAPS, ROWS, TENSORS, WIDTH, Access, accesses, as_arrays, column


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
    _, buffers = merge_accesses(*as_arrays(found), np.zeros(len(found), np.bool_), MAPS, CORES)
    row_start = ROWS * np.arange(TENSORS + 1)
    row_index = np.searchsorted([s.tensor * ROWS + s.row for s in owned], np.arange(TENSORS * ROWS + 1))
    node, row, low, high, owner = (column([getattr(s, name) for s in owned]) for name in Segment._fields)
    cut = MapSegments(node, row, low, high, low, owner, np.zeros_like(node))
    none = np.zeros((0, 4), np.int64)
    out = np.zeros((find_transfers(buffers, cut, MAPS, row_start, row_index, none), 4), np.int64)
    assert find_transfers(buffers, cut, MAPS, row_start, row_index, out) == len(out)
    expected = set()
    for b in range(len(buffers.core)):
        for s, segment in enumerate(owned):
            same = (buffers.tensor[b], buffers.row[b]) == (segment.tensor, segment.row)
            first, last = max(int(buffers.read_low[b]), segment.low), min(int(buffers.read_high[b]), segment.high)
            if same and first < last and segment.owner != buffers.core[b]:
                expected.add((b, s, first, last))
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
    readers = Readers(np.searchsorted(sorted(r.buffer for r in reads), np.arange(5)), by_buffer)
    task, low, high = (column([getattr(r, name) for r in reads]) for name in ("action", "low", "high"))
    none = np.zeros_like(task)
    known = Accesses(task, none, none, none, low, high, none + 1)
    filled = Filled(*(column([getattr(f, name) for f in fills]) for name in Filled._fields))
    out = np.zeros((link_readers(known, readers, filled, np.zeros((0, 2), np.int64)), 2), np.int64)
    link_readers(known, readers, filled, out)
    expected = [
        [f.action, r.action]
        for f in fills
        for r in reads
        if f.buffer == r.buffer and r.low < f.high and f.low < r.high and r.action != f.action
    ]
    assert sorted(out.tolist()) == sorted(expected)


@pytest.mark.parametrize("seed", [*SEEDS, 18, 39, 45])  # the last have maps of one row, which add up chunks
def test_nothing_ranks_behind_what_waits_for_it(seed: int) -> None:
    flow = stages(seed).flow
    assert len(flow.edges.before)
    assert (flow.rank[flow.edges.before] <= flow.rank[flow.edges.after]).all()
