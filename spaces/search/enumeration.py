"""A space that is small enough is judged completely: every point is estimated, and what may be on the front is kept.

An estimate depends on its point alone: however many processes look, the same points are kept in the same order.
"""

import itertools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import TrialState

from pimcomp.errors import PimdseError
from pimcomp.plan.pareto import non_dominated
from spaces.candidate import Candidate, Evaluator, MakeEvaluator, Verdict, objective_costs
from spaces.search.agenda import Observe, Progress
from spaces.search.study import CANDIDATE, ENUMERATION, Enumeration
from spaces.search.trial import CONTENT, objective_values
from spaces.search.worker import follow_parent
from spaces.space import Fidelity, Point, Sweep
from spaces.whole_space import POINTS, tabulate, write_whole

_CHUNK = 64  # points per task

Judged = tuple[Candidate, str]  # and its content: equal content, equal figures
_evaluator: Evaluator  # of this process, when it is one of the workers


def enumerate_space(
    study: Study, sweep: Sweep, folder: Path, make_evaluator: MakeEvaluator, observe: Observe, stop: Callable[[], bool]
) -> bool:
    """Estimate every point, leave the figures in the folder, and store those worth keeping as trials, unless that is
    done; False if stopped. Raises PimdseError if a process dies.
    """
    stored = study.user_attrs.get(ENUMERATION)
    if stored is not None and stored["kept"] >= min(sweep.trials, stored["points"]) and (folder / POINTS).is_file():
        return True
    judged: list[Judged] = []
    for found in _judge_all(sweep, make_evaluator):
        judged += found
        observe(Progress(distinct=len(judged), budget=sweep.size or 0, trials=(), running=sweep.jobs))
        if stop():
            return False
    write_whole(folder, tabulate(sweep, judged))
    kept = worth_keeping(judged, sweep)
    for candidate, content in kept[len(study.get_trials(deepcopy=False)) :]:
        study.add_trial(_trial(candidate, content, sweep))
    study.set_user_attr(ENUMERATION, _summary([c for c, _ in judged], len(kept)).to_json())
    return True


def worth_keeping(judged: Sequence[Judged], sweep: Sweep) -> list[Judged]:
    """The published chips, then the front of the estimates, the front without that, and so on: `sweep.trials` in all.

    Of points with equal content the first.
    """
    first = {content: i for i, (_, content) in reversed(list(enumerate(judged)))}
    at = {candidate.point: i for i, (candidate, _) in enumerate(judged)}
    anchors = [first[judged[at[point]][1]] for point in sweep.anchors() if point in at]
    kept = list(dict.fromkeys(anchors))
    left = np.array([i for i in sorted(first.values()) if judged[i][0].feasible and i not in kept], dtype=np.int64)
    cost = np.array([objective_costs(judged[i][0], sweep.objectives) for i in left]).reshape(len(left), -1)
    while len(left) and len(kept) < sweep.trials:
        front = non_dominated(cost)
        kept += left[front][np.lexsort(cost[front].T[::-1])].tolist()
        left, cost = left[~front], cost[~front]
    return [judged[i] for i in kept[: max(sweep.trials, len(anchors))]]


def _judge_all(sweep: Sweep, make_evaluator: MakeEvaluator) -> Iterator[list[Judged]]:
    """All points in their order, chunk by chunk."""
    points = sweep.points()
    chunks = iter(lambda: list(itertools.islice(points, _CHUNK)), [])
    if sweep.jobs == 1:
        evaluator = make_evaluator(sweep)
        yield from (_judge(evaluator, chunk) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy numba's threads in an undefined state
    with ProcessPoolExecutor(sweep.jobs, context, _begin, (sweep, make_evaluator)) as pool:
        try:
            yield from pool.map(_judge_here, chunks)
        except BrokenProcessPool:
            raise PimdseError("a worker process died; is there enough memory for --jobs?") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(sweep: Sweep, make_evaluator: MakeEvaluator) -> None:
    global _evaluator  # noqa: PLW0603  the one way to hand something to all tasks of a process
    follow_parent()
    _evaluator = make_evaluator(sweep)


def _judge_here(points: list[Point]) -> list[Judged]:
    return _judge(_evaluator, points)


def _judge(evaluator: Evaluator, points: list[Point]) -> list[Judged]:
    return [(evaluator.evaluate(point, Fidelity.COST), evaluator.content(point)) for point in points]


def _trial(candidate: Candidate, content: str, sweep: Sweep) -> optuna.trial.FrozenTrial:
    """The candidate as Optuna keeps it."""
    values = candidate.point.as_dict()
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        values=objective_values(candidate, sweep),
        params=values,
        distributions={name: CategoricalDistribution([value]) for name, value in values.items()},
        user_attrs={CONTENT: content, CANDIDATE: candidate.to_json()},
    )


def _summary(candidates: Sequence[Candidate], kept: int) -> Enumeration:
    bad = [c for c in candidates if not c.feasible]
    example = {c.resource: c.reason for c in reversed(bad)}
    return Enumeration(
        points=len(candidates),
        feasible=sum(c.feasible for c in candidates),
        errors=sum(c.verdict is Verdict.ERROR for c in candidates),
        kept=kept,
        reasons=tuple(
            (resource, n, example[resource]) for resource, n in Counter(c.resource for c in bad).most_common()
        ),
    )
