"""The critical path of an order, by layer."""

import numpy as np
import pytest

from pimcomp.plan.rows import sources_of
from pimcomp.schedule.ordering.critical import critical_share, layer_of_node
from tests.schedule.stages import SEEDS, Stages, stages


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_belongs_to_the_last_layer_that_it_follows(seed: int) -> None:
    case = stages(seed)
    layer = layer_of_node(case.graph, case.partition)
    for index, node in enumerate(case.graph.nodes):
        if index in case.partition.nodes:
            assert case.partition.nodes[layer[index]] == index
        else:
            assert layer[index] == max((layer[s] for s in sources_of(node)), default=-1)


def path(case: Stages) -> list[int]:
    """The actions on the critical path, the last one first."""
    timed = case.placed.timed
    found = [int(timed.order[-1])]
    while timed.cause[found[-1]] >= 0:
        found.append(int(timed.cause[found[-1]]))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_are_the_times_between_the_starts_on_the_path(seed: int) -> None:
    case = stages(seed)
    flow, actions, timed = case.flow, case.placed.actions, case.placed.timed
    layers, layer_of = len(case.partition.nodes), layer_of_node(case.graph, case.partition)
    expected, end = np.zeros(layers + 1), timed.makespan_ns  # the last one: of what belongs to no layer
    for action in path(case):
        number = int(actions.flow_action[action])
        task = number if number < flow.tasks else int(flow.transfers.producer[number - flow.tasks])
        expected[layer_of[flow.task.node[task]]] += end - timed.start[action]
        end = timed.start[action]
    assert end == 0.0  # nothing is left out
    assert expected.sum() == pytest.approx(timed.makespan_ns)
    np.testing.assert_allclose(critical_share(flow, case.placed, layer_of, layers), expected[:layers])
