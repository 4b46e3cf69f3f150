"""A bound on the period that knows how array groups fill cores: column generation over the contents of a core.

The relaxation of solvers/relaxation.py counts crossbars and issue time over the whole chip. Where a core is filled by
what hardly computes (fully connected layers), its issue time is lost, which only a bound over contents of single cores
sees. For a period T:

- *Items* of an option are its whole replica, if a core can hold that, and single array groups of each class (alike in
  crossbars and firing time). A copy of an item takes its crossbars once and its firing time per firing, at most
  `firings` times and at most as often as its array group can fire in T.
- An array group that is not on one core with its whole replica belongs to a part of a replica, which sends or receives
  at least one message per firing. At most P of firing time fits beside that message, P being the work of the largest
  part that a core holds, so at least message / P is added to every unit of the item's work.
- A *column* is a set of copies and firings that one core can hold within its crossbars and T. Every core of a plan with
  a period up to T is a column.
- The master takes columns, a convex mix of one option per layer, and asks that all firings of the mix are done, and
  that all other work (vector operations; messages beyond one per part: a replica on m cores sends m - 1, and both ends
  are busy) finds room. It minimises the number of columns: a lower bound on the cores that any plan of period T needs.
  If that exceeds the chip's cores, no plan of period T exists.

Columns are made on demand. For prices y of firings and work, sum over layers of the cheapest option at these prices,
divided by the value of the most valuable column, is a lower bound on the number of columns whatever the prices
(Farley 1990), so the search may end at any time. The most valuable column is found by a knapsack over crossbars and
time in steps of T / GRID, times rounded down: optimistic, hence safe.

Bisection over T between a bound and a known plan's period gives the result. Source: Gilmore and Gomory 1961; Dantzig
and Wolfe 1960.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit
from ortools.linear_solver import pywraplp  # type: ignore[attr-defined]

from pimcomp.cost import MESSAGE_NS, firing_ns
from pimcomp.ir.plan import LayerOption, MappingProblem
from solvers.patterns import alike_groups
from solvers.relaxation import FloatVector, IntVector

GRID = 128  # steps of a core's time in the knapsack
ACCURACY = 0.003  # of the bisection
COLUMNS_PER_ROUND = 20
SAFETY = 1e-6  # share of a core that the bound must exceed the chip by: numerical accuracy of the master
# The budget counts cells of the knapsack. A round of the master takes as long as so many of them, measured.
WORK_PER_S = 500_000_000
ROUND_WORK, COLUMN_WORK = 1_000_000, 4_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Items:
    """Items of all options of all layers, options in order. Units: ns, crossbars.

    option: int64[items], which (layer, option); size: crossbars of a copy; work_ns: of one firing (issue time of a
    core, divided by rob_size); most: firings of a copy; row, share: float64[items, ...] sparse: item i does `share[j]`
    of row `row[j]` per firing, for j in start[i] .. start[i + 1]. A row is a class of array groups; its firings sum up
    to 1. layer: int64[options]. rows: int64[options + 1], rows of option o are rows[o] to rows[o + 1]. other_ns:
    float64[options], messages that no item accounts for.
    """

    option: IntVector
    size: IntVector
    work_ns: FloatVector
    most: FloatVector
    start: IntVector
    row: IntVector
    share: FloatVector
    layer: IntVector
    rows: IntVector
    other_ns: FloatVector


def column_bound(problem: MappingProblem, low_ns: float, high_ns: float, work: float) -> float:
    """A proven lower bound of the period in [low_ns, high_ns]; low_ns must be one, high_ns the period of a plan.

    work: the budget, in units of which a core does WORK_PER_S a second.
    """
    known: _Master | None = None  # of the last refuted period
    while high_ns > low_ns * (1 + ACCURACY) and work > 0:
        target = max(float(np.sqrt(low_ns * high_ns)), low_ns * (1 + ACCURACY))
        refuted, spent, master = refutes(problem, target, work, known)
        work -= spent
        if refuted:
            low_ns, known = target, master
        else:
            high_ns = target
    return low_ns


def items_at(problem: MappingProblem, period_ns: float) -> Items | None:
    """The items for plans of at most that period; None if some layer has no option that can be that fast."""
    size: list[int] = []
    work: list[float] = []
    most: list[float] = []
    option: list[int] = []
    row: list[int] = []
    share: list[float] = []
    start, rows = [0], [0]
    layer_of: list[int] = []
    other: list[float] = []
    for k, layer in enumerate(problem.layers):
        for o, choice in enumerate(layer.options):
            found = _copies(problem, k, o, period_ns)
            if found is None:
                continue
            copies, other_ns = found
            first = rows[-1]
            rows.append(first + len(alike_groups(k, o, choice)))
            for copy in copies:
                option.append(len(layer_of))
                size.append(copy.crossbars)
                work.append(copy.issue_ns)
                most.append(copy.firings)
                row += [first + c for c, _ in copy.does]
                share += [part / choice.firings for _, part in copy.does]
                start.append(len(row))
            layer_of.append(k)
            other.append(other_ns)
    if len(set(layer_of)) < len(problem.layers):
        return None
    return Items(
        option=np.array(option, dtype=np.int64), size=np.array(size, dtype=np.int64), work_ns=np.array(work),
        most=np.array(most), start=np.array(start, dtype=np.int64), row=np.array(row, dtype=np.int64),
        share=np.array(share), layer=np.array(layer_of, dtype=np.int64), rows=np.array(rows, dtype=np.int64),
        other_ns=np.array(other),
    )  # fmt: skip


class _Copy(NamedTuple):
    """One kind of item: issue time of a firing over rob_size, most firings, and (class, share of its firings) done."""

    crossbars: int
    issue_ns: float
    firings: float
    does: list[tuple[int, float]]


def _copies(problem: MappingProblem, k: int, o: int, period_ns: float) -> tuple[list[_Copy], float] | None:
    """The items of an option and the messages they leave out (ns); None if no plan of that period can use it."""
    layer = problem.layers[k]
    option, capacity, rob_size = layer.options[o], problem.crossbars_per_core, problem.rob_size
    classes, times = alike_groups(k, o, option), firing_ns(option)
    replicas = _fewest_replicas(option, period_ns)
    if replicas is None or option.ag_crossbars.max() > capacity:
        return None
    blocks = -(-layer.out_width // option.unfolding.block)
    message = MESSAGE_NS / -(-blocks // min(replicas, blocks))
    cores = -(-option.crossbars // capacity)
    kinds: list[tuple[int, float, list[tuple[int, float]]]] = []
    if cores == 1:
        kinds.append((option.crossbars, float(times.sum()), [(c, 1.0) for c in range(len(classes))]))
    if len(times) > 1:
        split = 1.0 + message / _largest_part_ns(option, capacity, whole=cores == 1)
        kinds += [(a.crossbars, a.firing_ns * split, [(c, 1.0 / len(a.members))]) for c, a in enumerate(classes)]
    copies = []
    for crossbars, firing, does in kinds:
        firings = np.floor(period_ns / max(firing / rob_size, float(times.max())) * (1 + 1e-9))
        if firings >= 1:
            copies.append(_Copy(crossbars, firing / rob_size, float(min(option.firings, firings)), does))
    if {c for copy in copies for c, _ in copy.does} != set(range(len(classes))):
        return None
    return copies, option.firings * message * max(0, cores - 2) / rob_size


def _fewest_replicas(option: LayerOption, period_ns: float) -> int | None:
    """Replicas that no array group needs longer than the period with; None if not even one firing is short enough."""
    most = int(np.floor(period_ns / float(firing_ns(option).max()) * (1 + 1e-9)))
    return -(-option.firings // most) if most >= 1 else None


def _largest_part_ns(option: LayerOption, capacity: int, *, whole: bool) -> float:
    """At least the firing time of every part of a replica that fits a core and is not all of it."""
    times = firing_ns(option)
    if whole:
        return max(float(times.sum() - times.min()), float(times.min()))
    dense = np.argsort(-times / option.ag_crossbars, kind="stable")
    total, left = 0.0, float(capacity)
    for a in dense:  # the linear relaxation of the knapsack
        part = min(1.0, left / float(option.ag_crossbars[a]))
        total, left = total + part * float(times[a]), left - part * float(option.ag_crossbars[a])
        if left <= 0:
            break
    return total


def refutes(
    problem: MappingProblem, period_ns: float, work: float, known: "_Master | None" = None
) -> tuple[bool, float, "_Master | None"]:
    """Whether no plan has that period (False: not proven), the work done, and the master with its columns.

    known: that of a shorter period: a core that can hold its columns in less time can in more.
    """
    items = items_at(problem, period_ns)
    if items is None:
        return True, 0.0, None
    master = _Master(problem, items, period_ns)
    if known is not None and np.array_equal(known.items.option, items.option):
        for firings, idle_ns in known.columns:
            master.add(firings, idle_ns + period_ns - known.period_ns)
    cell = period_ns / GRID
    time = items.most * items.work_ns
    cells = np.minimum(np.floor(time / cell * (1 + 1e-9)), GRID).astype(np.int64)
    spent, best = 0.0, 0.0
    while spent < work:
        solved = master.solve()
        if solved is None:
            return False, spent, master
        columns, firing_price, work_price, demand = solved
        if columns <= problem.cores:
            return False, spent, master
        density = firing_price / items.work_ns
        used = np.flatnonzero(density > max(work_price, 0.0))
        order = used[np.argsort(-density[used], kind="stable")]
        values, busy_ns, idle_ns = _best_columns(
            order, density, items.size, cells, time, max(work_price, 0.0), problem.crossbars_per_core, GRID, cell,
            COLUMNS_PER_ROUND,
        )  # fmt: skip
        spent += 2.0 * len(order) * problem.crossbars_per_core * GRID
        spent += ROUND_WORK + COLUMN_WORK * len(master.known)
        best = max(best, demand / values[0])
        if best > problem.cores * (1 + SAFETY):
            return True, spent, master
        added = 0
        for value, busy, idle in zip(values, busy_ns, idle_ns, strict=True):
            added += value > 1 + 1e-7 and master.add(busy / items.work_ns, float(idle))
        if not added:
            return False, spent, master
    return False, spent, master


class _Master:
    """The linear program over the columns so far: fewest columns that do all work."""

    def __init__(self, problem: MappingProblem, items: Items, period_ns: float) -> None:
        self.items, self.period_ns = items, period_ns
        self.work_ns = problem.vector_work_ns / problem.rob_size
        self.solver = pywraplp.Solver.CreateSolver("CLP")
        infinity = self.solver.infinity()
        self.chosen = [self.solver.Constraint(1.0, infinity) for _ in problem.layers]
        self.done = [self.solver.Constraint(0.0, infinity) for _ in range(int(items.rows[-1]))]
        self.room = self.solver.Constraint(self.work_ns / period_ns, infinity)
        self.objective = self.solver.Objective()
        self.objective.SetMinimization()
        for o, (first, end) in enumerate(pairwise(items.rows.tolist())):
            mix = self.solver.NumVar(0.0, infinity, "")
            self.chosen[items.layer[o]].SetCoefficient(mix, 1.0)
            for row in range(first, end):
                self.done[row].SetCoefficient(mix, -1.0)
            self.room.SetCoefficient(mix, -float(items.other_ns[o]) / period_ns)
        self.known: set[bytes] = set()
        self.columns: list[tuple[FloatVector, float]] = []
        for i in range(len(items.size)):  # as many copies of one item as fit: a first solution
            firings = np.zeros(len(items.size))
            copies = max(1, problem.crossbars_per_core // int(items.size[i]))
            firings[i] = min(copies * items.most[i], period_ns / items.work_ns[i])
            self.add(firings, max(0.0, period_ns - float(firings[i] * items.work_ns[i])))
        self.add(np.zeros(len(items.size)), period_ns)

    def add(self, firings: FloatVector, idle_ns: float) -> bool:
        """Add the column with so many firings of each item and so much time for other work; whether it is new."""
        key = np.append(firings, idle_ns / self.period_ns).round(6).tobytes()
        if key in self.known:
            return False
        self.known.add(key)
        self.columns.append((firings, idle_ns))
        column = self.solver.NumVar(0.0, self.solver.infinity(), "")
        self.objective.SetCoefficient(column, 1.0)
        rows: dict[int, float] = {}
        for i in np.flatnonzero(firings).tolist():
            for j in range(int(self.items.start[i]), int(self.items.start[i + 1])):
                row = int(self.items.row[j])
                rows[row] = rows.get(row, 0.0) + float(firings[i] * self.items.share[j])
        for row, amount in rows.items():
            self.done[row].SetCoefficient(column, amount)
        if idle_ns > 0:
            self.room.SetCoefficient(column, idle_ns / self.period_ns)
        return True

    def solve(self) -> tuple[float, FloatVector, float, float] | None:
        """(columns, price of one firing of each item, price of a ns of other work, value of all demand).

        None if the linear program cannot be solved accurately.
        """
        if self.solver.Solve() != pywraplp.Solver.OPTIMAL:
            return None
        price = np.maximum(np.array([c.dual_value() for c in self.done]), 0.0)
        other = max(self.room.dual_value(), 0.0) / self.period_ns
        items = self.items
        per_firing = np.add.reduceat(price[items.row] * items.share, items.start[:-1])
        by_option = np.add.reduceat(price, items.rows[:-1]) + other * items.other_ns
        cheapest = np.full(len(self.chosen), np.inf)
        np.minimum.at(cheapest, items.layer, by_option)
        return float(self.objective.Value()), per_firing, other, float(cheapest.sum()) + other * self.work_ns


@njit(cache=True)
def _best_columns(order, density, size, cells, time, other, capacity, grid, cell, count):  # type: ignore[no-untyped-def]
    """Upper bounds of column values, best first, the time of each item in them, and what is left for other work.

    order: items by falling density (value per ns of work). A column holds whole copies and one more item of lower
    density in the time that is left; other work fills the rest.
    """
    n = len(order)
    table = np.zeros((n + 1, capacity + 1, grid + 1))
    value, at_size, at_time = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        item = order[i]
        c, dt, gain = size[item], cells[item], density[item] * time[item]
        before, after = table[i], table[i + 1]
        for k in range(capacity - c + 1):
            for t in range(grid + 1):
                left = (grid - t) * cell
                filled = min(time[item], left)
                total = before[k, t] + density[item] * filled + other * (left - filled)
                if total > value[i]:
                    value[i], at_size[i], at_time[i] = total, k, t
        for k in range(capacity + 1):
            for t in range(grid + 1):
                best = before[k, t]
                if k >= c and t >= dt and (c > 0 or dt > 0):
                    best = max(best, after[k - c, t - dt] + gain)
                after[k, t] = best
    for t in range(grid + 1):
        total = table[n, capacity, t] + other * (grid - t) * cell
        if total > value[n]:
            value[n], at_size[n], at_time[n] = total, capacity, t
    best_first = np.argsort(-value)[: min(count, n + 1)]
    busy, idle = np.zeros((len(best_first), len(size))), np.zeros(len(best_first))
    for j in range(len(best_first)):
        i = best_first[j]
        k, t = at_size[i], at_time[i]
        idle[j] = (grid - t) * cell
        if i < n:
            item = order[i]
            filled = min(time[item], idle[j])
            busy[j, item] += filled
            idle[j] -= filled
        i -= 1
        while i >= 0:
            item = order[i]
            if table[i + 1, k, t] > table[i, k, t]:
                busy[j, item] += time[item]
                k -= size[item]
                t -= cells[item]
            else:
                i -= 1
    return value[best_first], busy, idle
