"""Cases of which some are in every run and the others with the slow tests."""

from collections.abc import Iterable

import pytest


def seeds(fast: int, total: int, first: int = 0) -> list[object]:
    """The numbers from `first` on, `total` of them; all but `fast` marked slow."""
    slow = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(first + fast, first + total)]
    return [*range(first, first + fast), *slow]


def sampled(cases: Iterable[tuple[object, ...]], every: int) -> list[object]:
    """The cases; all but the first of each `every` marked slow."""
    return [pytest.param(*case, marks=[pytest.mark.slow] if k % every else []) for k, case in enumerate(cases)]
