"""A bound on the period that knows how array groups fill cores: column generation over the contents of a core.

The relaxation of exact/relaxation.py counts crossbars and issue time over the whole chip. Where a core is filled by
what hardly computes (fully connected layers), its issue time is lost, which only a bound over contents of single cores
sees. For a period T:

- A *column* is what one core can hold and do within its crossbars and T (core_contents.py). Every core of a
  plan with a period up to T is at most a column.
- The *master* takes columns and a convex mix of the modes of each layer. It asks that the mix does its firings and that
  all other work finds room: vector operations, and messages. It minimises the number of columns: a lower bound on the
  cores that any plan of period T needs. If that exceeds the chip's cores, no plan of period T exists.
- For any prices of firings and other work, the sum over layers of the cheapest mode, divided by the value of the most
  valuable column, is a lower bound on the number of columns (Farley 1990). The most valuable column is found by a
  knapsack over crossbars and time (core_knapsack.py). Prices are smoothed (Wentges 1997).

There are hundreds of modes, and a fast plan uses few. The master therefore begins with those of a known plan. Every
other mode is *lifted*: its rows become as dear as they can without making a column worth more than the best one. If
that makes the mode no cheaper than its layer's cheapest, the master would not use it; if not, it is halved until its
replications are one number, then joins the master. When every mode is lifted or in the master, the bound holds for
all plans.

Source: Gilmore and Gomory 1961; Dantzig and Wolfe 1960; columns and rows together: Muter, Birbil and Bulbul 2013.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector
from solvers.column_generation.core_contents import Contents, Mode, all_modes, halves, relaxed
from solvers.column_generation.core_knapsack import Lift, with_idle
from solvers.column_generation.core_master import Master

# Steps of a core's time: to find the modes that matter, and to prove; how much shorter than what the master can do a
# period is that can be refuted.
LEVELS = ((256, 0.0025), (1024, 0.002), (4096, 0.0008))
ACCURACY, LAST_ACCURACY = 0.004, 0.0  # of the master's bound, unless it refutes the period
FURTHER = 0.002  # to the next period where one is not refuted
ROUNDS = 150  # of column generation at once
LESS = (0.97, 0.94, 0.9, 0.8)  # where the budget is out before a period is refuted: shorter ones, each over the last
USED = 0.02  # share of a mode that the master takes if it matters
FAILURES = 40  # modes that are not lifted before the master is solved again
WHOLE_FROM = 200  # modes of so many replicas join the master without being halved
MODE_WORK = 1_000_000  # to describe a mode, in units of the budget
SAFETY = 2e-5  # share of a core that the bound must exceed the chip by: numerical accuracy
TOLERANCE = 1 + 2e-6  # what lifted columns may be worth: single precision


class Bound(NamedTuple):
    """A proven lower bound of the period, the modes that mattered (what fast plans may consist of), the work done."""

    period_ns: float
    modes: tuple[Mode, ...]
    spent: float


def column_bound(problem: MappingProblem, low_ns: float, high_ns: float, start: Iterable[Mode], work: float) -> Bound:
    """A bound in [low_ns, high_ns]; low_ns must be one, high_ns the period of a plan, start its modes.

    work: the budget, in units of which a core does WORK_PER_S a second (core_master.py).
    """
    search = _Search(problem, low_ns, high_ns, dict.fromkeys(start), work)
    for grid, shorter in LEVELS:
        search.descend(grid, shorter)
    if search.low_ns == low_ns:
        search.settle_for_less()
    return Bound(search.low_ns, tuple(search.used), search.spent)


@dataclass(slots=True)
class _Search:
    """Periods up to `low_ns` are refuted; `modes` are in the master, `others` cover the rest for periods to high_ns."""

    problem: MappingProblem
    low_ns: float
    high_ns: float
    modes: dict[Mode, None]
    work: float
    others: list[Mode] = field(init=False)
    prices: dict[Mode, FloatVector] = field(default_factory=dict)
    other_work: float = 0.0
    used: dict[Mode, None] = field(default_factory=dict)
    master: Master | None = None
    feasible_ns: float = np.inf  # the shortest period for which the chip's cores suffice at this level
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.others = all_modes(self.problem, self.high_ns)

    def descend(self, grid: int, shorter: float) -> None:
        """Lower the period to where the master needs hardly more cores than there are, and refute it."""
        period_ns = self.high_ns if self.master is None else self.master.period_ns
        self._forget()
        self.feasible_ns = np.inf
        if self.spent >= self.work or not self._solve(period_ns, grid, ACCURACY):
            return
        accuracy = ACCURACY
        while self.spent < self.work:
            master = self._at_threshold(grid, shorter, accuracy)
            if master is None or master.period_ns <= self.low_ns * 1.0005 or master.period_ns >= self.high_ns:
                return
            failing, cores = self._lift(master)
            if cores > self.problem.cores * (1 + SAFETY):
                self.low_ns = max(self.low_ns, master.period_ns)
                return
            self._refine(failing)
            slower = 1.0 if failing or accuracy == ACCURACY else 1 - FURTHER
            accuracy = LAST_ACCURACY if cores > 0 else ACCURACY
            if not self._solve(master.period_ns * slower, grid, accuracy):
                return

    def settle_for_less(self) -> None:
        """Refute a shorter period than the master's with what is in it; more than the budget may be used for that."""
        grid = LEVELS[0][0]
        for factor in LESS:
            if self.master is None or self.master.period_ns * factor <= self.low_ns:
                return
            period_ns = self.master.period_ns * factor
            if not self._solve(period_ns, grid, ACCURACY):
                return
            failing, cores = self._lift(self.master, np.inf)
            if cores > self.problem.cores * (1 + SAFETY):
                self.low_ns = period_ns
                return
            self._refine(failing)

    def _solve(self, period_ns: float, grid: int, accuracy: float) -> bool:
        """The master of a period; False if some layer cannot be that fast, which refutes the period."""
        while True:
            contents = {mode: relaxed(self.problem, mode, period_ns) for mode in self.modes}
            fitting: dict[Mode, Contents] = {mode: c for mode, c in contents.items() if c is not None}
            have = {mode.layer for mode in fitting}
            if len(have) == len(self.problem.layers):
                break
            missing = self._missing(period_ns, have)
            if not missing:
                self.low_ns = max(self.low_ns, min(period_ns, self.high_ns))
                return False
            self.modes.update(dict.fromkeys(missing))
        master = Master(self.problem, fitting, period_ns, grid)
        if self.master is not None:
            master.adopt(self.master)
        master.generate(self.problem.cores * (1 + 2 * SAFETY), accuracy, ROUNDS, self.prices, self.other_work)
        self.spent += master.spent
        self.prices.update(master.prices())
        self.other_work = master.work
        self.master = master
        if master.cores <= self.problem.cores:
            self.feasible_ns = min(self.feasible_ns, period_ns)
        self.used.update(
            (mode, None) for mode, share in zip(master.modes, master.shares(), strict=True) if share > USED
        )
        return True

    def _at_threshold(self, grid: int, shorter: float, accuracy: float) -> Master | None:
        """A master that needs a little more cores than the chip has; None if some layer cannot be that fast."""
        for _ in range(8):
            master = self.master
            if master is None or not np.isfinite(master.cores):
                return None
            idle = min(master.idle(), 0.9 * self.problem.cores)
            slower = (master.cores - idle) / (self.problem.cores - idle)
            least, most = (0.4, 1.6) if accuracy == ACCURACY else (0.1, 4.0)
            if least * shorter <= slower - 1 <= most * shorter or self.spent >= self.work:
                return master
            target = master.period_ns * slower / (1 + shorter)
            if target >= self.feasible_ns > master.period_ns:  # the cores needed may jump
                if self.feasible_ns <= master.period_ns * (1 + 2 * shorter):
                    return master
                target = float(np.sqrt(self.feasible_ns * master.period_ns))
            if not self._solve(target, grid, accuracy):
                return None
        return self.master

    def _missing(self, period_ns: float, have: set[int]) -> list[Mode]:
        """Few replicas of every option, for layers that lack a mode that is fast enough; none if no plan is."""
        found: dict[tuple[int, int], Mode] = {}
        for mode in all_modes(self.problem, period_ns):
            if mode.layer not in have and (mode.layer, mode.option) not in found:
                for few in (mode._replace(low=mode.high), mode):
                    if relaxed(self.problem, few, period_ns) is not None:
                        found[mode.layer, mode.option] = few
                        break
        layers = {mode.layer for mode in found.values()}
        return list(found.values()) if len(layers) == len(self.problem.layers) - len(have) else []

    def _lift(self, master: Master, most: float = FAILURES) -> tuple[list[tuple[Mode, FloatVector]], float]:
        """Modes whose lifted rows are cheaper than their layer's cheapest, with these rows; a bound on the cores.

        The bound is 0 if there were too many to look at all.
        """
        if master.table is None:
            return [], 0.0
        table, rest = master.table.copy(), np.empty_like(master.table)
        cheapest = master.cheapest(master.price, master.work)
        lowest, failing, inside = cheapest.copy(), [], set(master.modes)
        for mode in self.others:
            if mode in inside:
                continue
            contents = relaxed(self.problem, mode, master.period_ns)
            self.spent += MODE_WORK
            if contents is None:
                continue
            lift = Lift(contents, self.problem.crossbars_per_core, master.period_ns, master.knapsack.grid)
            self.spent += lift.spent
            k = mode.layer
            price, cost = lift.prices(table, rest, master.work, TOLERANCE, float(cheapest[k]))
            if cost < cheapest[k] * (1 - 1e-6):
                lowest[k] = min(lowest[k], cost)
                failing.append((mode, price))
                if len(failing) == most:
                    return failing, 0.0
        with_idle(table, np.float32(master.work * master.knapsack.cell), rest)
        return failing, float((lowest.sum() + master.work * master.work_ns) / rest[-1, -1])

    def _forget(self) -> None:
        """Modes that the master does not use leave it."""
        if self.master is None or not self.master.solve():
            return
        for mode, share in zip(self.master.modes, self.master.shares(), strict=True):
            if share < 1e-9:
                self.modes.pop(mode, None)
                self.others.append(mode)

    def _refine(self, failing: list[tuple[Mode, FloatVector]]) -> None:
        """Halve these modes, or take them into the master."""
        for mode, price in failing:
            self.others.remove(mode)
            if mode.low == mode.high or mode.low >= WHOLE_FROM:
                self.modes[mode] = None
                self.prices[mode] = price
            else:
                self.others += halves(mode)
