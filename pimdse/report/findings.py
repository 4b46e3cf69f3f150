"""What the trials of a sweep say: the front, its knee, what did not work and why, and how the search got there."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from spaces.candidate import Candidate, Verdict
from spaces.hypervolume import history
from spaces.metrics import metric
from spaces.pareto import FloatMatrix, costs, knee, non_dominated
from spaces.search.study import Stored, Trial
from spaces.space import Scalar, Sweep


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Findings:
    """The distinct trials of a sweep, sorted out.

    front: trials that nothing dominates in the objectives, by the first objective. knee: the balanced one, None without
    a front. published: number of a trial of the chip as published, if it is feasible: the one best in the first
    objective. reasons: (what was short or wrong, how often, an example), most frequent first. hypervolume: after each
    distinct trial, as a share of the box between the best and (1.1 times) the worst value of each objective.
    """

    sweep: Sweep
    content: dict[str, str]
    trials: tuple[Trial, ...]
    duplicates: int
    front: tuple[Trial, ...]
    knee: Trial | None
    published: Trial | None
    reasons: tuple[tuple[str, int, str], ...]
    hypervolume: tuple[float, ...]
    damaged_line: int | None

    @property
    def feasible(self) -> tuple[Trial, ...]:
        """Trials with figures that keep all limits."""
        return tuple(t for t in self.trials if t.candidate.feasible)

    @property
    def errors(self) -> tuple[Trial, ...]:
        """Trials that ended in a defect."""
        return tuple(t for t in self.trials if t.candidate.verdict is Verdict.ERROR)

    def best(self, name: str, among: tuple[Trial, ...] | None = None) -> Trial | None:
        """The feasible trial best in a metric; ties by the lower trial number."""
        sign = -1.0 if metric(name).maximize else 1.0
        trials = self.feasible if among is None else among
        return min(trials, key=lambda t: (sign * value(t.candidate, name), t.number), default=None)


def value(candidate: Candidate, name: str) -> float:
    """A figure of a candidate that has figures."""
    if candidate.metrics is None:
        raise ValueError(f"{candidate.point} has no figures")
    return candidate.metrics.value(name)


def find(stored: Stored) -> Findings:
    """Sort out a stored sweep."""
    return sort_out(stored.sweep, stored.trials, content=stored.content, damaged_line=stored.damaged_line)


def sort_out(
    sweep: Sweep,
    all_trials: tuple[Trial, ...],
    *,
    content: dict[str, str] | None = None,
    damaged_line: int | None = None,
) -> Findings:
    """Sort out the trials of a sweep, running or finished."""
    trials = _distinct(all_trials)
    feasible = [t for t in trials if t.candidate.feasible]
    cost = _cost(sweep, feasible)
    keep = non_dominated(cost)
    order = sorted(np.flatnonzero(keep).tolist(), key=lambda i: tuple(cost[i]))
    front = tuple(feasible[i] for i in order)
    own = dict(sweep.anchors()[0].parameters)
    published = [t for t in feasible if dict(t.candidate.point.parameters) == own]
    return Findings(
        sweep=sweep,
        content=content or {},
        trials=trials,
        duplicates=len(all_trials) - len(trials),
        front=front,
        knee=front[knee(cost[order])] if front else None,
        published=min(published, key=lambda t: _cost(sweep, [t])[0, 0], default=None),
        reasons=_reasons(trials),
        hypervolume=_progress(trials, cost),
        damaged_line=damaged_line,
    )


def _distinct(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    seen: dict[object, Trial] = {}
    for trial in trials:
        seen.setdefault(trial.candidate.point, trial)
    return tuple(seen.values())


def _cost(sweep: Sweep, trials: list[Trial]) -> FloatMatrix:
    rows = [[value(t.candidate, name) for name in sweep.objectives] for t in trials]
    return costs(rows, [metric(name).maximize for name in sweep.objectives])


def _reasons(trials: tuple[Trial, ...]) -> tuple[tuple[str, int, str], ...]:
    bad = [t.candidate for t in trials if not t.candidate.feasible]
    counted = Counter(c.resource for c in bad)
    example = {c.resource: c.reason for c in reversed(bad)}
    return tuple((resource, count, example[resource]) for resource, count in counted.most_common())


def _progress(trials: tuple[Trial, ...], cost: FloatMatrix) -> tuple[float, ...]:
    if not len(cost):
        return (0.0,) * len(trials)
    ideal, worst = cost.min(axis=0), cost.max(axis=0)
    reference = worst + 0.1 * np.abs(worst)
    box = float(np.prod(reference - ideal))
    after_feasible = iter(history(cost, reference))
    steps, last = [], 0.0
    for trial in trials:
        if trial.candidate.feasible:
            last = next(after_feasible) / box if box > 0 else 1.0
        steps.append(last)
    return tuple(steps)


def parameter_names(sweep: Sweep) -> tuple[str, ...]:
    """The parameters of the space, in table order."""
    return tuple(sorted(p.name for p in sweep.parameters))


def parameters(candidate: Candidate) -> dict[str, Scalar]:
    """The chip parameters of a candidate by name."""
    return dict(candidate.point.parameters)
