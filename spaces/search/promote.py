"""Which candidates of a search at cost fidelity deserve a timeline."""

from collections.abc import Sequence

import numpy as np

from pimcomp.plan.pareto import FloatMatrix, non_dominated
from spaces.candidate import Candidate, objective_costs, point_from_json
from spaces.hypervolume import gains
from spaces.search.engine import Engine, Result, Task, spend
from spaces.search.store import Row, Store
from spaces.search.study import Progress, Report, Stop, Trial
from spaces.space import Fidelity, Point, Sweep

# Timeline k is chosen with what is known of those up to k - _LAG, whatever the number of workers.
_LAG = 8
_CHOSEN = "timelines"


def time_front(
    store: Store, sweep: Sweep, engine: Engine, trials: tuple[Trial, ...], report: Report, stop: Stop
) -> bool:
    """Time the published chips, then what may extend the front, until nothing may or `sweep.timed` is spent.

    What is timed depends neither on who finishes first nor on when a sweep was stopped. False if stopped.
    """
    searched = [t.candidate for t in trials if t.duplicate_of is None and t.candidate.feasible]
    timed = {row.number: row.candidate for row in store.rows(Fidelity.TIMELINE)}
    chosen = [point_from_json(point) for point in store.fact(_CHOSEN) or []]
    waiting = [number for number in range(len(chosen)) if number not in timed]
    anchors, distinct = set(sweep.anchors()), sum(t.duplicate_of is None for t in trials)
    first = list({c.point: None for c in searched if c.point in anchors})

    def choose() -> Point | None:
        """The next point; None: nothing, or nothing yet. With nothing to hope for, one more verdict is waited for."""
        if len(chosen) < len(first):
            return first[len(chosen)]
        for seen in range(max(len(chosen) - _LAG + 1, 0), len(chosen) + 1):
            if not all(number in timed for number in range(seen)):
                return None
            known = [timed[number] for number in range(seen)]
            if (point := most_promising(searched, known, chosen[seen:], sweep.objectives)) is not None:
                return point
        return None

    def ask() -> Task | None:
        if not waiting and len(chosen) < sweep.timed and (point := choose()) is not None:
            waiting.append(len(chosen))
            chosen.append(point)
            store.put({_CHOSEN: [point.as_dict() for point in chosen]})
        return Task(waiting[0], (chosen[waiting.pop(0)],), Fidelity.TIMELINE) if waiting else None

    def tell(result: Result) -> None:
        number = result.task.first
        store.add(sweep, Fidelity.TIMELINE, [Row(number=number, candidate=result.candidate)])
        timed[number] = result.candidate
        programs = tuple(timed[number] for number in sorted(timed))
        report(
            lambda: Progress(distinct=distinct, budget=distinct, trials=trials, timed=programs, running=engine.flying)
        )

    return spend(engine, ask, tell, stop)


def most_promising(
    searched: Sequence[Candidate], timed: Sequence[Candidate], pending: Sequence[Point], objectives: tuple[str, ...]
) -> Point | None:
    """The candidate whose timeline may add most to the front of those that are timed, or are about to be.

    Estimates are corrected by the most favourable ratio between timeline and estimate of what was timed so far, for the
    same solver and pipeline where there is any. None: even with an error as favourable as any seen, no candidate that
    is left would extend the front.

    searched: feasible candidates at cost fidelity. timed: every candidate that was timed, infeasible ones too.
    """
    done, soon = {c.point for c in timed}, set(pending)
    left = [c for c in searched if c.point not in done]
    if not left:
        return None
    ratios = _ratios(searched, timed, objectives)
    known = np.array([_logs(objective_costs(c, objectives)) for c in timed if c.feasible]).reshape(-1, len(objectives))
    hoped = np.array([_logs(objective_costs(c, objectives)) + ratios(c) for c in left])
    together = np.vstack([known, hoped])
    spread = np.ptp(together, axis=0)
    reference = together.max(axis=0) + 0.1 * np.where(spread > 0, spread, 1.0)
    waits = np.array([c.point in soon for c in left])
    front = np.flatnonzero(~waits)[non_dominated(hoped[~waits])]  # of the others none can gain more
    gain = gains(np.vstack([known, hoped[waits]]), hoped[front], reference)
    return left[front[gain.argmax()]].point if gain.max(initial=0.0) > 0 else None


def _logs(cost: Sequence[float]) -> FloatMatrix:
    """Objectives span decades; maximised ones come negated."""
    values = np.asarray(cost, dtype=np.float64)
    return np.sign(values) * np.log(np.maximum(np.abs(values), 1e-12))


class _Ratios:
    """log(timeline / estimate) per objective: the least over candidates of the same kind, over all, or 0."""

    def __init__(self, rows: dict[tuple[str, str], list[FloatMatrix]], objectives: int) -> None:
        self._rows, self._objectives = rows, objectives
        self._all = [row for found in rows.values() for row in found]

    def __call__(self, candidate: Candidate) -> FloatMatrix:
        rows = self._rows.get((candidate.point.solver, str(candidate.point.pipeline))) or self._all
        if not rows:
            return np.zeros(self._objectives)
        return np.asarray(np.min(rows, axis=0), dtype=np.float64)


def _ratios(searched: Sequence[Candidate], timed: Sequence[Candidate], objectives: tuple[str, ...]) -> _Ratios:
    estimates = {c.point: c for c in searched}
    rows: dict[tuple[str, str], list[FloatMatrix]] = {}
    for candidate in timed:
        guess = estimates.get(candidate.point)
        if candidate.feasible and guess is not None:
            row = _logs(objective_costs(candidate, objectives)) - _logs(objective_costs(guess, objectives))
            rows.setdefault((candidate.point.solver, str(candidate.point.pipeline)), []).append(row)
    return _Ratios(rows, len(objectives))
