"""Addresses by liveness: first fit, without overlap, and the peak that is said."""

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.schedule.ordering.allocate import allocate

CORES = 3


class Buffer(NamedTuple):
    """Lives on a core from action `first` to `last`."""

    core: int
    first: int
    last: int
    size: int


def lives(unit: int) -> st.SearchStrategy[list[Buffer]]:
    """Buffers in the order that `allocate` wants, with sizes that are multiples of `unit`."""
    one = st.builds(
        lambda core, first, length, units: Buffer(core, first, first + length, units * unit),
        st.integers(0, CORES - 1),
        st.integers(0, 30),
        st.integers(0, 12),
        st.integers(1, 9),
    )
    return st.lists(one, max_size=40).map(lambda buffers: sorted(buffers, key=lambda b: (b.core, b.first)))


BASES = st.lists(st.integers(0, 7), min_size=CORES, max_size=CORES)


def placed(buffers: list[Buffer], base: list[int], gap: int) -> tuple[list[int], list[int]]:
    """Addresses and peaks."""
    core, first, last, size = np.array(buffers, np.int64).reshape(-1, 4).T.copy()
    address, peak = allocate(core, first, last, size, np.array(base, np.int64), gap)
    return address.tolist(), peak.tolist()


def neighbours(buffers: list[Buffer], which: int) -> list[int]:
    """Buffers placed before `which` that live while it is born."""
    own = buffers[which]
    return [i for i in range(which) if buffers[i].core == own.core and buffers[i].last >= own.first]


@given(lives(4), BASES)
def test_buffers_that_live_together_keep_a_gap(buffers: list[Buffer], bases: list[int]) -> None:
    gap, base = 4, [4 * b for b in bases]
    address, peak = placed(buffers, base, gap)
    assert all(at >= base[buffer.core] for at, buffer in zip(address, buffers, strict=True))
    for i, buffer in enumerate(buffers):
        for j in neighbours(buffers, i):
            lower, upper = sorted((i, j), key=lambda k: address[k])
            assert address[lower] + buffers[lower].size + gap <= address[upper]
        assert address[i] + buffer.size + gap <= peak[buffer.core]


@given(lives(2), BASES, st.sampled_from((1, 2)))
def test_a_buffer_gets_the_lowest_address_where_it_fits(buffers: list[Buffer], base: list[int], gap: int) -> None:
    address, _ = placed(buffers, base, gap)
    for i, buffer in enumerate(buffers):
        taken = [(address[j], address[j] + buffers[j].size + gap) for j in neighbours(buffers, i)]
        candidates = sorted([base[buffer.core], *(stop for _, stop in taken)])
        fits = [
            at for at in candidates if all(at + buffer.size + gap <= low or high <= at for low, high in taken)
        ]  # fmt: skip
        assert address[i] == fits[0]


@given(lives(8), BASES)
def test_addresses_are_aligned_where_sizes_base_and_gap_are(buffers: list[Buffer], bases: list[int]) -> None:
    address, _ = placed(buffers, [8 * b for b in bases], 8)
    assert all(at % 8 == 0 for at in address)


@given(lives(1), BASES)
def test_the_peak_is_what_is_used(buffers: list[Buffer], base: list[int]) -> None:
    address, peak = placed(buffers, base, 1)
    used = list(base)
    for at, buffer in zip(address, buffers, strict=True):
        used[buffer.core] = max(used[buffer.core], at + buffer.size + 1)
    assert peak == used


def test_memory_is_used_again_after_the_last_action() -> None:
    address, peak = placed([Buffer(0, 0, 3, 10), Buffer(0, 3, 5, 10), Buffer(0, 4, 9, 10)], [0] * CORES, 2)
    assert address == [0, 12, 0]
    assert peak == [24, 0, 0]
