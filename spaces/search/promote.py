"""Which candidates of a search at cost fidelity deserve a timeline."""

from collections.abc import Sequence

import numpy as np

from pimcomp.plan.pareto import non_dominated
from spaces.candidate import Candidate, Trial, objective_costs, point_from_json
from spaces.estimate_errors import logs, most_favourable
from spaces.hypervolume import gains
from spaces.search.engine import Engine, Result, Task, spend
from spaces.search.store import Store
from spaces.search.study import Progress, Report, Stop
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
    timed = {t.number: t.candidate for t in store.trials(Fidelity.TIMELINE)}
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
        store.add(sweep, Fidelity.TIMELINE, [Trial(number=number, candidate=result.candidate)])
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
    guesses = {c.point: logs([objective_costs(c, objectives)])[0] for c in searched}
    kinds = {kind: k for k, kind in enumerate(dict.fromkeys(_kind(c) for c in searched))}
    feasible = [c for c in timed if c.feasible]
    known = logs([objective_costs(c, objectives) for c in feasible]).reshape(-1, len(objectives))
    checked = [i for i, c in enumerate(feasible) if c.point in guesses]
    errors = known[checked] - np.array([guesses[feasible[i].point] for i in checked]).reshape(-1, len(objectives))
    shift = most_favourable(errors, np.array([kinds[_kind(feasible[i])] for i in checked]), len(kinds))
    hoped = np.array([guesses[c.point] + shift[kinds[_kind(c)]] for c in left])
    together = np.vstack([known, hoped])
    spread = np.ptp(together, axis=0)
    reference = together.max(axis=0) + 0.1 * np.where(spread > 0, spread, 1.0)
    waits = np.array([c.point in soon for c in left])
    front = np.flatnonzero(~waits)[non_dominated(hoped[~waits])]  # of the others none can gain more
    gain = gains(np.vstack([known, hoped[waits]]), hoped[front], reference)
    return left[front[gain.argmax()]].point if gain.max(initial=0.0) > 0 else None


def _kind(candidate: Candidate) -> tuple[str, str]:
    return candidate.point.solver, str(candidate.point.pipeline)
