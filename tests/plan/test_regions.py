"""Cores of a chip shared out to networks: what a region is, and whether the shares are the best ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.config import load_arch
from pimcomp.plan.regions import Aim, regions, share


def test_a_region_keeps_the_distances_of_its_cores() -> None:
    chip = replace(load_arch("pimsim_example"), chips=2)
    first, second = regions(chip, (70, 58))
    assert (first.total_cores, second.total_cores) == (70, 58)
    whole = chip.noc_latency_ns
    assert np.array_equal(first.noc_latency_ns[:-1, :-1], whole[:70, :70])
    assert np.array_equal(second.noc_latency_ns[:-1, :-1], whole[70:128, 70:128])
    assert np.array_equal(second.noc_latency_ns[-1], whole[-1][[*range(70, 128), 128]])
    assert first.mvm_ns(3) == chip.mvm_ns(3)


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=2), st.integers(4, 60), st.booleans())
def test_two_networks_get_the_best_shares_of_all(work: list[int], cores: int, weighted: bool) -> None:
    """Times that fall with every core have one valley; where all cores may move one by one it is found."""
    aim = Aim((3.0, 1.0) if weighted else ())
    times = [lambda n, w=w: w / n for w in work]
    found = share((1, 2), cores, times, aim)
    assert sum(found) == cores
    values = [aim.of([times[0](n), times[1](cores - n)]) for n in range(1, cores - 1)]
    assert aim.of([t(n) for t, n in zip(times, found, strict=True)]) == pytest.approx(min(values))


def test_nobody_gets_less_than_needed() -> None:
    shares = share((3, 5, 2), 12, [lambda n: 1.0 / n, lambda n: 1.0 / n, lambda n: 100.0 / n], Aim())
    assert shares == (3, 5, 4)


def test_weights_are_of_a_mean() -> None:
    assert Aim().of([1.0, 3.0]) == 3.0
    assert Aim((1.0, 3.0)).of([1.0, 3.0]) == 2.5
