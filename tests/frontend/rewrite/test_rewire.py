"""Taking nodes out of a graph: who reads whom, and views that find their channels again."""

import numpy as np
import pytest

from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.frontend.rewrite.rewire import as_scale, drop_dead, is_depthwise, resolve, rewire
from pimcomp.ir.graph import Conv, Graph, Input, Node, Output, Pool, Standalone, View, Window, whole
from tests.graph_oracle import evaluate, random_inputs
from tests.schedule.random_networks import random_network


def view(*channels: tuple[int, int]) -> View:
    """A view of (source, channel) pairs."""
    return View(*(np.array(column, np.int32) for column in zip(*channels, strict=True)))


def pairs(given: View) -> list[tuple[int, int]]:
    return list(zip(given.sources.tolist(), given.channels.tolist(), strict=True))


def node(name: str, inputs: tuple[View, ...], channels: int = 2) -> Node:
    operation = Standalone() if inputs else Input((1, channels, 3, 3))
    return Node(name=name, operation=operation, inputs=inputs, channels=channels, height=3, width=3)


def chain() -> Graph:
    """x -> a -> b, and c, which nothing reads; the output has channels of a and of b."""
    nodes = (node("x", ()), node("a", (whole(0, 2),)), node("c", (whole(0, 2),)), node("b", (view((1, 1), (1, 0)),)))
    output = Output(name="y", view=view((3, 0), (1, 0)), onnx_shape=(1, 2, 3, 3))
    return Graph(name="chain", nodes=nodes, outputs=(output,))


def test_readers_are_nodes_and_outputs() -> None:
    assert chain().readers() == [{1, 2}, {3, -1}, set(), {-1}]


def test_sources_are_counted_once_and_ascending() -> None:
    assert view((3, 0), (1, 1), (3, 1)).nodes == [1, 3]


def test_a_view_of_a_node_that_is_taken_out_is_one_of_what_the_node_read() -> None:
    moved = {1: view((0, 1), (0, 0))}
    assert pairs(resolve(view((1, 0), (2, 5), (1, 1)), moved)) == [(0, 1), (2, 5), (0, 0)]
    same = view((2, 0))
    assert resolve(same, moved) is same


def test_taking_a_node_out_renumbers_all_that_come_behind_it() -> None:
    graph = chain()
    nodes: list[Node | None] = [*graph.nodes]
    nodes[1] = None
    found = rewire(graph, nodes, {1: whole(0, 2)})
    check_graph(found)
    assert [n.name for n in found.nodes] == ["x", "c", "b"]
    assert pairs(found.nodes[2].inputs[0]) == [(0, 1), (0, 0)]
    assert pairs(found.outputs[0].view) == [(2, 0), (0, 0)]


def test_what_no_output_depends_on_goes_and_all_else_stays() -> None:
    found = drop_dead(chain())
    assert [n.name for n in found.nodes] == ["x", "a", "b"]
    assert drop_dead(found) is found


@pytest.mark.parametrize("seed", range(10))
def test_a_network_without_its_dead_nodes_computes_the_same(seed: int) -> None:
    graph = random_network(seed)
    last = graph.outputs[-1]
    alone = Graph(name="alone", nodes=graph.nodes, outputs=(last,))
    found = drop_dead(alone)
    check_graph(found)
    assert len(found.nodes) <= len(graph.nodes)
    image = {name: values[0] for name, values in random_inputs(graph, 1, seed).items()}
    np.testing.assert_array_equal(evaluate(found, image)[1][last.name], evaluate(alone, image)[1][last.name])


def layer(weights: tuple[int, ...], groups: int, window: Window, inputs: int = 4) -> Node:
    conv = Conv(window=window, weights=np.ones(weights, np.float32), groups=groups)
    return Node(name="n", operation=conv, inputs=(whole(0, inputs),), channels=weights[0], height=3, width=3)


POINT, SQUARE = Window(kernel=(1, 1)), Window(kernel=(3, 3), pads=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("given", "depthwise", "scale"),
    [
        (layer((4, 1, 1, 1), 4, POINT), True, True),
        (layer((4, 1, 3, 3), 4, SQUARE), True, False),
        (layer((8, 1, 1, 1), 4, POINT), True, False),
        (layer((4, 4, 1, 1), 1, POINT), False, False),
        (layer((4, 1, 1, 1), 4, Window(kernel=(1, 1), stride=(2, 2))), True, False),
        (layer((4, 1, 1, 1), 4, Window(kernel=(1, 1), pads=(1, 0, 0, 0))), True, False),
        (node("p", (whole(0, 2),)), False, False),
    ],
)
def test_a_scale_is_a_depthwise_layer_of_one_tap(given: Node, depthwise: bool, scale: bool) -> None:
    assert is_depthwise(given) == depthwise
    assert (as_scale(given) is given.operation) == scale


def test_pooling_is_no_layer() -> None:
    pooled = Node(
        name="p", operation=Pool(method="max", window=SQUARE), inputs=(whole(0, 4),), channels=4, height=3, width=3
    )
    assert not is_depthwise(pooled)
    assert as_scale(pooled) is None
