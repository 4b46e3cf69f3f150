"""Seeds of random cases: some in every run, the others with the slow tests."""

import pytest


def seeds(fast: int, total: int, first: int = 0) -> list[object]:
    """The numbers from `first` on, `total` of them; all but `fast` marked slow."""
    slow = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(first + fast, first + total)]
    return [*range(first, first + fast), *slow]
