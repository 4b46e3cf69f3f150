"""NSGA-II: encoding, repair and the front's properties; its exact points depend on the platform.

Covers: ranks.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import ConfigError
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.pareto import knee
from solvers.exact.relaxation import Choice
from solvers.population.nsga2 import Nsga2
from solvers.population.ranks import fit_budget, make_ranks
from tests.solvers.problems import check_plan, random_problem, resnet18_problem, same_plan
from tests.solvers.trials import Recorder


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_repaired_genes_fit_the_budget(seed: int) -> None:
    problem = random_problem(seed)
    ranks = make_ranks(problem)
    rng = np.random.default_rng(seed)
    genes = rng.integers(0, np.concatenate([ranks.options, ranks.most]), size=(20, 2 * len(problem.layers)))
    fitted = fit_budget(ranks, genes, problem.crossbars)
    assert (ranks.crossbars(fitted).sum(axis=1) <= problem.crossbars).all()
    within = ranks.crossbars(genes).sum(axis=1) <= problem.crossbars
    for before, after in zip(ranks.decode(genes[within]), ranks.decode(fitted[within]), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("seed", range(5))
def test_useful_choices_survive_the_encoding(seed: int) -> None:
    problem = random_problem(seed)
    ranks = make_ranks(problem)
    layers = len(problem.layers)
    genes = np.concatenate([np.zeros(layers), np.ones(layers)]).astype(np.int64)[None]
    option, replication = ranks.decode(genes)
    choice = Choice(tuple(option[0].tolist()), tuple(replication[0].tolist()))
    again = ranks.decode(ranks.encode([choice]))
    assert (tuple(again[0][0].tolist()), tuple(again[1][0].tolist())) == (choice.option, choice.replication)


@pytest.mark.parametrize("pipeline", Pipeline)
def test_front_is_sorted_valid_and_not_dominated(pipeline: Pipeline) -> None:
    problem = resnet18_problem(pipeline)
    front = Nsga2(evaluations=512).front(problem, {}, time_limit_s=None, seed=1)
    assert len(front) >= 4
    objectives = np.array([(p.objective_ns, p.crossbars_used) for p in front])
    assert (np.diff(objectives[:, 0]) < 0).all()
    assert (np.diff(objectives[:, 1]) > 0).all()
    for point in front:
        check_plan(problem, point.plan)
        assert point.objective_ns == pytest.approx(plan_cost(problem, point.plan).objective_ns(pipeline))
    assert front[0].crossbars_used == 727  # one replica of everything


def test_same_seed_same_front_and_the_knee_is_on_it() -> None:
    problem = random_problem(4)
    solver = Nsga2(population=16, evaluations=128)
    fronts = [solver.front(problem, {}, time_limit_s=None, seed=5) for _ in range(2)]
    assert all(same_plan(a.plan, b.plan) for a, b in zip(*fronts, strict=True))
    out = solver.solve(problem, {}, time_limit_s=None, seed=5)
    assert same_plan(out.plan, fronts[0][knee(np.array([p.values for p in fronts[0]]))].plan)
    assert not out.time_limited


@pytest.mark.parametrize("pipeline", Pipeline)
def test_three_objectives_of_the_user(pipeline: Pipeline) -> None:
    problem = random_problem(2, pipeline)
    solver = Nsga2(evaluations=512, objectives="time+crossbars+energy")
    front = solver.front(problem, {}, time_limit_s=None, seed=1)
    assert front
    values = np.array([p.values for p in front])
    for k, point in enumerate(front):
        check_plan(problem, point.plan)
        beats = (values <= values[k]).all(axis=1) & (values < values[k]).any(axis=1)
        assert not beats.any()
        fired = sum(
            problem.layers[i].options[o].firings * problem.layers[i].options[o].crossbars
            for i, o in enumerate(point.plan.option)
        )
        assert point.values == (point.objective_ns, point.crossbars_used, fired)


def test_a_limit_on_crossbars_takes_the_fastest_plan_within_it() -> None:
    problem = resnet18_problem()
    free = Nsga2(evaluations=512)
    front = free.front(problem, {}, time_limit_s=None, seed=1)
    limit = front[len(front) // 2].crossbars_used
    out = Nsga2(evaluations=512, max_crossbars=limit).solve(problem, {}, time_limit_s=None, seed=1)
    assert out.objective_ns == min(p.objective_ns for p in front if p.crossbars_used <= limit)
    short = Nsga2(evaluations=512, max_crossbars=3).solve(problem, {}, time_limit_s=None, seed=1)
    assert any("takes only 3 crossbars" in note for note in short.notes)


@pytest.mark.parametrize("objectives", ["time", "time+time", "time+area", ""])
def test_objectives_that_cannot_be_are_configuration_errors(objectives: str) -> None:
    with pytest.raises(ConfigError, match="two or more of time"):
        Nsga2(objectives=objectives)


def test_plans_of_the_front_are_judged_by_their_programs() -> None:
    recorder = Recorder("digits_resnet8", Pipeline.ELEMENT)
    front = Nsga2(evaluations=256, front_size=6).front(recorder.problem, recorder.judges, time_limit_s=None, seed=0)
    assert [p.values[0] for p in front] == [recorder.scheduler.judge(p.plan).time_ns for p in front]
    times = [trial.time_ns for trial in recorder.trials]
    assert front[-1].values[0] == min(times)
    assert (np.diff([p.values for p in front], axis=0) * [-1, 1] > 0).all()
