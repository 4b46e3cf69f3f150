"""lns: local search over plans whose objective is the ordered program itself, not a model of it.

A neighbour gives one layer more replicas, fewer, another unfolding, or replicas on fewer cores. Layers are drawn by
their share of the critical path of the best program so far; what crossbars a layer gains, layers with a small share
lose. The plan is packed anew by `stream.pack`, ordered by the list scheduler (`MappingProblem.trial`), and kept if it
takes less time.

The budget counts ordered tasks and messages, so that equal seeds give equal plans on any machine.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from pimcomp.ir.plan import MappingProblem, Outcome, Plan, Trial
from pimcomp.plan.cost import plan_cost
from solvers.capacity import no_plan, shortfall
from solvers.exact.exact import solve_exactly
from solvers.exact.packing import Priced, certified
from solvers.heuristics.stream import Stream, pack, restricted, stream_plans
from solvers.limit import ACTIONS_PER_S, Clock, units
from solvers.options import setting

FULL = 0.97  # share of the crossbars that a neighbour may use: packing needs some room
UNIFORM = 0.25  # share of layers drawn regardless of the critical path
GROW, SHRINK = (1.5, 2.0, 3.0), (0.5, 0.67)
FAILURES = 40  # neighbours in a row that cannot be packed before the search gives up


@dataclass(frozen=True, slots=True)
class Lns:
    """Neighbours of stream's plans (of exact's where stream packs none). The bound is exact's, of the model."""

    budget: float = setting(4.0, "million tasks and messages to be ordered, about 4 s of processor time each")
    most: int = setting(60, "programs to be ordered at most")
    scatter: bool = setting(True, "false: plans without scattering convolutions")
    widest_block: int = setting(8, "windows per MVM at most")
    name: str = field(default="lns", init=False)

    def solve(self, problem: MappingProblem, *, time_limit_s: float | None, seed: int) -> Outcome:
        """As `Auto`, from stream's plans alone. Without trials it is `Stream`."""
        clock = Clock(time_limit_s)
        if problem.trial is None:
            plain = Stream(self.scatter, self.widest_block).solve(problem, time_limit_s=time_limit_s, seed=seed)
            if plain.plan is not None:
                return plain
        if shortfall(problem) is not None:
            return no_plan(problem, clock.spent_s)
        bound_ns, exact = solve_exactly(problem, candidates=1)
        starts = [("stream", plan) for plan in stream_plans(problem, restricted(self.scatter, self.widest_block))]
        starts = starts or ([("exact", exact.plan)] if exact is not None else [])
        outcome = search(problem, starts, bound_ns, clock, seed=seed, budget=self.budget, most=self.most)
        return replace(outcome, wall_s=clock.spent_s)


def search(
    problem: MappingProblem, starts: list[tuple[str, Plan]], bound_ns: float, clock: Clock, *, seed: int,
    budget: float, most: int,
) -> Outcome:  # fmt: skip
    """The best of the given plans (each with the name of who made it) and of neighbours, within budget and limit."""
    found = _Search(problem, seed, units(clock.limit_s, ACTIONS_PER_S, int(budget * 1e6)), most, clock)
    best = found.run([_shape_of(name, plan) for name, plan in starts])
    if best is None or best.plan is None:
        return no_plan(problem, 0.0)
    changed = f", improved {found.improvements} times" if found.improvements else ""
    notes = (f"best of {found.trials} programs ordered: {best.origin}{changed}",) if found.trials else ()
    priced = Priced(plan_cost(problem, best.plan).objective_ns(problem.pipeline), best.plan)
    return replace(certified(priced, bound_ns, 0.0, notes), time_limited=clock.cut)


@dataclass(frozen=True, slots=True)
class Shape:
    """Per layer: option, replication, cores per replica at most. plan: already packed, if it is. origin: who made it or
    its ancestor."""

    origin: str
    option: tuple[int, ...]
    replication: tuple[int, ...]
    spread: tuple[int, ...]
    plan: Plan | None = None


def _shape_of(origin: str, plan: Plan) -> Shape:
    spread = tuple(max(len(np.unique(row)) for row in cores) for cores in plan.core_of)
    return Shape(origin, plan.option, plan.replication, spread, plan)


class _Search:
    """The best plan so far, its trial and what the search has cost."""

    def __init__(self, problem: MappingProblem, seed: int, budget: int, most: int, clock: Clock) -> None:
        self.problem, self.left, self.most, self.clock = problem, budget, most, clock
        self.rng = np.random.default_rng(seed)
        self.best: tuple[Shape, Trial] | None = None
        self.trials = self.improvements = 0
        self.seen: set[tuple[tuple[int, ...], ...]] = set()

    def run(self, starts: list[Shape]) -> Shape | None:
        """Try the starts, then neighbours until the budget is spent. Without any trial, the first start."""
        for shape in starts:
            self._try(shape)
        self.improvements = 0
        failures = 0
        while self.best is not None and self.trials < self.most and failures < FAILURES and self._goes_on():
            failures = 0 if self._try(self._neighbour(*self.best)) else failures + 1
        return self.best[0] if self.best is not None else next(iter(starts), None)

    def _goes_on(self) -> bool:
        return self.left > 0 and not self.clock.ends()

    def _try(self, shape: Shape) -> bool:
        """Pack and order a shape; keep it if it is the best. False if there was nothing to order."""
        key = (shape.option, shape.replication, shape.spread)
        if key in self.seen or self.problem.trial is None or not self._goes_on():
            return False
        self.seen.add(key)
        plan = shape.plan or pack(self.problem, shape.option, shape.replication, shape.spread)
        if plan is None:
            return False
        trial = self.problem.trial(plan)
        self.trials += 1
        self.left -= trial.actions
        if self.best is None or trial.time_ns < self.best[1].time_ns:
            self.improvements += self.best is not None
            self.best = (replace(shape, plan=plan), trial)
        return True

    def _neighbour(self, shape: Shape, trial: Trial) -> Shape:
        """One layer changed, others cut back to make room for it."""
        layers = self.problem.layers
        option, replication, spread = list(shape.option), list(shape.replication), list(shape.spread)
        k = self._draw(trial.share)
        move = self.rng.random()
        if move < 0.4 and len(layers[k].options) > 1:
            spent = layers[k].options[option[k]].crossbars * replication[k] * self.rng.choice((0.5, 1.0, 1.0, 2.0))
            option[k] = int(self.rng.choice([o for o in range(len(layers[k].options)) if o != option[k]]))
            replication[k] = max(1, int(spent // layers[k].options[option[k]].crossbars))
            spread[k] = self.problem.cores
        elif move < 0.75:
            replication[k] = max(replication[k] + 1, round(replication[k] * float(self.rng.choice(GROW))))
        elif move < 0.85:
            replication[k] = max(1, int(replication[k] * float(self.rng.choice(SHRINK))))
        else:
            used = len(np.unique(shape.plan.core_of[k][0])) if shape.plan is not None else 1
            spread[k] = max(1, used // 2) if self.rng.random() < 0.5 else self.problem.cores
        replication[k] = min(replication[k], self._most(k, option[k]))
        self._make_room(option, replication, trial.share, k)
        return Shape(shape.origin, tuple(option), tuple(replication), tuple(spread))

    def _draw(self, share: np.ndarray) -> int:
        """A layer, by its share of the critical path or regardless of it."""
        if self.rng.random() < UNIFORM or share.sum() <= 0.0:
            return int(self.rng.integers(len(share)))
        return int(self.rng.choice(len(share), p=share / share.sum()))

    def _most(self, k: int, option: int) -> int:
        """Replicas that still get work of their own."""
        layer, chosen = self.problem.layers[k], self.problem.layers[k].options[option]
        pieces = -(-layer.out_width // chosen.unfolding.block)
        rows = 1 if chosen.unfolding.scatter else 4
        return max(1, min(pieces * min(layer.out_height, rows), self.problem.cores, chosen.firings))

    def _make_room(self, option: list[int], replication: list[int], share: np.ndarray, keep: int) -> None:
        """Take replicas from layers that matter least, in random order among similar ones, until all fit."""
        crossbars = np.array([layer.options[o].crossbars for layer, o in zip(self.problem.layers, option, strict=True)])
        noise = self.rng.random(len(option)) * (share.max(initial=0.0) + 1.0)
        for j in np.argsort(share * 0.5 + noise * 0.5, kind="stable").tolist() * 3:
            if (crossbars * replication).sum() <= FULL * self.problem.crossbars:
                return
            if j != keep and replication[j] > 1:
                replication[j] = max(1, int(replication[j] * 0.67))
