"""Which candidates of a search at cost fidelity deserve a timeline, and the waves in which they get it."""

from collections.abc import Sequence

import numpy as np

from pimcomp.plan.pareto import FloatMatrix, non_dominated
from spaces.candidate import Candidate, objective_costs, point_from_json
from spaces.hypervolume import hypervolume
from spaces.search.engine import Engine, Result, Task, spend
from spaces.search.store import Row, Store
from spaces.search.study import Progress, Report, Stop, Trial
from spaces.space import Fidelity, Point, Sweep

# So many timelines are chosen at once, whatever the number of workers.
_WAVE = 8
_WAVES = "waves"


def time_front(
    store: Store, sweep: Sweep, engine: Engine, trials: tuple[Trial, ...], report: Report, stop: Stop
) -> bool:
    """Time the published chips, then what may extend the front, until nothing may or `sweep.timed` is spent.

    A wave is chosen when all of the last one are known, and stored: what is timed depends neither on who finishes first
    nor on when a sweep was stopped. False if stopped.
    """
    searched = [t.candidate for t in trials if t.duplicate_of is None and t.candidate.feasible]
    timed = {row.number: row.candidate for row in store.rows(Fidelity.TIMELINE)}
    waves = [[point_from_json(point) for point in wave] for wave in store.fact(_WAVES) or []]
    distinct = sum(t.duplicate_of is None for t in trials)
    waiting = [i for i in range(sum(map(len, waves))) if i not in timed]

    def ask() -> Task | None:
        chosen = [point for wave in waves for point in wave]
        if not waiting and len(timed) == len(chosen) < sweep.timed:
            first = [] if waves else list({c.point: None for c in searched if c.point in set(sweep.anchors())})
            known = [timed[number] for number in sorted(timed)]
            wave = first or most_promising(searched, known, sweep.objectives, _WAVE)
            waves.append(wave[: sweep.timed - len(chosen)])
            waiting.extend(range(len(chosen), len(chosen) + len(waves[-1])))
            chosen += waves[-1]
            if waves[-1]:
                store.put({_WAVES: [[point.as_dict() for point in wave] for wave in waves]})
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
    searched: Sequence[Candidate], timed: Sequence[Candidate], objectives: tuple[str, ...], count: int = 1
) -> list[Point]:
    """Up to `count` candidates, each the one whose timeline may add most to the timed front and those before it.

    Estimates are corrected by the most favourable ratio between timeline and estimate of what was timed so far, for the
    same solver and pipeline where there is any. Empty: even with an error as favourable as any seen, no candidate that
    is left would extend the front.

    searched: feasible candidates at cost fidelity. timed: every candidate that was timed, infeasible ones too.
    """
    done = {c.point for c in timed}
    left = [c for c in searched if c.point not in done]
    if not left:
        return []
    ratios = _ratios(searched, timed, objectives)
    known = np.array([_logs(objective_costs(c, objectives)) for c in timed if c.feasible]).reshape(-1, len(objectives))
    hoped = np.array([_logs(objective_costs(c, objectives)) + ratios(c) for c in left])
    together = np.vstack([known, hoped])
    spread = np.ptp(together, axis=0)
    reference = together.max(axis=0) + 0.1 * np.where(spread > 0, spread, 1.0)
    chosen: list[Point] = []
    while len(chosen) < count:
        own, rows = hypervolume(known, reference), np.vstack([known, hoped])
        front = [i - len(known) for i in np.flatnonzero(non_dominated(rows)) if i >= len(known)]
        gains = [(hypervolume(np.vstack([known, hoped[i : i + 1]]), reference) - own, -i) for i in front]
        gain, index = max(gains, default=(0.0, 0))
        if gain <= 0:
            break
        chosen.append(left[-index].point)
        known = np.vstack([known, hoped[-index : 1 - index or None]])
    return chosen


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
