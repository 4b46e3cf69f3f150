"""ga: PIMCOMP-NN's genetic algorithm, mutation only, on where array groups lie.

A chromosome says how many array groups of each kind a core holds; a kind is the array groups of one layer that take
equally many crossbars. Replicas are read off in the order of cores: the first `per_replica` array groups of a kind are
the first replica's. The first generation is `balance` with random stop levels, half of it packed core after core and
half of it dealt out; each further one keeps the best and a few others and refills itself with their mutants. Source:
Sun et al. 2023 (PIMCOMP, DAC and TCAD) and PIMCOMP-NN's `GeneticAlgorithm`. Unlike there, a core may hold any number
of kinds, fitness is what a judge says of the complete plan, plan/cost.py's objective unless another is named, and a
seed makes the run reproducible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pimcomp.errors import ConfigError
from pimcomp.ir.graph import IntArray
from pimcomp.ir.plan import Judge, Judges, MappingProblem, Outcome, Plan, Status
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.judge import CLOSED_FORM_ACTIONS, COST, JUDGE_NAMES, ClosedForms, judge_called
from solvers.capacity import answer, no_plan
from solvers.heuristics.balance import added_replicas
from solvers.heuristics.faithful import Replication, capped, plain_options
from solvers.limit import EVALUATIONS_PER_S, Clock, units
from solvers.options import setting
from solvers.placing.board import CoreOf
from solvers.placing.mapping import best_fit, first_fit
from solvers.population.ga_mutations import Kinds, mutate, replicas_of

LOWEST_STOP, HIGHEST_STOP = 0.10, 0.89  # stop levels of `balance` in the first generation
BACK_OFF = 0.9  # share of the added replicas that is kept when they do not pack


@dataclass(frozen=True, slots=True)
class Ga:
    """The settings as PIMCOMP-NN ships them. Its papers': population 100, iterations 200 (DAC); iterations 1000 (TCAD).

    The time limit is looked at between generations.
    """

    population: int = setting(200, "individuals per generation")
    iterations: int = setting(3, "generations after the first")
    keep: float = setting(0.3, "share of the best that survive a generation")
    survive_chance: float = setting(0.2, "chance of each other one to survive")
    judge: str = setting(COST, "who judges plans: ordered programs, an estimate, or closed forms", JUDGE_NAMES)
    name: str = field(default="ga", init=False)

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that cannot be."""
        if self.population < 1:
            raise ConfigError("solver.ga.population", f"expected at least 1, found {self.population}")

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The best individual of all generations, of as many as the time limit allows."""
        clock = Clock(time_limit_s)
        judge = judge_called(self.judge, problem, judges) or ClosedForms(problem)
        left = max(1, units(time_limit_s, EVALUATIONS_PER_S, self.population * (1 + self.iterations)))
        effort = np.inf if time_limit_s is None else CLOSED_FORM_ACTIONS
        evolution = _Evolution(problem, judge, np.random.default_rng(seed), left, effort)
        held = evolution.first_generation(min(self.population, left))
        if not held:
            return no_plan(problem)
        fitness = evolution.judged(held)
        held, first_ns = held[: len(fitness)], min(fitness)
        for _ in range(self.iterations):
            if evolution.left <= 0 or clock.ends():
                break
            kept = self._survivors(fitness, evolution.rng)
            held, fitness = [held[i] for i in kept], [fitness[i] for i in kept]
            for _ in range(self.population - len(held)):
                if evolution.left <= 0:
                    break
                child = mutate(held[int(evolution.rng.integers(len(kept)))], evolution.kinds, evolution.rng)
                held.append(child)
                fitness += evolution.judged([child])
        best = int(np.argmin(fitness))
        plan = evolution.plan(held[best])
        return Outcome(
            status=Status.FEASIBLE,
            plan=plan,
            objective_ns=plan_cost(problem, plan).objective_ns(problem.pipeline),
            notes=(f"first generation's best: {first_ns:.0f} ns, last one's: {fitness[best]:.0f} ns",),
            time_limited=clock.cut,
        )

    def _survivors(self, fitness: list[float], rng: np.random.Generator) -> list[int]:
        """Numbers of the individuals that stay, best first; at least one."""
        order = np.argsort(fitness, kind="stable")
        sure = np.arange(len(order)) < max(1, round(self.keep * len(order)))
        return [int(i) for i in order[sure | (rng.random(len(order)) < self.survive_chance)]]


class _Evolution:
    """What all generations share: the problem as arrays, its judge, random numbers, and the budget that is left.

    effort: actions of a judgement that count as one individual.
    """

    def __init__(
        self, problem: MappingProblem, judge: Judge, rng: np.random.Generator, left: int, effort: float
    ) -> None:
        self.problem, self.judge, self.rng, self.left, self.effort = problem, judge, rng, left, effort
        self.option = plain_options(problem)
        self.kinds, self.groups = _kinds_of(problem, self.option)

    def first_generation(self, population: int) -> list[IntArray]:
        """Legal individuals; empty if not even one replica of every layer was packed."""
        chosen = [layer.options[o] for layer, o in zip(self.problem.layers, self.option, strict=True)]
        added = np.array(added_replicas(self.problem, self.option, LOWEST_STOP), dtype=np.int64)
        taken = np.cumsum(np.array([c.crossbars for c in chosen], dtype=np.int64)[added])
        single = sum(c.crossbars for k, c in enumerate(chosen) if self.problem.layers[k].fully_connected)
        free = self.problem.crossbars - single
        result: list[IntArray] = []
        for number in range(population):
            stop = self.rng.uniform(LOWEST_STOP, HIGHEST_STOP)
            steps = int(np.searchsorted(taken, free * (1.0 - stop)))
            individual = self._placed(added, min(steps + 1, len(added)), deal=number % 2 == 1)
            if individual is None:
                return []
            result.append(individual)
        return result

    def _placed(self, added: npt.NDArray[np.int64], steps: int, *, deal: bool) -> IntArray | None:
        """An individual of the first `steps` added replicas, or of as many of them as can be packed."""
        while True:
            counts = 1 + np.bincount(added[:steps], minlength=len(self.option))
            replication = capped(self.problem, self.option, tuple(int(r) for r in counts))
            held = self._dealt(replication) if deal else None
            held = self._packed(replication) if held is None else held
            if held is not None or steps == 0:
                return held
            steps = int(steps * BACK_OFF)

    def _packed(self, replication: Replication) -> IntArray | None:
        """Core after core, by first fit or else best fit."""
        crossbars = sum(
            layer.options[o].crossbars * r
            for layer, o, r in zip(self.problem.layers, self.option, replication, strict=True)
        )
        if crossbars > self.problem.crossbars:
            return None
        core_of = first_fit(self.problem, self.option, replication)
        core_of = best_fit(self.problem, self.option, replication) if core_of is None else core_of
        return None if core_of is None else self._held(core_of)

    def _held(self, core_of: CoreOf) -> IntArray:
        held = np.zeros((self.problem.cores, len(self.kinds.layer)), dtype=np.int32)
        for kind, groups in enumerate(self.groups):
            cores = core_of[self.kinds.layer[kind]][:, groups]
            held[:, kind] = np.bincount(cores.ravel(), minlength=self.problem.cores)
        return held

    def _dealt(self, replication: Replication) -> IntArray | None:
        """Array groups dealt out, one to a core in turn, the cores with most room first."""
        held = np.zeros((self.problem.cores, len(self.kinds.layer)), dtype=np.int32)
        free = np.full(self.problem.cores, self.problem.crossbars_per_core, dtype=np.int64)
        for kind, size in enumerate(self.kinds.size):
            left = int(self.kinds.per_replica[kind]) * replication[self.kinds.layer[kind]]
            while left > 0:
                order = np.argsort(-free, kind="stable")
                cores = order[free[order] >= size][:left]
                if len(cores) == 0:
                    return None
                held[cores, kind] += 1
                free[cores] -= size
                left -= len(cores)
        return held

    def plan(self, held: IntArray) -> Plan:
        """The chromosome as a plan: replicas take their array groups in the order of cores."""
        replication = replicas_of(held, self.kinds)
        core_of = [
            np.empty((r, len(layer.options[o].ag_crossbars)), dtype=np.int32)
            for layer, o, r in zip(self.problem.layers, self.option, replication, strict=True)
        ]
        cores = np.arange(self.problem.cores, dtype=np.int32)
        for kind, groups in enumerate(self.groups):
            target = core_of[self.kinds.layer[kind]]
            target[:, groups] = np.repeat(cores, held[:, kind]).reshape(len(target), len(groups))
        return Plan(option=self.option, replication=tuple(int(r) for r in replication), core_of=tuple(core_of))

    def judged(self, individuals: Sequence[IntArray]) -> list[float]:
        """Times in ns, lower is better, of as many as the budget allows; of the first one anyway."""
        times: list[float] = []
        for held in individuals:
            if times and self.left <= 0:
                break
            found = self.judge.judge(self.plan(held))
            self.left -= max(1, int(found.actions / self.effort))
            times.append(found.time_ns)
        return times


def _kinds_of(problem: MappingProblem, option: tuple[int, ...]) -> tuple[Kinds, list[npt.NDArray[np.int64]]]:
    """All kinds of array groups, and which array groups of its layer belong to each."""
    layers, sizes, groups = [], [], []
    for k, (layer, o) in enumerate(zip(problem.layers, option, strict=True)):
        crossbars = layer.options[o].ag_crossbars
        for size in np.unique(crossbars):
            layers.append(k)
            sizes.append(int(size))
            groups.append(np.flatnonzero(crossbars == size))
    kinds = Kinds(
        capacity=problem.crossbars_per_core,
        layer=np.array(layers, dtype=np.int64),
        size=np.array(sizes, dtype=np.int64),
        per_replica=np.array([len(g) for g in groups], dtype=np.int64),
        most=np.array([layer.options[o].firings for layer, o in zip(problem.layers, option, strict=True)]),
    )
    return kinds, groups
