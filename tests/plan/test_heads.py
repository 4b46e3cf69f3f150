"""Heads as maps of their own, gathered keys and parted activations: the same function, and what is where."""

from pathlib import Path

import numpy as np
import pytest

from pimcomp.ir.graph import Conv, Graph, Product, Standalone, Turn
from pimcomp.plan.heads import spread_out
from tests.frontend.small_onnx import load
from tests.graph_oracle import evaluate_images, random_inputs
from tests.schedule.random_networks import random_network
from tests.seeds import seeds
from tests.transformer import encoder


def outputs_of(graph: Graph, seed: int) -> list[np.ndarray]:
    """Of one random image."""
    return list(evaluate_images(graph, random_inputs(graph, 1, seed))[1].values())


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_the_function_stays(seed: int, tmp_path: Path) -> None:
    graph = load(encoder(5 + seed, 12, 1 + seed % 3, blocks=2, seed=seed, framed=seed % 2 == 1), tmp_path).graph
    for one, other in zip(outputs_of(graph, seed), outputs_of(spread_out(graph), seed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_products_read_maps_of_their_own_and_gathered_keys(tmp_path: Path) -> None:
    graph = spread_out(load(encoder(6, 12, 3), tmp_path).graph)
    products = [node for node in graph.nodes if isinstance(node.operation, Product)]
    assert len(products) == 6  # scores and weighted values of three heads
    for node in products:
        for view in node.inputs:
            assert [len(view.channels)] == [graph.nodes[source].channels for source in view.nodes]
        (key,) = node.inputs[1].nodes
        assert isinstance(graph.nodes[key].operation, Turn) or graph.nodes[key].name.endswith(".gathered")


def test_who_reads_the_same_channels_shares_their_copy(tmp_path: Path) -> None:
    graph = spread_out(load(encoder(6, 12, 3), tmp_path).graph)
    names = [node.name for node in graph.nodes]
    assert len(names) == len(set(names))
    assert sum(isinstance(node.operation, Standalone) and node.activation is None for node in graph.nodes) == 4 * 3


def test_a_long_activation_is_a_node_of_its_own(tmp_path: Path) -> None:
    whole = load(encoder(6, 12, 3), tmp_path).graph
    graph = spread_out(whole)
    (index,) = [i for i, node in enumerate(whole.nodes) if node.activation is not None]
    (own,) = [node for node in graph.nodes if node.name == whole.nodes[index].name]
    (sums,) = [graph.nodes[source] for source in own.inputs[0].nodes]
    assert isinstance(sums.operation, Conv)
    assert (sums.activation, own.activation) == (None, whole.nodes[index].activation)


@pytest.mark.parametrize("seed", seeds(2, 6))
def test_other_networks_stay_as_they_are(seed: int) -> None:
    graph = random_network(seed)
    assert [node.name for node in spread_out(graph).nodes] == [node.name for node in graph.nodes]
