"""Search by ordered programs: it improves on its starts, keeps to its budget and tells what it did.

Covers: auto.
"""

from itertools import product, takewhile

import numpy as np
import pytest

from pimcomp.ir.plan import Judgement, MappingProblem, Pipeline, Plan
from pimcomp.plan.cost import core_loads_ns, plan_cost
from pimcomp.plan.judge import ESTIMATE, PROGRAM
from pimcomp.proof.static import verify_plan
from solvers.heuristics.stream import Streaming, stream_plans
from solvers.local_search.auto import Auto
from solvers.local_search.lns import Lns
from tests.seeds import sampled
from tests.solvers.problems import resnet18_problem
from tests.solvers.trials import Recorder


@pytest.mark.parametrize(("network", "pipeline"), sampled(product(("digits_resnet8", "digits_incnet"), Pipeline), 4))
def test_the_plan_is_the_best_of_all_that_were_ordered(network: str, pipeline: Pipeline) -> None:
    recorder = Recorder(network, pipeline)
    outcome = Auto(most=12).solve(recorder.problem, recorder.judges, time_limit_s=None, seed=3)
    assert outcome.plan is not None
    times = [trial.time_ns for trial in recorder.trials]
    assert 9 < len(times) <= 12
    assert recorder.scheduler.judge(outcome.plan).time_ns == min(times)
    assert f"best of {len(times)} programs ordered" in outcome.notes[0]


def test_neighbours_improve_on_the_starts() -> None:
    recorder = Recorder("digits_resnet8", Pipeline.ELEMENT)
    starts = [recorder.scheduler.judge(plan).time_ns for plan in (_first(recorder),)]
    Lns(most=20).solve(recorder.problem, recorder.judges, time_limit_s=None, seed=0)
    assert min(t.time_ns for t in recorder.trials) < 0.97 * min(starts)


def _first(recorder: Recorder) -> Plan:
    plan = Streaming().solve(recorder.problem, recorder.judges, time_limit_s=None, seed=0).plan
    assert plan is not None
    return plan


def test_budget_is_in_ordered_actions() -> None:
    recorder = Recorder("digits_resnet8", Pipeline.ELEMENT)
    Auto(budget=0.02).solve(recorder.problem, recorder.judges, time_limit_s=None, seed=0)
    assert sum(t.actions for t in recorder.trials[:-1]) < 20_000 <= sum(t.actions for t in recorder.trials)


def test_equal_seeds_give_equal_plans() -> None:
    recorder = Recorder("digits_incnet", Pipeline.ELEMENT)
    first, second = (
        Lns(most=6).solve(recorder.problem, recorder.judges, time_limit_s=None, seed=5).plan for _ in range(2)
    )
    assert first is not None
    assert second is not None
    assert (first.option, first.replication) == (second.option, second.replication)
    assert all((a == b).all() for a, b in zip(first.core_of, second.core_of, strict=True))


@pytest.mark.parametrize("solver", [Auto(), Auto(budget=0.0), Lns()])
def test_without_trials_the_first_plan_is_taken(solver: Auto | Lns) -> None:
    recorder = Recorder("digits_resnet8", Pipeline.ELEMENT)
    judges = {} if solver.budget else recorder.judges
    outcome = solver.solve(recorder.problem, judges, time_limit_s=None, seed=0)
    assert outcome.plan is not None
    assert outcome.plan.replication == _first(recorder).replication
    assert not recorder.trials


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_a_trial_is_close_to_the_timeline_and_its_path_is_as_long_as_it(pipeline: Pipeline) -> None:
    from pimcomp.timeline import time_program

    recorder = Recorder("digits_resnet8", pipeline)
    plan = _first(recorder)
    trial, program = recorder.scheduler.judge(plan), recorder.scheduler.program(plan)
    exact = time_program(program, recorder.scheduler.arch).latency_ns / program.images_per_round
    assert trial.time_ns == pytest.approx(exact, rel=0.05)
    assert 0.5 < trial.share.sum() / (trial.time_ns * program.images_per_round) <= 1.0
    assert (trial.share >= 0).all()
    if pipeline is Pipeline.ELEMENT:  # a round of a batch program ends with any layer
        assert np.count_nonzero(trial.share) > len(trial.share) / 2


class _ByCost:
    """A judge by the closed forms, and all that it was asked."""

    def __init__(self, problem: MappingProblem) -> None:
        self.problem, self.plans, self.times = problem, list[Plan](), list[float]()

    def judge(self, plan: Plan) -> Judgement:
        verify_plan(self.problem, plan)
        self.plans.append(plan)
        self.times.append(plan_cost(self.problem, plan).objective_ns(self.problem.pipeline))
        return Judgement(time_ns=self.times[-1], actions=1500, share=core_loads_ns(self.problem, plan).max(axis=1))


def test_where_crossbars_are_scarce_the_estimate_is_asked_first_and_starts_are_not_ordered() -> None:
    """727 crossbars are needed of 800; with twice as many, an element plan is looked for among programs alone."""
    tight, roomy = (resnet18_problem(Pipeline.ELEMENT, cores=cores, capacity=40) for cores in (20, 40))
    assert tight.scarce
    assert not roomy.scarce
    for problem in (tight, roomy):
        estimate, program = _ByCost(problem), _ByCost(problem)
        judges = {PROGRAM: program, ESTIMATE: estimate}
        outcome = Auto(budget=0.2, most=12).solve(problem, judges, time_limit_s=None, seed=0)
        assert outcome.plan is not None
        assert 1 <= len(program.plans) <= 12
        first = estimate.plans.index(program.plans[0]) if program.plans[0] in estimate.plans else -1
        assert (first >= 0) == (problem is tight)
        assert problem is roomy or estimate.times[first] <= min(estimate.times[:first], default=np.inf)


def test_without_programs_the_estimate_chooses_among_the_starts_where_crossbars_are_scarce() -> None:
    for cores, asked in ((20, True), (40, False)):
        problem = resnet18_problem(Pipeline.ELEMENT, cores=cores, capacity=40)
        estimate = _ByCost(problem)
        plan = Lns().solve(problem, {ESTIMATE: estimate}, time_limit_s=None, seed=0).plan
        assert plan is not None
        assert (len(estimate.plans) > 1) == asked
        assert not asked or estimate.judge(plan).time_ns == min(estimate.times)


def test_for_a_batch_what_the_estimate_finds_is_ordered_before_the_starts() -> None:
    """The best plan of each search by the estimate; what it takes for equal is ordered once."""
    problem = resnet18_problem(Pipeline.BATCH, cores=40, capacity=40)
    estimate, program = _ByCost(problem), _ByCost(problem)
    Auto(budget=0.2, most=12).solve(problem, {PROGRAM: program, ESTIMATE: estimate}, time_limit_s=None, seed=0)
    least = min(estimate.judge(plan).time_ns for plan in stream_plans(problem))
    ahead = list(takewhile(lambda ns: ns < least, program.times))
    assert ahead[0] == min(estimate.times)
    assert ahead == sorted(set(ahead))
    assert len(program.times) > len(ahead)
