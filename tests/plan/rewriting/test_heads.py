"""Heads as maps of their own, gathered keys, parted activations, wide layers in blocks: the same function, and what is
where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Graph,
    Input,
    Node,
    Output,
    Pool,
    Product,
    Standalone,
    Turn,
    Window,
    whole,
)
from pimcomp.plan.rewriting.heads import CHANNELS, ROWS, cut_as, cut_where_crowded, narrow_layers, spread_out
from tests.frontend.small_onnx import load
from tests.graph_oracle import evaluate, evaluate_images, random_inputs
from tests.schedule.random_networks import random_chip, random_network
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


def _chip(cores: int, crossbars: int) -> Arch:
    return replace(
        random_chip(0), cores=cores, crossbars_per_core=crossbars, crossbar_rows=16, crossbar_cols=16, cell_bits=8
    )


def _crowded(seed: int) -> Graph:
    """A convolution and a pool, then layers that fire once: 8 of 136 crossbars of 16 x 16 are the convolution's."""
    rng = np.random.default_rng(seed)
    conv = Conv(window=Window(kernel=(3, 3), pads=(1, 1, 1, 1)), weights=rng.standard_normal((48, 4, 3, 3)).astype("f"))
    full = Conv(window=Window(kernel=(4, 4)), weights=rng.standard_normal((32, 48, 4, 4)).astype("f"))
    last = Conv(window=Window(kernel=(1, 1)), weights=rng.standard_normal((40, 32, 1, 1)).astype("f"))
    pool = Pool(method="max", window=Window(kernel=(2, 2), stride=(2, 2)))
    relu = Activation(kind=ActivationKind.RELU)
    nodes = (
        Node(name="x", operation=Input((1, 4, 8, 8)), inputs=(), channels=4, height=8, width=8),
        Node(name="c", operation=conv, inputs=(whole(0, 4),), channels=48, height=8, width=8, activation=relu),
        Node(name="p", operation=pool, inputs=(whole(1, 48),), channels=48, height=4, width=4),
        Node(name="f", operation=full, inputs=(whole(2, 48),), channels=32, height=1, width=1, activation=relu),
        Node(name="l", operation=last, inputs=(whole(3, 32),), channels=40, height=1, width=1),
    )
    return Graph(name="net", nodes=nodes, outputs=(Output(name="y", view=whole(4, 40), onnx_shape=(1, 40)),))


def test_layers_are_narrow_where_fully_connected_ones_hold_most_of_the_chip() -> None:
    graph = _crowded(0)
    narrow = cut_where_crowded(graph, _chip(20, 8))
    check_graph(narrow)
    assert [node.channels for node in narrow.nodes] == [4, *[16] * 3, *[16] * 3, *[16] * 2, *[16, 16, 8]]
    assert [node.name for node in narrow.nodes[1:7]] == [f"{n}" for n in (
        "c[0:16, 0:4]", "c[16:32, 0:4]", "c[32:48, 0:4]", "p[0:16]", "p[16:32]", "p[32:48]"
    )]  # fmt: skip
    again = cut_as(graph, [node.name for node in narrow.nodes])
    assert [node.name for node in again.nodes] == [node.name for node in narrow.nodes]
    assert cut_as(graph, [node.name for node in graph.nodes]) is graph
    inputs = {name: images[0] for name, images in random_inputs(graph, 1, 0).items()}
    expected, found = evaluate(graph, inputs)[1], evaluate(narrow, inputs)[1]
    np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-9, atol=1e-12)


def test_layers_stay_wide_where_the_chip_has_room_or_none() -> None:
    graph = _crowded(0)
    assert cut_where_crowded(graph, _chip(40, 8)) is graph
    assert cut_where_crowded(graph, _chip(8, 8)) is graph
