"""Accesses become buffers: against plain loops."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.schedule.buffers import Maps, merge_accesses
from pimcomp.schedule.work import Accesses

CORES, TENSORS, ROWS, WIDTH = 3, 2, 3, 12
MAPS = Maps(*(np.full(TENSORS, size, np.int64) for size in (ROWS, WIDTH, 4)))


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
    core, tensor, row, low, high = (column([getattr(a, name) for a in found]) for name in Access._fields[:5])
    task = np.arange(len(found))
    return Accesses(task, core, tensor, row, low, high, np.ones_like(task)), np.array([a.reads for a in found])


@given(accesses(), st.sets(st.integers(0, WIDTH)))
def test_accesses_that_touch_share_a_buffer_unless_they_lie_apart(found: list[Access], cuts: set[int]) -> None:
    apart = np.array([a.low in cuts for a in found])
    buffer_of, buffers = merge_accesses(*as_arrays(found), apart, MAPS, CORES)
    for b in range(len(buffers.core)):
        held = [a for a, number in zip(found, buffer_of, strict=True) if number == b]
        assert {(a.core, a.tensor, a.row) for a in held} == {(buffers.core[b], buffers.tensor[b], buffers.row[b])}
        assert (min(a.low for a in held), max(a.high for a in held)) == (buffers.low[b], buffers.high[b])
        covered = {x for a in held for x in range(a.low, a.high)}
        assert covered == set(range(buffers.low[b], buffers.high[b]))  # no gap
        across = {x for a in held for x in range(a.low + 1, a.high)}
        assert not cuts & set(range(int(buffers.low[b]) + 1, int(buffers.high[b]))) - across
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
                ends = sorted([(buffers.low[b], buffers.high[b]), (buffers.low[other], buffers.high[other])])
                assert ends[0][1] < ends[1][0] or (ends[0][1] == ends[1][0] and int(ends[1][0]) in cuts)
