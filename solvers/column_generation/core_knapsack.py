"""The most valuable contents of a core at given prices: a knapsack over crossbars and time (columns.py).

Time is counted in steps of the period / grid; times are rounded down where a bound follows (optimistic), up where plans
do. Tables hold, for so many crossbars (rows) and steps (columns), the highest value of what fits; float32, so that a
core of a processor handles eight entries at once. Contents are found again by looking where their value came from.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from solvers.column_generation.core_contents import ROUNDING, Contents, dot, product
from solvers.exact.relaxation import FloatVector, IntVector

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


class Knapsack:
    """The knapsack of a core for given contents and period."""

    def __init__(self, contents: Contents, capacity: int, period_ns: float, grid: int, *, safe: bool) -> None:
        """grid: steps of the period, at most. safe: round up, so that what is found fits."""
        self.contents, self.capacity = contents, capacity
        self.grid = max(LEAST_GRID, min(grid, ENTRIES // ((len(contents.keys) + 2) * (capacity + 1))))
        self.cell = period_ns / self.grid
        self.cells = steps(contents.time_ns, self.cell, self.grid, safe=safe)
        self.setup = steps(contents.setup_ns, self.cell, self.grid, safe=safe)
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
        _forward(order, contents.first, contents.size, self.cells, gain, self.setup, setup, self.tables)
        table = self.tables[len(order)]
        highest, copies, times, idle = _backward(
            order, contents.first, contents.size, self.cells, gain, self.setup, setup, work * self.cell, self.tables,
            NEAR_BEST,
        )  # fmt: skip
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


class Lift:
    """How dear the rows of one mode may be before a column with its items is worth more than any other."""

    def __init__(self, contents: Contents, capacity: int, period_ns: float, grid: int) -> None:
        self.contents, self.grid, self.capacity = contents, grid, capacity
        self.cell = period_ns / grid
        self.cells = steps(contents.time_ns, self.cell, grid, safe=False)
        self.setup = steps(contents.setup_ns, self.cell, grid, safe=False)
        self.per_step, self.per_crossbar = SLANTS / grid, (1 - SLANTS) / capacity
        # A copy gains at most per_step x its steps + per_crossbar x its crossbars, for any of these prices of rows.
        may = self.per_step[:, None] * self.cells + self.per_crossbar[:, None] * contents.size
        rows = contents.does.shape[1]
        if rows == 1:
            self.price = (may / contents.does[:, 0]).min(axis=1, keepdims=True)
        else:
            of_time = (self.cells / contents.does[:, 0]).min() * self.per_step
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
        setup = work * contents.demand_ns
        with_idle(table, np.float32(work * self.cell), rest)
        scale = (1 - 1e-6) * _scales(
            contents.first, contents.size, self.cells, self.setup, setup, rest, highest, self.per_step,
            self.per_crossbar,
        )  # fmt: skip
        room = work * contents.room_ns
        unit = product(self.price, contents.needs)
        slant = int(np.argmax(scale * unit))
        price = self.price[slant] * min(scale[slant], max(0.0, enough - room) / max(unit[slant], 1e-300))
        gain = product(contents.does, price)
        _insert(contents.first, contents.size, self.cells, gain, self.setup, setup, table, rest)
        return price, dot(price, contents.needs) + room


@kernel
def with_idle(table, idle, rest):  # type: ignore[no-untyped-def]
    """The highest values of at most so many steps, idle ones included."""
    for k in range(len(table)):
        rest[k, 0] = table[k, 0]
        for t in range(1, table.shape[1]):
            rest[k, t] = max(table[k, t], rest[k, t - 1] + idle)


@kernel
def _extend(source, target, cells, gain):  # type: ignore[no-untyped-def]
    """A further copy of an item wherever it is worth it: source is so many crossbars before target."""
    count = len(target) - cells
    before, after = source[:count], target[cells:]
    for t in range(count):
        after[t] = max(after[t], before[t] + gain)


@kernel
def _set_up(table, setup, price, part):  # type: ignore[no-untyped-def]
    for k in range(len(table)):
        part[k, :setup] = -1e30
        part[k, setup:] = table[k, : table.shape[1] - setup] - price


@kernel
def _fill(begin, end, size, cells, gain, part):  # type: ignore[no-untyped-def]
    """Any copies of the items begin to end."""
    for i in range(begin, end):
        if gain[i] > 0.0 and cells[i] < part.shape[1]:
            for k in range(size[i], len(part)):
                _extend(part[k - size[i]], part[k], cells[i], np.float32(gain[i]))


@kernel
def _one(begin, end, size, cells, gain, part, one):  # type: ignore[no-untyped-def]
    """Exactly one copy of one of the items begin to end."""
    one[:] = -1e30
    for i in range(begin, end):
        if gain[i] > 0.0 and cells[i] < part.shape[1]:
            for k in range(size[i], len(part)):
                _extend(part[k - size[i]], one[k], cells[i], np.float32(gain[i]))


@kernel
def _forward(order, first, size, cells, gain, setup, setup_price, tables):  # type: ignore[no-untyped-def]
    """Stage after stage, a core's contents are extended by nothing, or by its set-up and some copies of its items."""
    tables[0] = 0.0
    empty = np.zeros_like(tables[0])
    for n in range(len(order)):
        s = order[n]
        part = tables[n + 1]
        if setup[s] >= part.shape[1]:
            part[:] = tables[n]
            continue
        if setup_price[s] < 0.0:  # a set-up alone must not pay
            _set_up(tables[n], setup[s], np.float32(setup_price[s]), empty)
            _one(first[s], first[s + 1], size, cells, gain, empty, part)
        else:
            _set_up(tables[n], setup[s], np.float32(setup_price[s]), part)
        _fill(first[s], first[s + 1], size, cells, gain, part)
        for k in range(len(part)):
            _extend(tables[n][k], part[k], 0, np.float32(0.0))


@kernel
def _backward(  # type: ignore[no-untyped-def]
    order, first, size, cells, gain, setup, setup_price, idle, tables, near
):
    """(highest value, copies of items, uses of stages, idle steps) of the best column of each stage, if near the best.

    A column is one more use of a stage, and what is best besides.
    """
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
        _set_up(best, setup[s], np.float32(setup_price[s]), empty)
        full[:] = empty
        _fill(first[s], first[s + 1], size, cells, gain, full)
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
        k, t = _emptied(first[s], first[s + 1], size, cells, gain, empty, full, k, t, copies[many])
        times[many, s] += 1
        t -= setup[s]
        for n in range(stages, 0, -1):
            if tables[n][k, t] <= tables[n - 1][k, t]:
                continue
            u = order[n - 1]
            _set_up(tables[n - 1], setup[u], np.float32(setup_price[u]), empty)
            full[:] = empty
            _fill(first[u], first[u + 1], size, cells, gain, full)
            k, t = _emptied(first[u], first[u + 1], size, cells, gain, empty, full, k, t, copies[many])
            times[many, u] += 1
            t -= setup[u]
        many += 1
    return highest, copies[:many], times[:many], left[:many]


@kernel
def _emptied(begin, end, size, cells, gain, empty, full, k, t, copies):  # type: ignore[no-untyped-def]
    """Where the value of full[k, t] came from, at least one copy before: crossbars and steps; counts the copies."""
    value = np.float32(-1e30)
    while True:
        last = -1
        for i in range(begin, end):
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
def _scales(first, size, cells, setup, setup_price, rest, highest, per_step, per_crossbar):  # type: ignore[no-untyped-def]
    """For each slant: how often a copy may gain what it says and no contents with the best of `rest` exceed `highest`.

    What a stage's copies can fill is a set of (crossbars, steps); their gain follows from these two.
    """
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
            room = highest + setup_price[s] - rest[capacity - k, end - t]
            for q in range(len(scale)):
                gain = per_step[q] * t + per_crossbar[q] * k
                if gain > 0.0 and room < scale[q] * gain:
                    scale[q] = room / gain
    return np.maximum(scale, 0.0)


@kernel
def _insert(first, size, cells, gain, setup, setup_price, table, part):  # type: ignore[no-untyped-def]
    """Extend a table by the stages of one mode."""
    for s in range(len(setup)):
        if setup[s] < table.shape[1]:
            _set_up(table, setup[s], np.float32(setup_price[s]), part)
            _fill(first[s], first[s + 1], size, cells, gain, part)
            for k in range(len(table)):
                _extend(part[k], table[k], 0, np.float32(0.0))
