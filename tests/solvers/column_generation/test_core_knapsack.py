"""The most valuable contents of a core: against enumeration, and what lifted prices promise."""

from itertools import product

import numpy as np
import pytest

from solvers.column_generation.core_contents import Contents, Stage, stacked
from solvers.column_generation.core_knapsack import Knapsack, Lift, with_idle
from tests.seeds import seeds

CAPACITY, PERIOD = 6, 100.0


def random_contents(rng: np.random.Generator, stages: int = 2, rows: int = 2) -> Contents:
    """Stages of one to three items each; the second stage has a set-up."""
    made = []
    for s in range(stages):
        items = int(rng.integers(1, 4))
        size = rng.integers(1, 4, items).tolist()
        time = (10.0 * rng.integers(1, 6, items)).tolist()
        made.append(Stage((s,), size, time, rng.uniform(0.1, 1.0, (items, rows)).tolist(), 10.0 * s, 10.0 * s))
    return stacked(made, [1.0] * rows, 0.0)


def enumerated(contents: Contents, price: np.ndarray, work: float) -> float:
    """The highest value of any column."""
    gain, best = contents.does @ price, 0.0
    limits = [range(CAPACITY // int(n) + 1) for n in contents.size]
    for copies in product(*limits):
        n = np.array(copies)
        used = np.array([n[a:b].any() for a, b in zip(contents.first[:-1], contents.first[1:], strict=True)])
        time = n @ contents.time_ns + used @ contents.setup_ns
        if n @ contents.size <= CAPACITY and time <= PERIOD:
            best = max(best, n @ gain - work * (used @ contents.demand_ns) + work * (PERIOD - time))
    return best


@pytest.mark.parametrize("seed", seeds(8, 20))
def test_the_most_valuable_column_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    contents = random_contents(rng)
    price, work = rng.uniform(0, 0.5, 2), float(rng.choice([0.0, 0.003, 0.01]))
    knapsack = Knapsack(contents, CAPACITY, PERIOD, 100, safe=bool(seed % 2))
    highest, _, columns = knapsack.columns(price, work, seed)
    assert highest == pytest.approx(enumerated(contents, price, work), rel=1e-5)
    for column in columns:
        time = column.copies @ contents.time_ns[column.used] + column.times @ contents.setup_ns[column.stages]
        assert column.copies @ contents.size[column.used] <= CAPACITY
        assert time + column.idle_ns == pytest.approx(PERIOD)
    worth = [
        column.copies @ (contents.does @ price)[column.used]
        + work * (column.idle_ns - column.times @ contents.demand_ns[column.stages])
        for column in columns
    ]
    assert bool(worth) == (highest > 1), "a column is given where one is worth its core"
    assert max(worth, default=highest) == pytest.approx(highest, rel=1e-5)


@pytest.mark.parametrize("seed", seeds(8, 20))
def test_lifted_rows_are_dear_and_no_column_is_worth_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, added = random_contents(rng), random_contents(rng, rows=1 + seed % 2)
    price, work = rng.uniform(0.05, 0.5, 2), 0.003
    knapsack = Knapsack(known, CAPACITY, PERIOD, 100, safe=False)
    highest, table, _ = knapsack.columns(price, work, seed)
    lifted = table.copy()
    rest = np.empty_like(table)
    prices, cost = Lift(added, CAPACITY, PERIOD, 100).prices(lifted, rest, work, highest, np.inf)
    assert cost == pytest.approx(prices @ added.needs)
    with_idle(lifted, np.float32(work * knapsack.cell), rest)
    assert highest * (1 - 1e-5) <= rest[-1, -1] <= highest * (1 + 1e-5)
    assert enumerated(added, prices, work) <= highest * (1 + 1e-5)


def test_enough_is_enough() -> None:
    contents = random_contents(np.random.default_rng(0))
    knapsack = Knapsack(contents, CAPACITY, PERIOD, 100, safe=False)
    highest, table, _ = knapsack.columns(np.array([0.5, 0.5]), 0.0, 0)
    prices, cost = Lift(contents, CAPACITY, PERIOD, 100).prices(table, np.empty_like(table), 0.0, highest, 0.01)
    assert cost == pytest.approx(0.01)
    assert prices @ contents.needs == pytest.approx(0.01)


def test_items_that_take_no_whole_step_are_lifted() -> None:
    """Times below a step round down to nothing: what they gain for time is nothing too."""
    short = stacked([Stage((0,), [1], [0.1], [[1.0]]), Stage((1,), [1, 2], [0.1, 0.2], [[0.5], [1.0]])], [1.0], 0.0)
    table = np.zeros((CAPACITY + 1, 11), dtype=np.float32)
    prices, cost = Lift(short, CAPACITY, PERIOD, 10).prices(table, np.empty_like(table), 0.5, -1e-6, np.inf)
    assert np.isfinite(prices).all()
    assert np.isfinite(cost)
