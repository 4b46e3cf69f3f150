"""Fewest cores whose contents do all work: a linear program over columns, made on demand (columns.py)."""

from collections.abc import Mapping, Sequence

import numpy as np
from ortools.linear_solver import pywraplp  # type: ignore[attr-defined]

from pimcomp.ir.plan import MappingProblem
from pimcomp.plan.cost import FloatVector
from solvers.column_generation.core_contents import Contents, Mode, dot, joined, product
from solvers.column_generation.core_knapsack import Column, Knapsack, Table

SMOOTHING = 0.8  # weight of the best prices so far
# The budget counts entries of knapsack tables. A round of the master takes as long as so many of them, measured.
WORK_PER_S = 5_000_000_000
ROUND_WORK, COLUMN_WORK = 5_000_000, 8_000


class Master:
    """The linear program over the columns so far, for one period and some modes of every layer."""

    def __init__(
        self,
        problem: MappingProblem,
        modes: Mapping[Mode, Contents],
        period_ns: float,
        grid: int,
        *,
        safe: bool = False,
    ) -> None:
        """safe: contents are rounded such that plans can hold them, else such that bounds follow."""
        self.problem, self.period_ns = problem, period_ns
        self.modes = tuple(modes)
        parts = tuple(modes.values())
        self.contents = joined(parts)
        self.rows = np.cumsum([0] + [len(part.needs) for part in parts])
        self.room = np.array([part.room_ns for part in parts])
        self.layer = np.array([mode.layer for mode in self.modes])
        self.work_ns = problem.vector_work_ns / problem.rob_size
        self.knapsack = Knapsack(self.contents, problem.crossbars_per_core, period_ns, grid, safe=safe)
        self.solver = pywraplp.Solver.CreateSolver("CLP")
        infinity = self.solver.infinity()
        chosen = [self.solver.Constraint(1.0, infinity) for _ in problem.layers]
        self.done = [self.solver.Constraint(0.0, 0.0 if exact else infinity) for exact in self.contents.exact]
        self.other = self.solver.Constraint(self.work_ns / period_ns, infinity)
        self.objective = self.solver.Objective()
        self.objective.SetMinimization()
        self.mix = [self.solver.NumVar(0.0, infinity, "") for _ in self.modes]
        for m, mix in enumerate(self.mix):
            chosen[self.layer[m]].SetCoefficient(mix, 1.0)
            for row in range(int(self.rows[m]), int(self.rows[m + 1])):
                self.done[row].SetCoefficient(mix, -float(self.contents.needs[row]))
            self.other.SetCoefficient(mix, -float(self.room[m]) / period_ns)
        for row in np.flatnonzero(self.contents.exact).tolist():  # too much may be done, at a price
            excess = self.solver.NumVar(0.0, infinity, "")
            self.done[row].SetCoefficient(excess, -1.0)
            self.objective.SetCoefficient(excess, 1.0)
        self.columns: dict[bytes, Column] = {}
        self.variables: list[pywraplp.Variable] = []
        self.rounds, self.cores, self.bound = 0, np.inf, 0.0
        self.price, self.work = np.zeros(len(self.contents.needs)), 0.0
        self.table: Table | None = None
        self._add_simple_columns()

    def _add_simple_columns(self) -> None:
        """As many copies of one item as fit, so that there is a first solution; and nothing but other work."""
        contents, period_ns = self.contents, self.period_ns
        one, nothing = np.ones(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.add(Column(nothing, nothing, nothing, nothing, period_ns))
        for s in range(len(contents.keys)):
            for i in range(int(contents.first[s]), int(contents.first[s + 1])):
                left_ns = period_ns * (1 + 1e-9) - float(contents.setup_ns[s])
                most = self.problem.crossbars_per_core // int(contents.size[i])
                copies = min(most, int(left_ns / contents.time_ns[i]))
                if copies > 0:
                    left_ns = max(0.0, left_ns - float(copies * contents.time_ns[i]))
                    self.add(Column(one * i, one * copies, one * s, one, left_ns))

    @property
    def spent(self) -> float:
        """Work done so far, in units of which a core does WORK_PER_S a second."""
        return self.knapsack.spent + self.rounds * (ROUND_WORK + COLUMN_WORK * len(self.columns))

    def adopt(self, other: "Master") -> None:
        """Add the columns of another master that last no longer than this one's period and whose stages it has."""
        contents, stage_of = self.contents, {key: s for s, key in enumerate(self.contents.keys)}
        theirs = other.contents
        for column in other.columns.values():
            same = [stage_of.get(theirs.keys[s]) for s in column.stages]
            if None in same:
                continue
            stages = np.array(same, dtype=np.int64)
            of_stage = np.searchsorted(theirs.first, column.used, "right") - 1
            mine = stages[np.searchsorted(column.stages, of_stage)]
            used = column.used - theirs.first[of_stage] + contents.first[mine]
            busy_ns = dot(column.copies, contents.time_ns[used]) + dot(column.times, contents.setup_ns[stages])
            left_ns = self.period_ns - busy_ns
            if left_ns >= -1e-9 * self.period_ns:
                self.add(Column(used, column.copies, stages, column.times, max(0.0, left_ns)))

    def add(self, column: Column) -> bool:
        """Add a column unless it is known; whether it was added."""
        key = np.concatenate([column.used, column.copies, column.times, [column.idle_ns // 1]]).tobytes()
        if key in self.columns:
            return False
        self.columns[key] = column
        variable = self.solver.NumVar(0.0, self.solver.infinity(), "")
        self.variables.append(variable)
        self.objective.SetCoefficient(variable, 1.0)
        does = self.does(column)
        for row in np.flatnonzero(does).tolist():
            self.done[row].SetCoefficient(variable, float(does[row]))
        self.other.SetCoefficient(variable, self._room_ns(column) / self.period_ns)
        return True

    def does(self, column: Column) -> FloatVector:
        """What a column does of each row."""
        contents = self.contents
        does: FloatVector = product(contents.does[column.used].T, column.copies)
        does += product(contents.uses[column.stages].T, column.times)
        return does

    def solve(self) -> bool:
        """Solve the linear program; False if it cannot be solved accurately. Sets `cores`."""
        if self.solver.Solve() != pywraplp.Solver.OPTIMAL:
            return False
        self.cores = float(self.objective.Value())
        return True

    def generate(
        self, goal: float, accuracy: float, rounds: int, start: Mapping[Mode, FloatVector], work: float
    ) -> None:
        """Add columns until the bound is as near to `cores`, or attains the goal, or so many rounds are done.

        start, work: prices to begin with. Sets `bound`, the cores needed if no other modes existed, and the prices
        and the table (their highest column is worth 1) that prove it.
        """
        contents = self.contents
        best, best_work = np.zeros(len(contents.needs)), work
        for m, mode in enumerate(self.modes):
            if mode in start and len(start[mode]) == self.rows[m + 1] - self.rows[m]:
                best[self.rows[m] : self.rows[m + 1]] = start[mode]
        smoothing = SMOOTHING if start else 0.0
        for _ in range(rounds):
            if not self.solve() or self.bound >= self.cores * (1 - max(accuracy, 1e-5)) or goal <= self.bound:
                break
            self.rounds += 1
            duals = np.array([row.dual_value() for row in self.done])
            price = smoothing * best + (1 - smoothing) * np.where(contents.exact, duals, np.maximum(duals, 0.0))
            other = max(0.0, self.other.dual_value()) / self.period_ns
            other = smoothing * best_work + (1 - smoothing) * other
            highest, table, found = self.knapsack.columns(price, other, self.rounds)
            bound = (float(self.cheapest(price, other).sum()) + other * self.work_ns) / max(highest, 1e-300)
            if bound > self.bound:
                self.bound, best, best_work = bound, price / highest, other / highest
                self.price, self.work, self.table = best, best_work, table / np.float32(highest)
            if any([self.add(column) for column in found]):
                smoothing = SMOOTHING
            elif smoothing > 0.0:
                smoothing = 0.0
            else:
                break

    def cheapest(self, price: FloatVector, work: float) -> FloatVector:
        """What each layer's cheapest mode costs at these prices of rows and other work."""
        cost = np.add.reduceat(price * self.contents.needs, self.rows[:-1]) + work * self.room
        cheapest = np.full(len(self.problem.layers), np.inf)
        np.minimum.at(cheapest, self.layer, cost)
        return cheapest

    def prices(self) -> dict[Mode, FloatVector]:
        """The prices of each mode's rows."""
        return {mode: self.price[self.rows[m] : self.rows[m + 1]] for m, mode in enumerate(self.modes)}

    def idle(self) -> float:
        """Columns of the last solution that do nothing, in sum."""
        if not self.solve():
            return 0.0
        columns = zip(self.variables, self.columns.values(), strict=True)
        room_ns = sum(variable.solution_value() * self._room_ns(column) for variable, column in columns)
        mixed_ns = sum(share * float(room) for share, room in zip(self.shares(), self.room, strict=True))
        return float(room_ns - mixed_ns - self.work_ns) / self.period_ns

    def _room_ns(self, column: Column) -> float:
        """What a column leaves for other work, less what its parts add to it."""
        return column.idle_ns - dot(column.times, self.contents.demand_ns[column.stages])

    def shares(self) -> Sequence[float]:
        """How much of each mode the last solution takes."""
        return [float(mix.solution_value()) for mix in self.mix]
