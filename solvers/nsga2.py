"""nsga2: the front of latency (or period) against crossbars, by pymoo's NSGA-II on integers.

An individual has two genes per layer: its option, and the rank of its replication among the useful ones of that
option. A repair step keeps every individual within the chip's crossbars; the population is scored at once by the
closed forms of pimcomp/cost.py, and the front found is mapped to cores and scored again as complete plans. Source:
Deb et al. 2002, as implemented by pymoo.
"""

import time
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.pm import PolynomialMutation

from pimcomp.cost import population_cost
from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Plan, Status
from solvers.capacity import no_plan, shortfall, smallest_options
from solvers.exact import single
from solvers.latency import latency_relaxation
from solvers.packing import Priced, graded_choices, place
from solvers.ranks import Ranks, fit_budget, make_ranks
from solvers.relaxation import Choice, FloatVector, chosen, configurations, period_relaxation

IntMatrix = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FrontPoint:
    """A plan of the front and its objectives: latency or period, and crossbars used."""

    plan: Plan
    objective_ns: float
    crossbars_used: int


@dataclass(frozen=True, slots=True)
class Nsga2:
    """population: individuals per generation. evaluations: the budget. front_size: plans mapped at most."""

    population: int = 64
    evaluations: int = 4096
    front_size: int = 12
    name: str = field(default="nsga2", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float, seed: int) -> Outcome:
        """The knee of the front: the plan farthest below the line between its ends."""
        started = time.perf_counter()
        if shortfall(problem) is not None:
            return no_plan(problem, time.perf_counter() - started)
        front, time_limited = self._search(problem, time_limit_s, seed)
        if not front:
            return no_plan(problem, time.perf_counter() - started)
        best = knee(front)
        return Outcome(
            status=Status.FEASIBLE,
            plan=best.plan,
            objective_ns=best.objective_ns,
            notes=(f"knee of {len(front)} plans of {front[0].crossbars_used} to {front[-1].crossbars_used} crossbars",),
            time_limited=time_limited,
            wall_s=time.perf_counter() - started,
        )

    def front(self, problem: MappingProblem, *, time_limit_s: float, seed: int) -> list[FrontPoint]:
        """Non-dominated complete plans in order of crossbars; empty if nothing fits."""
        return self._search(problem, time_limit_s, seed)[0] if shortfall(problem) is None else []

    def _search(self, problem: MappingProblem, time_limit_s: float, seed: int) -> tuple[list[FrontPoint], bool]:
        started = time.perf_counter()
        if not problem.layers:
            alone = single(problem)
            return ([] if alone is None else [_point(problem, alone)]), False
        ranks = make_ranks(problem)
        search = _Search(problem, ranks)
        algorithm = NSGA2(
            pop_size=self.population,
            sampling=_initial(problem, ranks, self.population, seed),
            crossover=UniformCrossover(repair=_WithinBudget()),
            mutation=PolynomialMutation(prob_var=1.0 / len(problem.layers), eta=5, vtype=float, repair=_WithinBudget()),
            repair=_WithinBudget(),
            eliminate_duplicates=True,
        )
        algorithm.setup(search, termination=("n_eval", self.evaluations), seed=seed)
        time_limited = False
        while algorithm.has_next() and not time_limited:
            algorithm.next()
            time_limited = time.perf_counter() - started > time_limit_s and algorithm.has_next()
        found = np.atleast_2d(algorithm.opt.get("X")).astype(np.int64)
        return self._mapped(problem, ranks, found), time_limited

    def _mapped(self, problem: MappingProblem, ranks: Ranks, found: IntMatrix) -> list[FrontPoint]:
        """Complete plans for at most `front_size` individuals, evenly over the front; dominated ones dropped."""
        option, replication = ranks.decode(found)
        order = np.argsort(ranks.crossbars(found).sum(axis=1), kind="stable")
        kept = order[np.unique(np.linspace(0, len(order) - 1, min(self.front_size, len(order))).astype(int))]
        choices = [Choice(tuple(option[i].tolist()), tuple(replication[i].tolist())) for i in kept]
        placed = [place(problem, choice) for choice in choices]
        points = [_point(problem, p) for p in (*placed, single(problem)) if p is not None]
        points.sort(key=lambda p: (p.crossbars_used, p.objective_ns))
        front: list[FrontPoint] = []
        for point in points:
            if not front or point.objective_ns < front[-1].objective_ns:
                front.append(point)
        return front


def _point(problem: MappingProblem, placed: Priced) -> FrontPoint:
    return FrontPoint(placed.plan, placed.objective_ns, placed.plan.crossbars_used(problem))


def knee(front: list[FrontPoint]) -> FrontPoint:
    """The point farthest below the line between the ends of the front, both objectives scaled to [0, 1]."""
    objectives = np.array([(p.objective_ns, p.crossbars_used) for p in front])
    low, high = objectives.min(axis=0), objectives.max(axis=0)
    scaled = (objectives - low) / np.where(high > low, high - low, 1.0)
    return front[int(np.argmin(scaled.sum(axis=1)))]


def mapped_estimate(
    problem: MappingProblem, ranks: Ranks, option: IntMatrix, replication: IntMatrix
) -> tuple[FloatVector, FloatVector]:
    """Objective (ns) that a greedy mapping attains, capacities aside, and crossbars used: float64[population] each.

    The busiest core of list scheduling is at most the mean plus the largest piece it cannot divide, an array group.
    Source: Graham 1966. Without that term few coarse replicas would look as good as many fine ones.
    """
    latency, period, crossbars = population_cost(problem, option, replication)
    layers = np.arange(len(problem.layers))
    busiest = (-(-ranks.firings[layers, option] // replication) * ranks.firing_ns[layers, option]).max(axis=1)
    work = ranks.work_ns[layers, option].sum(axis=1) + problem.vector_work_ns
    listed = work / (problem.cores * problem.rob_size) + busiest * (1.0 - 1.0 / problem.cores)
    relaxed = latency if problem.pipeline is Pipeline.ELEMENT else period
    return np.maximum(relaxed, listed), crossbars.astype(np.float64)


class _Search(Problem):  # type: ignore[misc]
    """pymoo's view: integers [options | ranks], minimise (objective, crossbars)."""

    def __init__(self, problem: MappingProblem, ranks: Ranks) -> None:
        upper = np.concatenate([ranks.options - 1, ranks.most - 1])
        super().__init__(n_var=len(upper), n_obj=2, xl=0, xu=upper, vtype=int)
        self.problem, self.ranks = problem, ranks

    def _evaluate(self, x: IntMatrix, out: dict[str, object], *args: object, **kwargs: object) -> None:
        option, replication = self.ranks.decode(x.astype(np.int64))
        out["F"] = np.stack(mapped_estimate(self.problem, self.ranks, option, replication), axis=1)


class _WithinBudget(Repair):  # type: ignore[misc]
    """Round to integers and lower replications until the crossbars suffice."""

    def _do(self, problem: _Search, x: IntMatrix, **kwargs: object) -> IntMatrix:
        return fit_budget(problem.ranks, np.rint(x).astype(np.int64), problem.problem.crossbars)


def _initial(problem: MappingProblem, ranks: Ranks, population: int, seed: int) -> IntMatrix:
    """First generation: graded choices, latency choices, the smallest plan, and random ones, all within the budget."""
    table = configurations(problem)
    period_ns, _ = period_relaxation(problem, table)
    known = [Choice(smallest_options(problem), (1,) * len(problem.layers))]
    known += islice(graded_choices(problem, table, period_ns), population // 4)
    for share in (1.0, 0.75, 0.5, 0.25):
        rows = latency_relaxation(problem, table, int(share * problem.crossbars), rounds=15)[1]
        known += [chosen(table, row) for row in rows[:2]]
    seeds = ranks.encode(known)
    rng = np.random.default_rng(seed)
    upper = np.concatenate([ranks.options, ranks.most])
    drawn = rng.integers(0, upper, size=(max(0, population - len(seeds)), len(upper)))
    return fit_budget(ranks, np.concatenate([seeds, drawn]), problem.crossbars)
