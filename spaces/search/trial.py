"""One trial: choose a point, judge it (or remember the judgement), store figures and constraint."""

import json
from collections.abc import Callable
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pimcomp.ir.plan import Pipeline
from spaces.candidate import Candidate, Evaluate
from spaces.metrics import metric
from spaces.search.sampler import DUPLICATE_OF
from spaces.search.study import CANDIDATE
from spaces.space import Choice, FloatRange, IntRange, Parameter, Point, Scalar, Sweep

# Stands for an objective that an infeasible trial does not have; samplers rank such trials by their constraint alone.
_NO_VALUE = 1e30


def point_key(point: Point) -> str:
    """A point as text: equal points have equal keys."""
    return json.dumps(point.as_dict(), sort_keys=True)


def suggest(trial: optuna.Trial, sweep: Sweep) -> Point:
    """Let the sampler (or the enqueued values) decide a point."""
    solver = trial.suggest_categorical("solver", list(sweep.solvers))
    pipeline = trial.suggest_categorical("pipeline", [str(p) for p in sweep.pipelines])
    values = tuple((p.name, _suggest(trial, p)) for p in sorted(sweep.parameters, key=lambda p: p.name))
    return Point(parameters=values, solver=str(solver), pipeline=Pipeline(str(pipeline)))


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Scalar:
    match parameter:
        case IntRange():
            p = parameter
            return trial.suggest_int(p.name, p.low, p.high, step=p.step, log=p.log)
        case FloatRange():
            return trial.suggest_float(parameter.name, parameter.low, parameter.high, log=parameter.log)
        case Choice():
            choice: Any = trial.suggest_categorical(parameter.name, list(parameter.values))
            return choice  # type: ignore[no-any-return]


def run_trial(
    study: Study,
    sweep: Sweep,
    evaluate: Evaluate,
    fixed: dict[str, Scalar] | None,
    begun: Callable[[int], None] = lambda number: None,
) -> int:
    """Run one trial of the study and return its number. `fixed`: the values of a point that must be judged now.

    A point that was judged before is not judged again: its figures are copied, and the trial says of which trial.
    begun: told the number as soon as the trial exists.
    """
    numbers: list[int] = []

    def objective(trial: optuna.Trial) -> list[float]:
        numbers.append(trial.number)
        begun(trial.number)
        point = suggest(trial, sweep)
        candidate, original = _known(study, point)
        if candidate is None:
            candidate = evaluate(point)
        else:
            trial.set_user_attr(DUPLICATE_OF, original)
        trial.set_constraint("feasible", candidate.excess if not candidate.feasible else 0.0)
        trial.set_user_attr(CANDIDATE, candidate.to_json())
        return [_value(candidate, name) for name in sweep.objectives]

    if fixed is not None:
        study.enqueue_trial(dict(fixed))
    study.optimize(objective, n_trials=1)
    return numbers[0]


def _known(study: Study, point: Point) -> tuple[Candidate | None, int]:
    key = point_key(point)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        stored = trial.user_attrs[CANDIDATE]
        if DUPLICATE_OF not in trial.user_attrs and json.dumps(stored["point"], sort_keys=True) == key:
            return Candidate.from_json(stored), trial.number
    return None, -1


def _value(candidate: Candidate, name: str) -> float:
    if candidate.metrics is not None:
        return candidate.metrics.value(name)
    if name == "crossbars" and candidate.crossbars is not None:
        return float(candidate.crossbars)
    return -_NO_VALUE if metric(name).maximize else _NO_VALUE


def take_over(study: Study, sweep: Sweep) -> list[dict[str, Scalar] | None]:
    """What an interrupted run of the study left behind, as work to do first: points of trials that never finished, and
    None for each enqueued trial that waits (the next trial becomes it by itself).

    Marks trials that were running as failed. Call only while nobody else works on the study.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    waiting: list[dict[str, Scalar] | None] = [None for t in trials if t.state is TrialState.WAITING]
    taken = [chosen(t) for t in trials if t.state is not TrialState.FAIL]
    lost: list[dict[str, Scalar] | None] = []
    for trial in trials:
        point = chosen(trial)
        # A trial killed while the sampler was choosing needs no retry: the sampler will choose the same again.
        complete = len(point) == len(sweep.parameters) + 2
        if trial.state is TrialState.FAIL and complete and point not in taken and point not in lost:
            lost.append(point)
    return waiting + lost


def chosen(trial: FrozenTrial) -> dict[str, Scalar]:
    """The values a trial has, or was told to have."""
    values: dict[str, Scalar] = trial.system_attrs.get("fixed_params") or trial.params
    return dict(values)
