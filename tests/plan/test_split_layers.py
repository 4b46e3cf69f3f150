"""Blocks of a layer fit the chip, compute what the layer does, and lie where its readers look for them."""

from dataclasses import replace

import numpy as np
import pytest

from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Eltwise, Graph, Input, Node, Output, Window, whole
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.levers import fits
from pimcomp.plan.segments import cut, cut_candidates
from pimcomp.plan.split_layers import Block, blocks_that_fit, split_layers
from tests.graph_oracle import evaluate, random_inputs
from tests.schedule.random_networks import random_chip, random_network

AS_THEY_ARE = ScheduleOptions(vector_depthwise=False, merge_siblings=False)


def _chip(cores: int, crossbars: int, rows: int = 16, columns: int = 16) -> Arch:
    return replace(
        random_chip(0),
        cores=cores,
        crossbars_per_core=crossbars,
        crossbar_rows=rows,
        crossbar_cols=columns,
        cell_bits=8,
    )


def _channels(part: Graph) -> float:
    """A price: of all maps that enter and are computed."""
    return float(sum(node.channels for node in part.nodes))


def _layer(conv: Conv, size: int) -> Graph:
    ins, outs = conv.weights.shape[1] * conv.groups, len(conv.weights)
    relu = Activation(kind=ActivationKind.RELU)
    nodes = (
        Node(name="x", operation=Input((1, ins, size, size)), inputs=(), channels=ins, height=size, width=size),
        Node(name="c", operation=conv, inputs=(whole(0, ins),), channels=outs, height=1, width=1, activation=relu),
    )
    return Graph(name="net", nodes=nodes, outputs=(Output(name="y", view=whole(1, outs), onnx_shape=(1, outs)),))


@pytest.mark.parametrize("seed", range(30))
def test_a_random_network_on_a_chip_of_a_few_crossbars(seed: int) -> None:
    """Groups, shuffled and partial views, concatenations, several outputs, branches: all come out the same, whole and
    cut everywhere."""
    graph = random_network(seed)
    arch = _chip(cores=1 + seed % 2, crossbars=1 + seed % 3, rows=56)  # no kernel has more taps
    divided = split_layers(graph, arch, AS_THEY_ARE, _channels)
    check_graph(divided)
    assert len({node.name for node in divided.nodes}) == len(divided.nodes)
    inputs = {name: images[0] for name, images in random_inputs(graph, 1, seed).items()}
    expected, found = evaluate(graph, inputs)[1], evaluate(divided, inputs)[1]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12)
    maps = dict(inputs)
    for part in cut(divided, cut_candidates(divided)):
        assert fits(part, arch), part.name
        maps |= {
            name: values if name in expected else values[0]
            for name, values in evaluate(part, {n.name: maps[n.name] for n in part.nodes if not n.inputs})[1].items()
        }
    for name, values in expected.items():
        np.testing.assert_allclose(maps[name], values, rtol=1e-9, atol=1e-12)


def test_what_fits_stays_and_what_cannot_be_divided_too() -> None:
    graph = random_network(3)
    assert split_layers(graph, random_chip(3), AS_THEY_ARE, _channels) is graph
    conv = Conv(window=Window(kernel=(5, 5)), weights=np.ones((1, 1, 5, 5), np.float32))
    assert blocks_that_fit(conv, _chip(1, 1)) == []  # 25 rows of 16
    graph = _layer(conv, 5)
    assert split_layers(graph, _chip(1, 1), AS_THEY_ARE, _channels) is graph


def test_the_largest_blocks_are_offered_none_within_another() -> None:
    """16 x 16 weights per crossbar, two cores of three: groups of at most three crossbars, side by side or above."""
    conv = Conv(window=Window(kernel=(1, 1)), weights=np.ones((112, 96, 1, 1), np.float32))
    assert blocks_that_fit(conv, _chip(2, 3)) == [Block(96, 16), Block(48, 32), Block(16, 96)]


def test_the_bias_is_added_once_and_the_activation_is_the_last_of_all() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((20, 40, 1, 1)).astype(np.float32)
    conv = Conv(window=Window(kernel=(1, 1)), weights=weights, bias=np.arange(20, dtype=np.float32))
    divided = split_layers(_layer(conv, 1), _chip(1, 1, columns=32), AS_THEY_ARE, _channels)
    blocks = [node.operation for node in divided.nodes if isinstance(node.operation, Conv)]
    sums = [node for node in divided.nodes if isinstance(node.operation, Eltwise)]
    assert [node.name for node in sums] == ["c[0:20, 0:26]", "c[0:20, 0:40]"]
    assert [block.bias is not None for block in blocks] == [True, False, False]
    assert [node.activation is not None for node in sums] == [False, True]
    assert sum(block.weights.size for block in blocks) == weights.size


def test_a_segment_reads_no_more_of_a_map_than_its_block_does() -> None:
    conv = Conv(window=Window(kernel=(1, 1)), weights=np.ones((8, 40, 1, 1), np.float32))
    first = replace(conv, weights=np.ones((40, 2, 1, 1), np.float32))
    graph = _layer(first, 1)
    second = replace(graph.nodes[1], name="d", operation=conv, inputs=(whole(1, 40),), channels=8)
    output = replace(graph.outputs[0], view=whole(2, 8), onnx_shape=(1, 8))
    graph = replace(graph, nodes=(*graph.nodes, second), outputs=(output,))
    divided = split_layers(graph, _chip(1, 1, columns=64), AS_THEY_ARE, _channels)
    parts = cut(divided, cut_candidates(divided))
    assert [o.name for o in parts[0].outputs] == ["c[0:13]", "c[13:26]", "c[26:40]"]
    assert [[(n.name, n.channels) for n in part.nodes if not n.inputs] for part in parts[1:]] == [
        [("c[0:13]", 13)], [("c[13:26]", 13), ("d[0:8, 0:13]", 8)], [("c[26:40]", 14), ("d[0:8, 0:26]", 8)],
    ]  # fmt: skip
