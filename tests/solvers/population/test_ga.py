"""The genetic algorithm: mutants are legal, and the run only gets better.

Covers: ga_mutations.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.ir.plan import MappingProblem, Pipeline
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.judge import ClosedForms
from solvers.population.ga import Ga, _Evolution
from solvers.population.ga_mutations import add_replica, exchange, gather, mutate, remove_replica, replicas_of, split
from tests.solvers.problems import check_plan, make_layer, make_option, make_problem, random_problem, resnet18_problem


def _evolution(problem: MappingProblem, seed: int) -> _Evolution:
    return _Evolution(problem, ClosedForms(problem), np.random.default_rng(seed), 100, np.inf)


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 60))
@settings(max_examples=30)
def test_any_sequence_of_mutations_stays_a_plan(seed: int, steps: int) -> None:
    evolution = _evolution(random_problem(seed % 97), seed)
    for held in evolution.first_generation(2):
        mutant = held
        for _ in range(steps):
            mutant = mutate(mutant, evolution.kinds, evolution.rng)
        check_plan(evolution.problem, evolution.plan(mutant))
        assert (evolution.kinds.capacity >= mutant @ evolution.kinds.size).all()


def test_array_groups_of_unequal_size_keep_their_places() -> None:
    layers = [make_layer(0, [make_option(40, [5, 5, 2])]), make_layer(1, [make_option(9, [3, 1])])]
    evolution = _evolution(make_problem(layers, cores=6, crossbars_per_core=12), 1)
    held = evolution.first_generation(4)
    assert len(held) == 4
    for individual in held:
        plan = evolution.plan(individual)
        check_plan(evolution.problem, plan)
        assert plan.replication == tuple(replicas_of(individual, evolution.kinds))


def test_each_mutation_does_what_its_name_says() -> None:
    layers = [make_layer(0, [make_option(40, [2] * 4)]), make_layer(1, [make_option(40, [1])])]
    evolution = _evolution(make_problem(layers, cores=4, crossbars_per_core=48), 0)
    kinds, rng = evolution.kinds, evolution.rng
    held = np.array([[8, 0], [0, 2], [0, 1], [0, 0]], dtype=np.int32)
    assert replicas_of(held, kinds).tolist() == [2, 3]
    more, less = add_replica(held, kinds, rng), remove_replica(held, kinds, rng)
    assert more is not None
    assert less is not None
    assert replicas_of(more, kinds).sum() == 6
    assert replicas_of(less, kinds).sum() == 4
    parts = split(held, kinds, rng)
    assert parts is not None
    assert parts.sum(axis=0).tolist() == held.sum(axis=0).tolist()
    assert 0 < parts[0, 0] < 8
    together = gather(held, kinds, rng)
    assert together is not None
    assert sorted(together[:, 1].tolist()) == [0, 0, 0, 3]
    swapped = next(found for _ in range(50) if (found := exchange(held, kinds, rng)) is not None)
    assert swapped.sum(axis=0).tolist() == held.sum(axis=0).tolist()
    assert (swapped @ kinds.size).tolist() == (held @ kinds.size).tolist()


def test_nothing_to_mutate_gives_the_parent_again() -> None:
    problem = make_problem([make_layer(0, [make_option(1, [4])])], cores=1, crossbars_per_core=4)
    evolution = _evolution(problem, 0)
    held = evolution.first_generation(1)[0]
    assert np.array_equal(mutate(held, evolution.kinds, evolution.rng), held)


@pytest.mark.parametrize("pipeline", Pipeline)
def test_more_generations_are_never_worse(pipeline: Pipeline) -> None:
    problem = resnet18_problem(pipeline)
    few, many = (
        Ga(population=20, iterations=iterations).solve(problem, {}, time_limit_s=None, seed=5) for iterations in (0, 12)
    )
    assert few.plan is not None
    assert many.plan is not None
    assert few.objective_ns is not None
    assert many.objective_ns is not None
    assert many.objective_ns == pytest.approx(plan_cost(problem, many.plan).objective_ns(pipeline))
    assert many.objective_ns <= few.objective_ns
