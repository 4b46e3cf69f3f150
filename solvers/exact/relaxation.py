"""The mapping problem without its packing: crossbars as one budget, issue time spread evenly. It proves bounds.

A configuration of a layer is (option, replication). It takes `crossbars`, `work_ns` of issue time in all, and keeps
its busiest array group occupied for `group_ns` = ceil(firings / replication) * (its firing time). Only the smallest
replication of each ceil(firings / replication) is kept: a larger one takes more crossbars and changes neither time.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector, IntVector, firing_ns, issue_bound_ns

BISECTION_ACCURACY = 1e-7  # relative; the part of a gap that is numerical
BUDGET_STEPS = 16384  # the knapsack counts crossbars in units of at least this fraction of the budget


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Configurations:
    """All useful configurations, layer by layer: layer k owns rows [start[k], start[k + 1]) of each array."""

    start: IntVector
    option: IntVector
    replication: IntVector
    crossbars: IntVector
    work_ns: FloatVector
    group_ns: FloatVector
    block_ns: FloatVector  # one firing of the slowest array group
    replica_ns: FloatVector  # all array groups of the busiest replica together: what its core works if it is not split


@dataclass(frozen=True, slots=True)
class Choice:
    """One configuration per layer."""

    option: tuple[int, ...]
    replication: tuple[int, ...]


def configurations(problem: MappingProblem) -> Configurations:
    """Every configuration that fits the chip on its own; every layer has at least one if the network fits at all."""
    rows: list[_Rows] = []
    for k, layer in enumerate(problem.layers):
        for o, option in enumerate(layer.options):
            if option.ag_crossbars.max() > problem.crossbars_per_core:
                continue
            replication = useful_replications(option.firings)
            replication = replication[replication * option.crossbars <= problem.crossbars]
            weights = firing_ns(option)
            busiest = (-(-option.firings // replication)).astype(np.float64)
            rows.append(
                _Rows(k, o, replication, option.crossbars, option.work_ns, busiest, weights.max(), weights.sum())
            )
    counts = np.zeros(len(problem.layers), dtype=np.int64)
    for row in rows:
        counts[row.layer] += len(row.replication)
    rows = rows or [_Rows(0, 0, np.zeros(0, np.int64), 0, 0.0, np.zeros(0), 0.0, 0.0)]
    return Configurations(
        start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        option=np.concatenate([np.full(len(row.replication), row.option) for row in rows]),
        replication=np.concatenate([row.replication for row in rows]),
        crossbars=np.concatenate([row.replication * row.crossbars for row in rows]),
        work_ns=np.concatenate([np.full(len(row.replication), row.work_ns) for row in rows]),
        group_ns=np.concatenate([row.blocks * row.group_ns for row in rows]),
        block_ns=np.concatenate([np.full(len(row.replication), row.group_ns) for row in rows]),
        replica_ns=np.concatenate([row.blocks * row.replica_ns for row in rows]),
    )


class _Rows(NamedTuple):
    """The configurations of one option of one layer; crossbars of one replica, times of one firing."""

    layer: int
    option: int
    replication: IntVector
    crossbars: int
    work_ns: float
    blocks: FloatVector  # firings of the busiest replica
    group_ns: float
    replica_ns: float


def useful_replications(firings: int) -> IntVector:
    """int64[about 2 sqrt(firings)], rising: the smallest r of each value of ceil(firings / r)."""
    small = np.arange(1, int(np.sqrt(firings)) + 2, dtype=np.int64)
    shares = np.unique(np.concatenate([small, -(-firings // small)]))
    return np.unique(-(-firings // shares[shares <= firings]))


def chosen(table: Configurations, rows: IntVector) -> Choice:
    """The choice that takes row `rows[k]` for layer k."""
    return Choice(tuple(table.option[rows].tolist()), tuple(table.replication[rows].tolist()))


def least_work(table: Configurations, limit_ns: float, budget: int, *, optimistic: bool) -> IntVector | None:
    """Rows int64[layers] of least total issue time with no array group busier than `limit_ns`, within `budget`.

    A multiple-choice knapsack by dynamic programming over crossbars. Budgets above BUDGET_STEPS are counted in
    coarser units: crossbars are rounded down if `optimistic` (then None is a proof), up if not (then the rows fit).
    """
    layers = len(table.start) - 1
    best = _cheapest_rows(table.start, table.option, table.group_ns, limit_ns)
    if len(best) == 0:
        return None if layers else np.zeros(0, dtype=np.int64)
    rows, first = best
    parts = np.split(rows, first)
    least = np.array([part[np.lexsort((table.crossbars[part], table.work_ns[part]))[0]] for part in parts])
    if table.crossbars[least].sum() <= budget:
        return least
    if sum(int(table.crossbars[part].min()) for part in parts) > budget:
        return None
    unit = -(-budget // BUDGET_STEPS)
    size = table.crossbars[rows] // unit if optimistic else -(-table.crossbars[rows] // unit)
    bounds = np.concatenate([[0], first, [len(rows)]]).astype(np.int64)
    picked = _knapsack(bounds, size, table.work_ns[rows], budget // unit)
    return None if picked[0] < 0 else rows[picked]


def _cheapest_rows(
    start: IntVector, option: IntVector, group_ns: FloatVector, limit_ns: float
) -> tuple[IntVector, IntVector] | tuple[()]:
    """Per layer and option the row of fewest crossbars within the limit, and where each layer but the first begins."""
    parts = []
    for begin, end in pairwise(start.tolist()):
        within = np.flatnonzero(group_ns[begin:end] <= limit_ns * (1 + 1e-12)) + begin
        if len(within) == 0:
            return ()
        parts.append(within[np.unique(option[within], return_index=True)[1]])  # rows rise with replication
    if not parts:
        return ()
    return np.concatenate(parts), np.cumsum([len(part) for part in parts])[:-1]


@kernel
def _knapsack(bounds: IntVector, size: IntVector, work: FloatVector, budget: int) -> IntVector:
    layers = len(bounds) - 1
    total = np.zeros(budget + 1)
    pick = np.full((layers, budget + 1), -1, dtype=np.int64)
    for k in range(layers):
        after = np.full(budget + 1, np.inf)
        for i in range(bounds[k], bounds[k + 1]):
            for b in range(size[i], budget + 1):
                value = total[b - size[i]] + work[i]
                if value < after[b]:
                    after[b] = value
                    pick[k, b] = i
        total = after
    rows = np.full(layers, -1, dtype=np.int64)
    if np.isinf(total[budget]):
        return rows
    b = budget
    for k in range(layers - 1, -1, -1):
        rows[k] = pick[k, b]
        b -= size[rows[k]]
    return rows


def issue_ns(problem: MappingProblem, table: Configurations, rows: IntVector) -> float:
    """Issue time per core if everything is spread evenly."""
    return float(table.work_ns[rows].sum() + problem.vector_work_ns) / (problem.cores * problem.rob_size)


def period_relaxation(problem: MappingProblem, table: Configurations) -> tuple[float, IntVector | None]:
    """Proven lower bound of the period (ns) of every plan, and the relaxed choice (rows) that attains it.

    The relaxation minimises T = max(even share of all issue time, busiest array group) within the chip's crossbars.
    It is one: a plan's busiest core works at least the mean, an array group sits on one core, and packing only adds
    restrictions.

    Bisection on T. For a given T each layer and option needs its smallest replication with ceil(firings / r) * time
    <= T, and the least total work of one option per layer within the budget is a knapsack, solved exactly: T is
    attainable iff that work is at most T * cores - vector work. Attainability is monotone in T: configurations only
    get cheaper, the allowance only grows. The lower end of the bisection was always refuted, so it is a bound.
    """
    slots = problem.cores * problem.rob_size
    low = issue_bound_ns(problem)
    slowest = float(table.group_ns.max(initial=0.0))
    high = max(
        low, slowest, (float(table.work_ns.max(initial=0.0)) * len(problem.layers) + problem.vector_work_ns) / slots
    )
    bound, rows = _bisect(problem, table, low, high, optimistic=True)
    if rows is None or table.crossbars[rows].sum() <= problem.crossbars:
        return bound, rows
    return bound, _bisect(problem, table, bound, high, optimistic=False)[1]


def _bisect(
    problem: MappingProblem, table: Configurations, low_ns: float, high_ns: float, *, optimistic: bool
) -> tuple[float, IntVector | None]:
    """(largest refuted T, or `low_ns` if that is attained; rows of the smallest T found, None if `high_ns` fails)."""

    def attains(limit_ns: float) -> IntVector | None:
        rows = least_work(table, limit_ns, problem.crossbars, optimistic=optimistic)
        within = rows is not None and issue_ns(problem, table, rows) <= limit_ns * (1 + 1e-12)
        return rows if within else None

    best = attains(low_ns)
    if best is not None:
        return low_ns, best
    best = attains(high_ns)
    while best is not None and high_ns - low_ns > BISECTION_ACCURACY * high_ns:
        middle_ns = 0.5 * (low_ns + high_ns)
        rows = attains(middle_ns)
        if rows is None:
            low_ns = middle_ns
        else:
            high_ns, best = middle_ns, rows
    return low_ns, best
