"""Judges of plans: closed forms and estimate say what their sources say.

Covers: /pimcomp/estimate/judge.
"""

import pytest

from pimcomp.errors import ConfigError
from pimcomp.estimate import EstimateJudge, Estimator
from pimcomp.ir.plan import Pipeline, Plan
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.judge import COST, ESTIMATE, PROGRAM, ClosedForms, judge_called
from pimcomp.schedule import ScheduleOptions
from tests.solvers.problems import random_problem
from tests.solvers.trials import Recorder


def _single(recorder: Recorder) -> Plan:
    from solvers.exact.exact import single

    priced = single(recorder.problem)
    assert priced is not None
    return priced.plan


@pytest.mark.parametrize("pipeline", Pipeline)
def test_the_estimate_and_the_closed_forms_say_their_own_times(pipeline: Pipeline) -> None:
    recorder = Recorder("digits_mlp", pipeline)
    plan, scheduler = _single(recorder), recorder.scheduler
    options = ScheduleOptions(images_per_round=2)
    estimator = Estimator.of(scheduler.graph, scheduler.arch, scheduler.partition)
    judge = EstimateJudge(lambda: estimator, recorder.problem, options)
    assert judge.judge(plan).time_ns == estimator.estimate([plan], pipeline, options).objective_ns(pipeline)[0]
    closed = ClosedForms(recorder.problem).judge(plan)
    assert closed.time_ns == plan_cost(recorder.problem, plan).objective_ns(pipeline)
    assert len(closed.share) == len(judge.judge(plan).share) == len(recorder.problem.layers)
    assert (closed.share > 0).all()


def test_closed_forms_are_always_at_hand_and_others_if_they_were_handed() -> None:
    problem = random_problem(1)
    mine = ClosedForms(problem)
    assert judge_called(COST, problem, {}) == mine
    assert judge_called(PROGRAM, problem, {}) is None
    assert judge_called(ESTIMATE, problem, {ESTIMATE: mine}) is mine
    with pytest.raises(ConfigError, match="expected one of program, estimate, cost"):
        judge_called("oracle", problem, {})
