"""nsga2: the front of two or three objectives (time, crossbars, energy ...) by pymoo's NSGA-II on integers.

An individual has two genes per layer: its option, and the rank of its replication among the useful ones of that
option. A repair step keeps every individual within the chip's crossbars; the population is scored at once by the
closed forms of plan/cost.py. The front found is mapped to cores; the complete plans are scored again, their time by
their judge, which is their ordered programs unless another is named. Source: Deb et al. 2002, as
implemented by pymoo.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.pm import PolynomialMutation

from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.ir.plan import Judge, Judges, MappingProblem, Outcome, Pipeline, Plan, Status
from pimcomp.plan.cost import plan_cost, population_cost
from pimcomp.plan.judge import JUDGE_NAMES, PROGRAM, judge_called
from pimcomp.plan.pareto import knee, non_dominated
from solvers.capacity import answer, no_plan, shortfall, smallest_options
from solvers.exact.exact import single
from solvers.exact.latency import latency_relaxation
from solvers.exact.packing import graded_choices, place
from solvers.exact.relaxation import Choice, chosen, configurations, period_relaxation
from solvers.limit import ACTIONS_PER_S, Clock, units
from solvers.options import setting
from solvers.population.ranks import Ranks, fit_budget, make_ranks

IntMatrix = npt.NDArray[np.int64]
ESTIMATES_PER_S = 400  # individuals that an idle core estimates (500 to 20,000 measured on the shipped networks)
ORDERING_SHARE = 0.5  # of a time limit, for the programs of the front


# What may be minimised. time: the pipeline's own, latency or period. energy: crossbars fired per inference; every one
# costs the same (docs/timing.md), and what else a program spends is static power times its time, or the scheduler's.
OBJECTIVES = ("time", "latency", "period", "crossbars", "energy")


@dataclass(frozen=True, slots=True, eq=False)
class FrontPoint:
    """A plan of the front: the model's time of the pipeline, crossbars used, and `values` of the objectives, in their
    order; infinite if its program does not fit local memory."""

    plan: Plan
    objective_ns: float
    crossbars_used: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Nsga2:
    """NSGA-II over options and ranks of the layers; `solve` takes one point of the front."""

    population: int = setting(64, "individuals per generation")
    evaluations: int = setting(4096, "the budget")
    front_size: int = setting(12, "plans of the front that are mapped at most")
    objectives: str = setting("time+crossbars", f"two or more of {', '.join(OBJECTIVES)}, joined by +")
    judge: str = setting(PROGRAM, "who judges the front: ordered programs, an estimate, or closed forms", JUDGE_NAMES)
    max_crossbars: int = setting(0, "the best in the first objective with no more crossbars; 0: the knee")
    name: str = field(default="nsga2", init=False)

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that cannot be."""
        names = self.objectives.split("+")
        unknown = [name for name in names if name not in OBJECTIVES]
        if unknown or len(names) < 2 or len(set(names)) < len(names):
            expected = f"expected two or more of {', '.join(OBJECTIVES)} joined by +"
            hint = did_you_mean(unknown[0], OBJECTIVES) if unknown else ""
            raise ConfigError("solver.nsga2.objectives", f"{expected}, found {self.objectives!r}{hint}")
        for name in ("population", "evaluations", "front_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"solver.nsga2.{name}", f"expected at least 1, found {getattr(self, name)}")

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The knee of the front, the point nearest to the best of everything; or the best within the limit."""
        clock = Clock(time_limit_s)
        front = self._search(problem, judges, clock, seed)
        if not front:
            return no_plan(problem)
        within = [p for p in front if p.crossbars_used <= self.max_crossbars]
        best = min(within, key=lambda p: p.values) if within else front[knee(np.array([p.values for p in front]))]
        least, most = min(p.crossbars_used for p in front), max(p.crossbars_used for p in front)
        what = f"best of up to {self.max_crossbars} crossbars" if within else "knee"
        notes = [f"{what} of {len(front)} plans of {least} to {most} crossbars"]
        if self.max_crossbars and not within:
            notes.append(f"no plan of the front takes only {self.max_crossbars} crossbars: the knee was taken")
        return Outcome(
            status=Status.FEASIBLE,
            plan=best.plan,
            objective_ns=best.objective_ns,
            notes=tuple(notes),
            time_limited=clock.cut,
        )

    def front(
        self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int
    ) -> list[FrontPoint]:
        """Non-dominated complete plans in order of crossbars; empty if nothing fits."""
        return self._search(problem, judges, Clock(time_limit_s), seed) if shortfall(problem) is None else []

    def _search(self, problem: MappingProblem, judges: Judges, clock: Clock, seed: int) -> list[FrontPoint]:
        judge = judge_called(self.judge, problem, judges)
        if not problem.layers:
            alone = single(problem)
            return [] if alone is None else [self._point(problem, judge, alone.plan)[0]]
        ranks = make_ranks(problem)
        search = _Search(problem, ranks, self.objectives.split("+"))
        algorithm = NSGA2(
            pop_size=self.population,
            sampling=_initial(problem, ranks, self.population, seed),
            crossover=UniformCrossover(repair=_WithinBudget()),
            mutation=PolynomialMutation(prob_var=1.0 / len(problem.layers), eta=5, vtype=float, repair=_WithinBudget()),
            repair=_WithinBudget(),
            eliminate_duplicates=True,
        )
        evaluations = max(1, units(clock.limit_s, ESTIMATES_PER_S, self.evaluations))
        algorithm.setup(search, termination=("n_eval", evaluations), seed=seed)
        algorithm.next()
        while algorithm.has_next() and not clock.ends():
            algorithm.next()
        found = np.atleast_2d(algorithm.opt.get("X")).astype(np.int64)
        return self._mapped(problem, judge, ranks.decode(found), ranks.crossbars(found).sum(axis=1), clock)

    def _mapped(
        self, problem: MappingProblem, judge: Judge | None, found: tuple[IntMatrix, IntMatrix], crossbars: IntMatrix,
        clock: Clock,
    ) -> list[FrontPoint]:  # fmt: skip
        """Complete plans for at most `front_size` individuals, evenly over the front; dominated ones dropped.

        With a time limit, those of most crossbars, as far as it allows to order their programs.
        """
        option, replication = found
        order = np.argsort(crossbars, kind="stable")
        kept = order[np.unique(np.linspace(0, len(order) - 1, min(self.front_size, len(order))).astype(int))]
        choices = [Choice(tuple(option[i].tolist()), tuple(replication[i].tolist())) for i in kept]
        points: list[FrontPoint] = []
        left = None if clock.limit_s is None else ORDERING_SHARE * ACTIONS_PER_S * clock.limit_s
        makers = [functools.partial(place, problem, choice) for choice in choices]
        for make in (*(makers if left is None else reversed(makers)), functools.partial(single, problem)):
            if points and left is not None and (left <= 0 or clock.ends()):
                break
            if (priced := make()) is not None:
                point, actions = self._point(problem, judge, priced.plan)
                points.append(point)
                left = None if left is None else left - actions
        fitting = [p for p in points if np.isfinite(p.values).all()] or points
        if not fitting:
            return []
        fitting.sort(key=lambda p: (p.crossbars_used, p.values, p.objective_ns))
        return [
            p for p, best in zip(fitting, non_dominated(np.array([p.values for p in fitting])), strict=True) if best
        ]

    def _point(self, problem: MappingProblem, judge: Judge | None, plan: Plan) -> tuple[FrontPoint, int]:
        """A plan with its figures, and the effort of judging it."""
        cost = plan_cost(problem, plan)
        chosen = [layer.options[o] for layer, o in zip(problem.layers, plan.option, strict=True)]
        value = {
            "time": cost.objective_ns(problem.pipeline),
            "latency": cost.latency_ns,
            "period": cost.period_ns,
            "crossbars": float(cost.crossbars_used),
            "energy": float(sum(o.firings * o.crossbars for o in chosen)),
        }
        actions = 0
        if judge is not None:
            own = "latency" if problem.pipeline is Pipeline.ELEMENT else "period"
            judgement = judge.judge(plan)
            value["time"] = value[own] = judgement.time_ns
            actions = judgement.actions
        values = tuple(value[name] for name in self.objectives.split("+"))
        return FrontPoint(plan, cost.objective_ns(problem.pipeline), cost.crossbars_used, values), actions


def mapped_estimate(
    problem: MappingProblem, ranks: Ranks, option: IntMatrix, replication: IntMatrix, objectives: Sequence[str]
) -> npt.NDArray[np.float64]:
    """float64[population, objectives]: times (ns) as a greedy mapping attains them, capacities aside.

    The busiest core of list scheduling is at most the mean plus the largest piece it cannot divide, an array group.
    Source: Graham 1966. Without that term few coarse replicas would look as good as many fine ones.
    """
    latency, period, crossbars = population_cost(problem, option, replication)
    shapes, row = ranks.shapes, ranks.shapes.first[:-1] + option
    firings = shapes.firings[row]
    busiest = (-(-firings // replication) * shapes.slowest[row]).max(axis=1)
    work = shapes.work[row].sum(axis=1) + problem.vector_work_ns
    listed = work / (problem.cores * problem.rob_size) + busiest * (1.0 - 1.0 / problem.cores)
    element = problem.pipeline is Pipeline.ELEMENT
    value = {
        "time": np.maximum(latency if element else period, listed),
        "latency": np.maximum(latency, listed),
        "period": np.maximum(period, listed),
        "crossbars": crossbars.astype(np.float64),
        "energy": (firings * shapes.crossbars[row]).sum(axis=1).astype(np.float64),
    }
    return np.stack([value[name] for name in objectives], axis=1)


class _Search(Problem):  # type: ignore[misc]
    """pymoo's view: integers [options | ranks], objectives to minimise."""

    def __init__(self, problem: MappingProblem, ranks: Ranks, objectives: Sequence[str]) -> None:
        upper = np.concatenate([ranks.options - 1, ranks.most - 1])
        super().__init__(n_var=len(upper), n_obj=len(objectives), xl=0, xu=upper, vtype=int)
        self.problem, self.ranks, self.objectives = problem, ranks, objectives

    def _evaluate(self, x: IntMatrix, out: dict[str, object], *args: object, **kwargs: object) -> None:
        option, replication = self.ranks.decode(x.astype(np.int64))
        out["F"] = mapped_estimate(self.problem, self.ranks, option, replication, self.objectives)


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
