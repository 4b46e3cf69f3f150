"""The most valuable contents of a core at given prices: a knapsack over crossbars and time (columns.py).

Time is counted in steps of the period / grid; times are rounded down where a bound follows (optimistic), up where plans
do. Tables hold, for so many crossbars (rows) and steps (columns), the highest value of what fits; float32, so that a
core of a processor handles eight entries at once. Contents are found again by looking where their value came from.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.plan.cost import FloatVector, IntVector
from solvers.column_generation.core_contents import ROUNDING, Contents, dot, product

Table = npt.NDArray[np.float32]

ENTRIES = 30_000_000  # of all tables together, at most
LEAST_GRID = 64
NEAR_BEST = 0.7  # columns are returned whose reduced cost is at least 1 - this share of the best one's
SLANTS = np.array([1.0, 0.85, 0.6, 0.3])  # weights of time in what an item may gain; the rest is for crossbars


class Column(NamedTuple):
    """Copies of the items `used`, uses of `stages`, ns left for other work."""

    used: IntVector
    copies: IntVector
    stages: IntVector
    times: IntVector
    idle_ns: float


class Items(NamedTuple):
    """What fits a core, counted in steps. first: int64[stages + 1], the items of each stage. size, cells: int64[items],
    crossbars and steps; gain: float64[items], worth of a copy. setup, fee: int64 and float64[stages], steps and price
    of a stage's set-up.
    """

    first: IntVector
    size: IntVector
    cells: IntVector
    gain: FloatVector
    setup: IntVector
    fee: FloatVector


class Knapsack:
    """The knapsack of a core for given contents and period."""

    def __init__(self, contents: Contents, capacity: int, period_ns: float, grid: int, *, safe: bool) -> None:
        """grid: steps of the period, at most. safe: round up, so that what is found fits."""
        self.contents, self.capacity = contents, capacity
        self.grid = max(LEAST_GRID, min(grid, ENTRIES // ((len(contents.keys) + 2) * (capacity + 1))))
        self.cell = period_ns / self.grid
        self.items = _items(contents, self.cell, self.grid, safe=safe)
        self.tables = np.zeros((len(contents.keys) + 1, capacity + 1, self.grid + 1), dtype=np.float32)
        self.spent = 0.0

    def columns(self, price: FloatVector, work: float, seed: int) -> tuple[float, Table, list[Column]]:
        """(highest value of a column, the table of all stages, the best columns of every stage).

        price: of each row; work: of a ns of other work, which fills what is left.
        """
        contents = self.contents
        gain = product(contents.does, price)
        setup = work * contents.demand_ns - product(contents.uses, price)
        useful = np.flatnonzero(np.maximum.reduceat(gain, contents.first[:-1]) > 0)
        order = np.random.default_rng(seed).permutation(useful)  # other columns of equal value in another order
        items = self.items._replace(gain=gain, fee=setup)
        _forward(order, items, self.tables)
        table = self.tables[len(order)]
        highest, copies, times, idle = _backward(order, items, work * self.cell, self.tables, NEAR_BEST)
        per_item = self.capacity * self.grid
        self.spent += 2.0 * float((contents.first[order + 1] - contents.first[order] + 4).sum()) * per_item
        found = []
        for c, n, i in zip(copies, times, idle, strict=True):
            used, stages = np.flatnonzero(c), np.flatnonzero(n)
            found.append(Column(used, c[used], stages, n[stages], float(i) * self.cell))
        return float(highest), table, found


def steps(time_ns: FloatVector, cell: float, grid: int, *, safe: bool) -> IntVector:
    """Times in steps, rounded up if safe, down otherwise; at most one more than the grid."""
    exact = time_ns / cell
    whole = np.ceil(exact * (1 - ROUNDING)) if safe else np.floor(exact * (1 + ROUNDING))
    return np.minimum(whole, grid + 1).astype(np.int64)


def _items(contents: Contents, cell: float, grid: int, *, safe: bool) -> Items:
    """The items, without prices."""
    cells, setup = (steps(ns, cell, grid, safe=safe) for ns in (contents.time_ns, contents.setup_ns))
    return Items(contents.first, contents.size, cells, np.zeros(len(cells)), setup, np.zeros(len(setup)))


class Lift:
    """How dear the rows of one mode may be before a column with its items is worth more than any other."""

    def __init__(self, contents: Contents, capacity: int, period_ns: float, grid: int) -> None:
        self.contents, self.grid, self.capacity = contents, grid, capacity
        self.cell = period_ns / grid
        self.items = _items(contents, self.cell, grid, safe=False)
        self.per_step, self.per_crossbar = SLANTS / grid, (1 - SLANTS) / capacity
        # A copy gains at most per_step x its steps + per_crossbar x its crossbars, for any of these prices of rows.
        may = self.per_step[:, None] * self.items.cells + self.per_crossbar[:, None] * contents.size
        rows = contents.does.shape[1]
        if rows == 1:
            self.price = (may / contents.does[:, 0]).min(axis=1, keepdims=True)
        else:
            of_time = (self.items.cells / contents.does[:, 0]).min() * self.per_step
            of_size = (contents.size / contents.does[:, 1]).min() * self.per_crossbar
            self.price = np.stack([of_time, of_size], axis=1)
        self.spent = float(2 * len(contents.size) * capacity * grid)

    def prices(
        self, table: Table, rest: Table, work: float, highest: float, enough: float
    ) -> tuple[FloatVector, float]:
        """(price of each row, cost of the mode): `enough`, or as much as can be so that no column exceeds `highest`.

        table: of what the mode is added to, and is changed by that; rest: room for another.
        """
        contents = self.contents
        items = self.items._replace(fee=work * contents.demand_ns)
        with_idle(table, np.float32(work * self.cell), rest)
        scale = (1 - 1e-6) * _scales(items, rest, highest, self.per_step, self.per_crossbar)
        room = work * contents.room_ns
        unit = product(self.price, contents.needs)
        slant = int(np.argmax(scale * unit))
        price = self.price[slant] * min(scale[slant], max(0.0, enough - room) / max(unit[slant], 1e-300))
        _insert(items._replace(gain=product(contents.does, price)), table, rest)
        return price, dot(price, contents.needs) + room


@kernel
def with_idle(table: Table, idle: np.float32, rest: Table) -> None:
    """The highest values of at most so many steps, idle ones included."""
    for k in range(len(table)):
        rest[k, 0] = table[k, 0]
        for t in range(1, table.shape[1]):
            rest[k, t] = max(table[k, t], rest[k, t - 1] + idle)


@kernel
def _extend(source: Table, target: Table, cells: int, gain: np.float32) -> None:
    """A further copy of an item wherever it is worth it: source is so many crossbars before target."""
    count = len(target) - cells
    before, after = source[:count], target[cells:]
    for t in range(count):
        after[t] = max(after[t], before[t] + gain)


@kernel
def _set_up(table: Table, items: Items, s: int, part: Table) -> None:
    """What a table is worth with one more set-up of stage s."""
    setup, fee = items.setup[s], np.float32(items.fee[s])
    for k in range(len(table)):
        part[k, :setup] = -1e30
        part[k, setup:] = table[k, : table.shape[1] - setup] - fee


@kernel
def _fill(items: Items, s: int, part: Table) -> None:
    """Any copies of the items of stage s."""
    _, size, cells, gain, _, _ = items
    for i in range(items.first[s], items.first[s + 1]):
        if gain[i] > 0.0 and cells[i] < part.shape[1]:
            for k in range(size[i], len(part)):
                _extend(part[k - size[i]], part[k], cells[i], np.float32(gain[i]))


@kernel
def _one(items: Items, s: int, part: Table, one: Table) -> None:
    """Exactly one copy of one of the items of stage s."""
    _, size, cells, gain, _, _ = items
    one[:] = -1e30
    for i in range(items.first[s], items.first[s + 1]):
        if gain[i] > 0.0 and cells[i] < part.shape[1]:
            for k in range(size[i], len(part)):
                _extend(part[k - size[i]], one[k], cells[i], np.float32(gain[i]))


@kernel
def _forward(order: IntVector, items: Items, tables: Table) -> None:
    """Stage after stage, a core's contents are extended by nothing, or by its set-up and some copies of its items."""
    tables[0] = 0.0
    empty = np.zeros_like(tables[0])
    for n in range(len(order)):
        s = order[n]
        part = tables[n + 1]
        if items.setup[s] >= part.shape[1]:
            part[:] = tables[n]
            continue
        if items.fee[s] < 0.0:  # a set-up alone must not pay
            _set_up(tables[n], items, s, empty)
            _one(items, s, empty, part)
        else:
            _set_up(tables[n], items, s, part)
        _fill(items, s, part)
        for k in range(len(part)):
            _extend(tables[n][k], part[k], 0, np.float32(0.0))


@kernel
def _backward(
    order: IntVector, items: Items, idle: float, tables: Table, near: float
) -> tuple[float, IntVector, IntVector, FloatVector]:
    """(highest value, copies of items, uses of stages, idle steps) of the best column of each stage, if near the best.

    A column is one more use of a stage, and what is best besides.
    """
    first, size, cells, gain, setup, _ = items
    stages, capacity, grid = len(order), tables.shape[1] - 1, tables.shape[2] - 1
    best = tables[stages]
    highest = idle * grid
    for t in range(grid + 1):
        highest = max(highest, best[capacity, t] + idle * (grid - t))
    limit = max(1.0, highest - near * (highest - 1.0))
    copies, times = np.zeros((stages, len(size)), dtype=np.int64), np.zeros((stages, len(first) - 1), dtype=np.int64)
    left = np.zeros(stages)
    empty, full = np.zeros_like(best), np.zeros_like(best)
    many = 0
    for s in order:
        if setup[s] > grid:
            continue
        _set_up(best, items, s, empty)
        full[:] = empty
        _fill(items, s, full)
        value, k, t = -1.0, capacity, 0
        for i in range(first[s], first[s + 1]):
            if gain[i] > 0.0 and size[i] <= capacity:
                for u in range(cells[i], grid + 1):
                    total = full[capacity - size[i], u - cells[i]] + gain[i] + idle * (grid - u)
                    if total > value:
                        value, t = total, u
        if value < limit:
            continue
        left[many] = grid - t
        k, t = _emptied(items, s, empty, full, k, t, copies[many])
        times[many, s] += 1
        t -= setup[s]
        for n in range(stages, 0, -1):
            if tables[n][k, t] <= tables[n - 1][k, t]:
                continue
            u = order[n - 1]
            _set_up(tables[n - 1], items, u, empty)
            full[:] = empty
            _fill(items, u, full)
            k, t = _emptied(items, u, empty, full, k, t, copies[many])
            times[many, u] += 1
            t -= setup[u]
        many += 1
    return highest, copies[:many], times[:many], left[:many]


@kernel
def _emptied(items: Items, s: int, empty: Table, full: Table, k: int, t: int, copies: IntVector) -> tuple[int, int]:
    """Where the value of full[k, t] came from, at least one copy before: crossbars and steps; counts the copies."""
    _, size, cells, gain, _, _ = items
    value = np.float32(-1e30)
    while True:
        last = -1
        for i in range(items.first[s], items.first[s + 1]):
            if gain[i] > 0.0 and size[i] <= k and cells[i] <= t:
                total = full[k - size[i], t - cells[i]] + np.float32(gain[i])
                if total > value:
                    value, last = total, i
        if last < 0:
            return k, t
        copies[last] += 1
        k -= size[last]
        t -= cells[last]
        value = empty[k, t]


@kernel
def _scales(items: Items, rest: Table, highest: float, per_step: FloatVector, per_crossbar: FloatVector) -> FloatVector:
    """For each slant: how often a copy may gain what it says and no contents with the best of `rest` exceed `highest`.

    What a stage's copies can fill is a set of (crossbars, steps); their gain follows from these two.
    """
    first, size, cells, _, setup, fee = items
    capacity, grid = rest.shape[0] - 1, rest.shape[1] - 1
    scale = np.full(len(per_step), 1e30)
    reached = np.zeros((capacity + 1, grid + 1), dtype=np.uint8)
    crossbars = np.zeros(reached.size, dtype=np.int64)
    taken = np.zeros(reached.size, dtype=np.int64)
    for s in range(len(setup)):
        if setup[s] > grid:
            continue
        end, points = grid - setup[s], 1
        for i in range(first[s], first[s + 1]):
            n = 0
            while n < points:  # grows
                k, t = crossbars[n] + size[i], taken[n] + cells[i]
                if k <= capacity and t <= end and not reached[k, t]:
                    reached[k, t] = 1
                    crossbars[points], taken[points] = k, t
                    points += 1
                n += 1
        for n in range(1, points):
            k, t = crossbars[n], taken[n]
            reached[k, t] = 0
            room = highest + fee[s] - rest[capacity - k, end - t]
            for q in range(len(scale)):
                gain = per_step[q] * t + per_crossbar[q] * k
                if gain > 0.0 and room < scale[q] * gain:
                    scale[q] = room / gain
    return np.maximum(scale, 0.0)


@kernel
def _insert(items: Items, table: Table, part: Table) -> None:
    """Extend a table by the stages of one mode."""
    for s in range(len(items.setup)):
        if items.setup[s] < table.shape[1]:
            _set_up(table, items, s, part)
            _fill(items, s, part)
            for k in range(len(table)):
                _extend(part[k], table[k], 0, np.float32(0.0))
