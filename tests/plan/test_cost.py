"""The closed-form cost: by hand on two layers, against a direct count, and as a relaxation before mapping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.ir.plan import MappingProblem, Pipeline, Plan
from pimcomp.plan.cost import (
    chain_ns,
    core_loads_ns,
    firing_ns,
    issue_bound_ns,
    message_ns,
    plan_cost,
    population_cost,
    shares,
)
from tests.solvers.problems import make_layer, make_option, make_problem, random_problem


def random_plan(problem: MappingProblem, seed: int) -> Plan:
    """Options and replications at random, every array group on any core: capacities do not matter to the cost."""
    rng = np.random.default_rng(seed)
    option = tuple(int(rng.integers(len(layer.options))) for layer in problem.layers)
    chosen = [layer.options[o] for layer, o in zip(problem.layers, option, strict=True)]
    replication = tuple(int(rng.integers(1, min(o.firings, 5) + 1)) for o in chosen)
    core_of = tuple(
        rng.integers(0, problem.cores, size=(r, len(o.ag_crossbars))).astype(np.int32)
        for r, o in zip(replication, chosen, strict=True)
    )
    return Plan(option=option, replication=replication, core_of=core_of)


@given(st.integers(1, 1000), st.integers(1, 50))
def test_shares_are_even_and_complete(firings: int, replication: int) -> None:
    blocks = shares(firings, replication)
    assert blocks.sum() == firings
    assert blocks.max() - blocks.min() <= 1
    assert blocks.max() == -(-firings // replication)


def test_one_layer_by_hand() -> None:
    """9 windows on 2 replicas of 2 array groups: 5 and 4 blocks of 2 x (1050 + 50) ns, on one core each."""
    problem = make_problem([make_layer(0, [make_option(9, [1, 1])])], cores=2, crossbars_per_core=4)
    plan = Plan(option=(0,), replication=(2,), core_of=(np.array([[0, 0], [1, 1]], dtype=np.int32),))
    cost = plan_cost(problem, plan)
    np.testing.assert_allclose(cost.load_ns, [[5 * 2200.0, 4 * 2200.0]])
    assert (cost.period_ns, cost.latency_ns, cost.crossbars_used) == (11_000.0, 11_000.0, 4)


def test_a_split_replica_pays_messages_at_both_ends() -> None:
    """One replica on two cores: 3 rows of 3 windows are 3 messages, at the sender and at the core of array group 0."""
    layer = make_layer(0, [make_option(9, [1, 1])])
    problem = make_problem([layer], cores=2, crossbars_per_core=4)
    plan = Plan(option=(0,), replication=(1,), core_of=(np.array([[0, 1]], dtype=np.int32),))
    assert message_ns(problem, layer, layer.options[0], 1) == problem.message_ns / 3
    np.testing.assert_allclose(plan_cost(problem, plan).load_ns, [[9 * 1100.0 + 3 * problem.message_ns] * 2])


def test_chain_of_two_layers_by_hand() -> None:
    """The second layer starts after two of three rows of the first, and ends one row after it."""
    layers = [make_layer(k, [make_option(9, [1])]) for k in range(2)]
    problem = make_problem(layers, cores=2, crossbars_per_core=4, load_ns=400.0)
    start, finish = chain_ns(
        problem, np.array([[300.0, 30.0], [300.0, 300.0]]), np.array([[100.0, 10.0], [100.0, 100.0]])
    )
    np.testing.assert_allclose(start, [[0.0, 200.0], [0.0, 200.0]])
    np.testing.assert_allclose(finish, [[500.0, 510.0], [500.0, 600.0]])


def test_fully_connected_layers_wait_for_everything() -> None:
    layers = [make_layer(0, [make_option(9, [1])]), make_layer(1, [make_option(1, [1])])]
    problem = make_problem(layers, cores=2, crossbars_per_core=4)
    start, finish = chain_ns(problem, np.array([[300.0, 30.0]]), np.array([[100.0, 30.0]]))
    assert (start[0, 1], finish[0, 1]) == (300.0, 330.0)


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_loads_equal_a_direct_count(seed: int) -> None:
    problem = random_problem(seed)
    plan = random_plan(problem, seed)
    expected = np.zeros((len(problem.layers), problem.cores))
    for k, layer in enumerate(problem.layers):
        option = layer.options[plan.option[k]]
        message = message_ns(problem, layer, option, plan.replication[k])
        for j, blocks in enumerate(shares(option.firings, plan.replication[k])):
            cores = plan.core_of[k][j]
            np.add.at(expected[k], cores, blocks * firing_ns(option))
            for other in set(cores.tolist()) - {int(cores[0])}:
                expected[k, other] += blocks * message
                expected[k, cores[0]] += blocks * message
    np.testing.assert_allclose(core_loads_ns(problem, plan), expected)


@given(st.integers(0, 10_000), st.sampled_from(Pipeline))
@settings(max_examples=60)
def test_no_mapping_beats_the_population_estimate_nor_that_the_bound(seed: int, pipeline: Pipeline) -> None:
    problem = random_problem(seed, pipeline)
    plan = random_plan(problem, seed)
    latency, period, crossbars = population_cost(problem, np.array([plan.option]), np.array([plan.replication]))
    cost = plan_cost(problem, plan)
    assert latency[0] <= cost.latency_ns * (1 + 1e-9)
    assert period[0] <= cost.period_ns * (1 + 1e-9)
    assert cost.period_ns <= cost.latency_ns * (1 + 1e-9)
    assert crossbars[0] == cost.crossbars_used
    assert issue_bound_ns(problem) <= min(latency[0], period[0]) * (1 + 1e-9)


def test_overlap_divides_issue_time_but_not_one_array_group() -> None:
    layer = make_layer(0, [make_option(9, [1, 1, 1, 1])])
    plan = Plan(option=(0,), replication=(1,), core_of=(np.zeros((1, 4), dtype=np.int32),))
    periods = [
        plan_cost(make_problem([layer], cores=1, crossbars_per_core=4, rob_size=rob), plan).period_ns
        for rob in (1, 2, 16)
    ]
    assert periods == pytest.approx([9 * 4300.0, 9 * 2150.0, 9 * 1075.0])
