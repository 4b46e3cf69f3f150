"""Heads as maps of their own, gathered keys, parted activations, wide layers in blocks: the same function, and what is
where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Graph,
    Input,
    Node,
    Output,
    Product,
    Standalone,
    Turn,
    Window,
    whole,
)
from pimcomp.plan.heads import CHANNELS, ROWS, narrow_layers, spread_out
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


def _layer(inputs: int, outputs: int, height: int = 1, width: int = 3) -> Graph:
    rng = np.random.default_rng(0)
    conv = Conv(
        window=Window(kernel=(1, 1)),
        weights=rng.standard_normal((outputs, inputs, 1, 1)).astype(np.float32),
        bias=rng.standard_normal(outputs).astype(np.float32),
    )
    x = Node(
        name="x", operation=Input((1, inputs, height, width)), inputs=(), channels=inputs, height=height, width=width
    )
    relu = Activation(kind=ActivationKind.RELU)
    y = replace(x, name="y", operation=conv, inputs=(whole(0, inputs),), channels=outputs, activation=relu)
    outs = (Output(name="out", view=whole(1, outputs), onnx_shape=(1, outputs, height, width)),)
    return Graph(name="net", nodes=(x, y), outputs=outs)


def test_a_layer_of_many_inputs_is_computed_in_blocks_side_by_side() -> None:
    graph = _layer(ROWS + 1, 2 * CHANNELS + 1)
    divided = narrow_layers(graph)
    check_graph(divided)
    assert [node.channels for node in divided.nodes[1:]] == [256, 256, 257]
    inputs = random_inputs(graph, 1, seed=0)
    expected, found = (evaluate_images(g, inputs)[1] for g in (graph, divided))
    np.testing.assert_allclose(found["out"], expected["out"], rtol=1e-5)


@pytest.mark.parametrize(
    "graph",
    [
        _layer(ROWS, CHANNELS + 1),
        _layer(ROWS + 1, CHANNELS),
        _layer(ROWS + 1, CHANNELS + 1, height=2),
        _layer(ROWS + 1, CHANNELS + 1, width=1),
    ],
    ids=["few inputs", "few outputs", "no tokens", "one token"],
)
def test_others_stay_as_they_are(graph: Graph) -> None:
    assert narrow_layers(graph) is graph
