"""The kernels' heap gives back what was pushed, least key first, equal keys by rank."""

import heapq

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.schedule.ordering.heap import HEAP_COLUMNS, pop, push

KEYS = st.sampled_from((0.0, 0.5, 1.0, 7.25, 1e9))
ENTRIES = st.lists(st.tuples(KEYS, st.integers(0, 5)), max_size=40)


def room(entries: int) -> np.ndarray:
    return np.empty((entries, HEAP_COLUMNS))


@given(ENTRIES)
def test_what_is_pushed_comes_out_sorted(entries: list[tuple[float, int]]) -> None:
    heap, size = room(len(entries)), 0
    for item, (key, rank) in enumerate(entries):
        size = push(heap, size, key, rank, item)
    assert size == len(entries)
    found = []
    while size:
        item, key, size = pop(heap, size)
        assert key == entries[item][0]
        found.append((entries[item], item))
    assert [entry for entry, _ in found] == sorted(entries)
    assert sorted(item for _, item in found) == list(range(len(entries)))


@given(st.lists(st.one_of(st.none(), st.tuples(KEYS, st.integers(0, 5))), max_size=60))
def test_it_agrees_with_the_standard_library_when_pushes_and_pops_mix(
    steps: list[tuple[float, int] | None],
) -> None:
    """None: pop."""
    heap, size, expected = room(len(steps)), 0, list[tuple[float, int]]()
    entries: list[tuple[float, int]] = []
    for step in steps:
        if step is not None:
            size = push(heap, size, *step, len(entries))
            entries.append(step)
            heapq.heappush(expected, step)
        elif expected:
            item, key, size = pop(heap, size)
            assert entries[item] == heapq.heappop(expected)
            assert key == entries[item][0]
        assert size == len(expected)
