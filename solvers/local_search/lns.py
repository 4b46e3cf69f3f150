"""lns: local search over plans whose judge is the ordered program itself, not a model of it, unless another is named.

The judge is asked about one of many neighbours: the one that the estimate, the scout, likes best.

A neighbour gives one layer more replicas, fewer, another unfolding, or replicas on fewer cores. Layers are drawn by
their share of the critical path of the best program so far; what crossbars a layer gains, layers with a small share
lose. The plan is packed anew by `stream.pack`, judged, and kept if it takes less time.

The budget counts ordered tasks and messages, or what takes as long: equal seeds give equal plans on any machine.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from pimcomp.ir.plan import Judge, Judgement, Judges, MappingProblem, Outcome, Pipeline, Plan, Status
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.judge import ESTIMATE, JUDGE_NAMES, PROGRAM, judge_called
from solvers.capacity import answer, no_plan
from solvers.exact.exact import single, solve_exactly
from solvers.exact.packing import Priced, certified
from solvers.heuristics.stream import pack, restricted, stream_plans
from solvers.limit import ACTIONS_PER_S, Clock, units
from solvers.options import setting

FULL = 0.97  # share of the crossbars that a neighbour may use: packing needs some room
UNIFORM = 0.25  # share of layers drawn regardless of the critical path
GROW, SHRINK = (1.5, 2.0, 3.0), (0.5, 0.67)
AHEAD = 50  # plans that the estimate may judge for one that is ordered
RESTARTS = 4  # of that search, at most
SCARCE_RESTARTS, SCARCE_AHEAD = 10, 5  # where crossbars are scarce: shorter searches, for orders take longest there
FINALISTS = 3  # of the search ahead, judged before the starts
DRAWN = 20  # neighbours of which the estimate chooses the one that is ordered
FAILURES = 40  # neighbours in a row that cannot be packed before the search gives up


@dataclass(frozen=True, slots=True)
class Lns:
    """Neighbours of stream's plans (of exact's where stream packs none). The bound is exact's, of the model."""

    budget: float = setting(4.0, "million tasks and messages to be ordered, about 4 s of processor time each")
    most: int = setting(60, "plans to be judged at most")
    judge: str = setting(PROGRAM, "who judges plans: their ordered programs, an estimate, or closed forms", JUDGE_NAMES)
    ahead: float = setting(0.4, "batch, or crossbars scarce: share of the budget for a search by the estimate first")
    scatter: bool = setting(True, "false: plans without scattering convolutions")
    widest_block: int = setting(8, "windows per MVM at most")
    name: str = field(default="lns", init=False)

    @answer
    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """As `Auto`, from stream's plans alone. Where its judge is not at hand, the first of them (where crossbars are
        scarce, the one that the estimate likes best), or one replica of everything."""
        clock = Clock(time_limit_s)
        if judge_called(self.judge, problem, judges) is None:
            plans, estimate = stream_plans(problem, restricted(self.scatter, self.widest_block)), judges.get(ESTIMATE)
            if problem.scarce and estimate is not None:
                plain = min(plans, key=lambda plan: estimate.judge(plan).time_ns, default=None)
            else:
                plain = next(plans, None)
            if plain is None and (least := single(problem)) is not None:
                plain = least.plan
            return Outcome(status=Status.FEASIBLE, plan=plain) if plain is not None else no_plan(problem)
        bound_ns, exact = solve_exactly(problem, candidates=1)
        starts = [("stream", plan) for plan in stream_plans(problem, restricted(self.scatter, self.widest_block))]
        starts = starts or ([("exact", exact.plan)] if exact is not None else [])
        return self.search(problem, judges, starts, bound_ns, clock, seed)

    def search(
        self, problem: MappingProblem, judges: Judges, starts: list[tuple[str, Plan]], bound_ns: float, clock: Clock,
        seed: int,
    ) -> Outcome:  # fmt: skip
        """The best of the given plans (each with the name of who made it) and of neighbours, within budget and limit.

        Where there are more plans than may be judged, those are that the estimate likes best. Where the judge is not at
        hand, the first of them.
        """
        estimate = judges.get(ESTIMATE)
        if len(starts) > self.most and estimate is not None:
            starts = sorted(starts, key=lambda start: estimate.judge(start[1]).time_ns)[: self.most]
        budget = units(clock.limit_s, ACTIONS_PER_S, int(self.budget * 1e6))
        shapes, judge = [_shape_of(name, plan) for name, plan in starts], judge_called(self.judge, problem, judges)
        if self.judge == PROGRAM and estimate is not None and (problem.scarce or problem.pipeline is Pipeline.BATCH):
            left = int(budget * self.ahead)
            budget -= left
            shapes = _look_ahead(problem, estimate, shapes, left, self.most, clock, seed)
        scout = estimate if self.judge == PROGRAM else None
        found = _Search(problem, judge, seed, budget, self.most, clock, scout)
        best = found.run(shapes)
        if best is None or best.plan is None:
            return no_plan(problem)
        what = "programs ordered" if self.judge == PROGRAM else f"plans judged by {self.judge}"
        changed = f", improved {found.improvements} times" if found.improvements else ""
        notes = (f"best of {found.judged} {what}: {best.origin}{changed}",) if found.judged else ()
        priced = Priced(plan_cost(problem, best.plan).objective_ns(problem.pipeline), best.plan)
        return replace(certified(priced, bound_ns, notes), time_limited=clock.cut)


@dataclass(frozen=True, slots=True, eq=False)
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


def _key(shape: Shape) -> tuple[tuple[int, ...], ...]:
    return shape.option, shape.replication, shape.spread


def _look_ahead(
    problem: MappingProblem, estimate: Judge, starts: list[Shape], left: int, most: int, clock: Clock, seed: int
) -> list[Shape]:
    """What searches by the estimate recommend, the best of each, then the starts.

    Every other search begins with the plans of the first that made some: the estimate may be wrong about a family of
    plans. Where crossbars are scarce, searches are short and many, and starts do not count: programs take long there,
    and starts are far from the best.
    """
    restarts, each, left = (SCARCE_RESTARTS, SCARCE_AHEAD, 2 * left) if problem.scarce else (RESTARTS, AHEAD, left)
    known, best = dict[Shape, float](), dict[float, Shape]()
    for restart in range(restarts):
        ahead = _Search(problem, estimate, seed + restart, left, most * each, clock)
        found = ahead.run([shape for shape in starts if restart % 2 == 0 or shape.origin == starts[0].origin])
        left, known = ahead.left, known | ahead.known
        if found is not None and ahead.best is not None:
            best[ahead.best[1].time_ns] = found
    chosen = [best[ns] for ns in sorted(best)]
    if problem.scarce and best:
        return chosen[:FINALISTS]
    return [
        *(shape for shape in chosen if shape not in starts),
        *sorted((shape for shape in starts if shape in known), key=lambda shape: known[shape]),
    ]


class _Search:
    """The best plan so far, what the judge said of it and what the search has cost."""

    def __init__(
        self, problem: MappingProblem, judge: Judge | None, seed: int, budget: int, most: int, clock: Clock,
        scout: Judge | None = None,
    ) -> None:  # fmt: skip
        self.scout = scout
        self.problem, self.judge, self.left, self.most, self.clock = problem, judge, budget, most, clock
        self.rng = np.random.default_rng(seed)
        self.best: tuple[Shape, Judgement] | None = None
        self.judged = self.improvements = 0
        self.seen: set[tuple[tuple[int, ...], ...]] = set()
        self.known: dict[Shape, float] = {}

    def run(self, starts: list[Shape]) -> Shape | None:
        """Try the starts, then neighbours until the budget is spent. Without any judgement, the first start."""
        for shape in starts:
            self._try(shape)
        self.improvements = 0
        failures = 0
        while self.best is not None and self.judged < self.most and failures < FAILURES and self._goes_on():
            failures = 0 if self._try(self._likely(*self.best)) else failures + 1
        return self.best[0] if self.best is not None else next(iter(starts), None)

    def _likely(self, shape: Shape, judgement: Judgement) -> Shape:
        """A neighbour; with a scout, of some that are new and can be packed the one that it likes best."""
        near, least_ns = self._neighbour(shape, judgement), np.inf
        for _ in range(DRAWN if self.scout is not None else 0):
            other = self._neighbour(shape, judgement)
            new = _key(other) not in self.seen
            plan = pack(self.problem, other.option, other.replication, other.spread) if new else None
            if self.scout is not None and plan is not None and (ns := self.scout.judge(plan).time_ns) < least_ns:
                near, least_ns = replace(other, plan=plan), ns
        return near

    def _goes_on(self) -> bool:
        return self.left > 0 and not self.clock.ends()

    def _try(self, shape: Shape) -> bool:
        """Pack and judge a shape; keep it if it is the best. False if there was nothing to judge."""
        key = _key(shape)
        if key in self.seen or self.judge is None or not self._goes_on():
            return False
        self.seen.add(key)
        plan = shape.plan or pack(self.problem, shape.option, shape.replication, shape.spread)
        if plan is None:
            return False
        found = self.judge.judge(plan)
        self.judged += 1
        self.left -= found.actions
        shape = shape if shape.plan is not None else replace(shape, plan=plan)
        self.known[shape] = found.time_ns
        if self.best is None or found.time_ns < self.best[1].time_ns:
            self.improvements += self.best is not None
            self.best = (shape, found)
        return True

    def _neighbour(self, shape: Shape, judgement: Judgement) -> Shape:
        """One layer changed, others cut back to make room for it."""
        layers = self.problem.layers
        option, replication, spread = list(shape.option), list(shape.replication), list(shape.spread)
        k = self._draw(judgement.share)
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
        self._make_room(option, replication, judgement.share, k)
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
