"""A space that is too large to be judged completely: a sampler proposes, with a fixed look-behind.

A proposal is made when the verdicts on all those before the last lag - 1 are known, and of those alone: what is tried
depends on the sweep's settings, never on how many workers there are, who finishes first, or when a sweep was stopped.
Repeated points, which no worker judges, are not counted: however many there are, there is work for lag workers.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from spaces.candidate import Candidate, Evaluator, MakeEvaluator, Trial, Verdict, objective_costs
from spaces.search.engine import Engine, Result, Task, evaluator_of, spend
from spaces.search.sampler import Proposer
from spaces.search.store import Store
from spaces.search.study import Progress, Report, Stop
from spaces.space import Fidelity, Point, Sweep

# So many repeated points in a row: the sampler finds nothing new.
_MAX_REPEATS = 100
_SAMPLER = "sampler"


def search(
    store: Store, sweep: Sweep, make_evaluator: MakeEvaluator, engine: Engine, report: Report, stop: Stop
) -> bool:
    """Judge proposals until there are `sweep.budget` distinct ones or nothing new is found; False if stopped."""
    found = _Search(store, sweep, make_evaluator)

    def tell(result: Result) -> None:
        found.settle(result.task.first, result.candidate)
        report(lambda: found.progress(engine.flying))

    return spend(engine, found.ask, tell, stop)


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A trial before its verdict."""

    point: Point
    content: str
    duplicate_of: int | None
    marks: dict[str, Any]


class _Search:
    """The proposals of a sweep in the order of their numbers."""

    def __init__(self, store: Store, sweep: Sweep, make_evaluator: MakeEvaluator) -> None:
        self._store, self._sweep, self._make = store, sweep, make_evaluator
        self._stored = {trial.number: trial for trial in store.trials(sweep.fidelity)}
        self._proposer = Proposer(sweep)
        self._proposer.remember(store.fact(_SAMPLER) or {})
        self._noted = self._proposer.notes
        # The published chips come first, then the ends of the space; a space that fits the budget is enumerated.
        seeds = [*sweep.anchors(), *sweep.corners()]
        if sweep.size is not None and sweep.size <= sweep.trials:
            seeds += sweep.points()
        self._seeds = deque(dict.fromkeys(seeds))
        self._proposals: list[_Proposal] = []
        self._points: set[Point] = set()
        self._first: dict[str, int] = {}  # content -> the first proposal that has it
        self._distinct: list[int] = []  # those
        self._repeats = 0  # in a row, up to now
        self._judged: dict[int, Candidate] = {}  # behind a gap
        self._trials: list[Trial] = []  # up to the first gap
        self._told = 0
        self._front: list[tuple[tuple[float, ...], Point]] = []  # of what was told: costs that nothing beats

    def progress(self, running: int) -> Progress:
        """What is known so far, up to the first gap."""
        distinct = sum(t.duplicate_of is None for t in self._trials)
        return Progress(distinct=distinct, budget=self._sweep.budget, trials=tuple(self._trials), running=running)

    def ask(self) -> Task | None:
        """The next point that has to be judged; None: nothing, or nothing yet."""
        while len(self._first) < self._sweep.budget and self._repeats < _MAX_REPEATS:
            unseen = self._distinct[max(len(self._distinct) - self._sweep.lag + 1, 0) :]
            visible = unseen[0] if unseen else len(self._proposals)
            if len(self._trials) < visible:
                return None
            while self._told < visible:
                self._tell(self._trials[self._told])
            if (task := self._propose(len(self._proposals))) is not None:
                return task
        return None

    def _tell(self, trial: Trial) -> None:
        self._proposer.tell(trial.number, trial.candidate)
        self._told += 1
        if trial.candidate.feasible and trial.candidate.fidelity is Fidelity.TIMELINE:
            cost = objective_costs(trial.candidate, self._sweep.objectives)
            if not any(_as_good(other, cost) for other, _ in self._front):
                self._front = [(other, point) for other, point in self._front if not _as_good(cost, other)]
                self._front.append((cost, trial.candidate.point))

    def _propose(self, number: int) -> Task | None:
        """Proposal `number`: the task of judging it, or None where the verdict is known."""
        known = self._stored.get(number)
        while self._seeds and self._seeds[0] in self._points:
            self._seeds.popleft()
        marks: dict[str, Any] = {}
        if known is None and not self._seeds:
            point, marks = self._proposer.ask(at_random=self._repeats > 0)
        else:
            point, marks = (self._seeds[0], marks) if known is None else (known.candidate.point, known.marks)
            self._proposer.add(point, marks)
        evaluator = evaluator_of(self._make, self._sweep)
        content = evaluator.content(point) if known is None else known.content
        original = self._first.setdefault(content, number)
        self._proposals.append(_Proposal(point, content, None if original == number else original, marks))
        self._points.add(point)
        if original != number:
            self._repeats += 1
            self.settle(number, None)
            return None
        self._repeats = 0
        self._distinct.append(number)
        verdict = self._proven(evaluator, point) if known is None else known.candidate
        if verdict is None:
            return Task(number, (point,), self._sweep.fidelity)
        self.settle(number, verdict)
        return None

    def _proven(self, evaluator: Evaluator, point: Point) -> Candidate | None:
        """The verdict on a point that its proven bound decides: that it breaks a limit, or cannot win."""
        bound = evaluator.bound(point)
        if bound is None or not bound.feasible:
            return bound
        best_possible = objective_costs(bound, self._sweep.objectives)
        better = next((other for cost, other in self._front if _as_good(cost, best_possible)), None)
        if better is None:
            return None
        reason = f"no program for this chip can beat {better}, which is as good as its proven bound in everything"
        return replace(
            bound, verdict=Verdict.SKIPPED, resource="bound dominated", reason=reason, metrics=None, by_network=()
        )

    def settle(self, number: int, candidate: Candidate | None) -> None:
        """Take note of the verdict on a proposal (None: that of an earlier one with the same content) and of those that
        follow from it, and store what is not stored yet."""
        known = {} if candidate is None else {number: candidate}
        self._judged |= known
        while (number := len(self._trials)) < len(self._proposals):
            original = self._proposals[number].duplicate_of
            if original is not None:
                known[number] = replace(self._trials[original].candidate, point=self._proposals[number].point)
            elif number in self._judged:
                known[number] = self._judged.pop(number)
            else:
                break
            self._trials.append(self._trial(number, known[number]))
        fresh = [self._trial(n, c) for n, c in known.items() if n not in self._stored]
        if fresh:
            self._stored |= {trial.number: trial for trial in fresh}
            notes = self._proposer.notes
            facts = {} if notes is self._noted else {_SAMPLER: dict(notes)}
            self._store.add(self._sweep, self._sweep.fidelity, fresh, facts)
            self._noted = notes

    def _trial(self, number: int, candidate: Candidate) -> Trial:
        own = self._proposals[number]
        return Trial(
            number=number, candidate=candidate, duplicate_of=own.duplicate_of, content=own.content, marks=own.marks
        )


def _as_good(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
