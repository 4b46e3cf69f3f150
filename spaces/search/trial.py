"""One trial: choose a point, judge it (or remember the judgement), store figures and constraint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pimcomp.ir.plan import Pipeline
from spaces.candidate import Candidate, Evaluator, Verdict, objective_costs
from spaces.metrics import metric
from spaces.search.sampler import DUPLICATE_OF, PerTrialSampler
from spaces.search.storage import Studies
from spaces.search.study import CANDIDATE, finished
from spaces.space import Choice, Fidelity, FloatRange, IntRange, Parameter, Point, Scalar, Sweep

# Stands for an objective that an infeasible trial does not have; samplers rank such trials by their constraint alone.
_NO_VALUE = 1e30
# What decides a trial's figures; a trial given up because another one has it, or because enough others run.
CONTENT = "content"
WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Work:
    """One trial to run: at a fidelity, of given values (None: the sampler chooses)."""

    fidelity: Fidelity
    fixed: dict[str, Scalar] | None = None


class _WithdrawnError(Exception):
    """This trial is not needed."""


def suggest(trial: optuna.Trial, sweep: Sweep) -> Point:
    """Let the sampler decide a point."""
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
    studies: Studies,
    sweep: Sweep,
    evaluator: Evaluator,
    work: Work,
    *,
    alone: bool = False,
    begun: Callable[[int], None] = lambda number: None,
) -> int:
    """Run one trial and return its number in the study of its fidelity. begun: told the number as soon as it exists.
    alone: no other process runs trials of these studies.

    Content that was judged before is not judged again: its figures are copied, and the trial says of which trial. A
    point whose proven bound is no better than what was timed is skipped. Of two trials running at once with the same
    content, or beyond the budget, the one with the larger number is withdrawn, whichever host it runs on.
    """
    study = studies.of(work.fidelity)
    numbers: list[int] = []

    def objective(trial: optuna.Trial) -> list[float]:
        numbers.append(trial.number)
        begun(trial.number)
        point = suggest(trial, sweep)
        content = evaluator.content(point)
        trial.set_user_attr(CONTENT, content)
        budget = sweep.budget if study is studies.search else sweep.timed
        original = _claimed(study, trial, content, budget)
        if original is None:
            candidate = _judged(studies, sweep, evaluator, work.fidelity, point)
            if not alone:  # another process may have chosen it at the same moment
                original = _claimed(study, trial, content, None)
        if original is not None:
            candidate = replace(Candidate.from_json(original.user_attrs[CANDIDATE]), point=point)
            trial.set_user_attr(DUPLICATE_OF, original.number)
        trial.set_constraint("feasible", candidate.excess if not candidate.feasible else 0.0)
        trial.set_user_attr(CANDIDATE, _stored(candidate).to_json())
        return objective_values(candidate, sweep)

    assert isinstance(study.sampler, PerTrialSampler)
    study.sampler.fix(work.fixed)
    try:
        study.optimize(objective, n_trials=1, catch=(_WithdrawnError,))
    except AssertionError as error:
        if error.__context__ is None:
            raise
        raise error.__context__ from None  # Optuna asserts that storing a result never fails: a disk may be full
    return numbers[0]


def _claimed(study: Study, trial: optuna.Trial, content: str, budget: int | None) -> FrozenTrial | None:
    """The finished trial with the same content, if any.

    Raises _WithdrawnError if an earlier trial is judging it right now, or if the budget is spent without this trial.
    """
    earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number and alive(t)]
    for other in earlier:
        if other.user_attrs.get(CONTENT) == content and DUPLICATE_OF not in other.user_attrs:
            if other.state is TrialState.COMPLETE:
                return other
            trial.set_user_attr(WITHDRAWN, f"trial {other.number} judges it")
            raise _WithdrawnError
    if budget is not None and sum(DUPLICATE_OF not in t.user_attrs for t in earlier) >= budget:
        trial.set_user_attr(WITHDRAWN, "the budget is spent")
        raise _WithdrawnError
    return None


def alive(trial: FrozenTrial) -> bool:
    """Whether a trial has, or may still come to, a result."""
    return trial.state in (TrialState.COMPLETE, TrialState.RUNNING)


def _judged(studies: Studies, sweep: Sweep, evaluator: Evaluator, fidelity: Fidelity, point: Point) -> Candidate:
    """The evaluation of a point, or the proof that it is not worth one."""
    if fidelity is sweep.fidelity:
        bound = evaluator.bound(point)
        if bound is not None and not bound.feasible:
            return bound
        if bound is not None and (better := _timed_better(studies, sweep, bound)) is not None:
            reason = f"no program for this chip can beat {better}, which is as good as its proven bound in everything"
            return replace(bound, verdict=Verdict.SKIPPED, resource="bound dominated", reason=reason)
    return evaluator.evaluate(point, fidelity)


def _timed_better(studies: Studies, sweep: Sweep, bound: Candidate) -> Point | None:
    """The first timed point that is at least as good as `bound` in every objective."""
    best_possible = objective_costs(bound, sweep.objectives)
    for trial in finished(studies.of(Fidelity.TIMELINE)):
        if trial.candidate.feasible and trial.candidate.point != bound.point:
            found = objective_costs(trial.candidate, sweep.objectives)
            if all(a <= b for a, b in zip(found, best_possible, strict=True)):
                return trial.candidate.point
    return None


def _stored(candidate: Candidate) -> Candidate:
    """Without the ideal figures of a skipped candidate: they are no figures of a program."""
    return replace(candidate, metrics=None, by_network=()) if candidate.verdict is Verdict.SKIPPED else candidate


def objective_values(candidate: Candidate, sweep: Sweep) -> list[float]:
    """What a study is told of a candidate, one value per objective."""
    return [_value(candidate, name) for name in sweep.objectives]


def _value(candidate: Candidate, name: str) -> float:
    """What the sampler is told. A skipped candidate has its ideal figures: dominated all the same."""
    if candidate.metrics is not None:
        return candidate.value(name)
    if name == "crossbars" and candidate.crossbars is not None:
        return float(candidate.crossbars)
    return -_NO_VALUE if metric(name).maximize else _NO_VALUE


def chosen(trial: FrozenTrial) -> dict[str, Scalar]:
    """The values a trial has so far."""
    return dict(trial.params)


def lost_points(trials: Sequence[FrozenTrial], sweep: Sweep) -> list[tuple[dict[str, Scalar], int]]:
    """Points whose trials were lost with their processes and that no trial has or judges: (values, times lost).

    A trial killed while the sampler was choosing needs no retry: the sampler will choose the same again.
    """
    taken = [chosen(t) for t in trials if alive(t)]
    lost: list[tuple[dict[str, Scalar], int]] = []
    for trial in trials:
        point = chosen(trial)
        gone = trial.state is TrialState.FAIL and WITHDRAWN not in trial.user_attrs
        if gone and len(point) == len(sweep.parameters) + 2 and point not in taken:
            times = next((n for p, n in lost if p == point), 0)
            lost = [(p, n) for p, n in lost if p != point] + [(point, times + 1)]
    return lost


def fail_running(studies: Studies) -> None:
    """Mark trials that were running as lost. Call only while nobody else works on the studies."""
    for study in (studies.search, studies.timed):
        if study is not None:
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
