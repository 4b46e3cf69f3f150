"""Depthwise layers on the vector unit: which are, and that they compute the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Node, Output, View, Window, whole
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.rewriting.vector_layers import use_vector_unit
from pimcomp.schedule import ScheduleOptions
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip
from tests.schedule.random_plans import RandomPlan


def _depthwise(window: Window, height: int, width: int, seed: int, order: str = "straight") -> Graph:
    """Pointwise convolution, depthwise convolution with this window over its 7 x 9 map, pointwise convolution."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    halves = whole(1, 12)
    if order == "halves exchanged":
        halves = View(halves.sources, np.roll(halves.channels, 6))
    relu6 = Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0)
    one = Window(kernel=(1, 1))
    nodes = (
        Node(name="x", operation=Input(onnx_shape=(1, 3, 7, 9)), inputs=(), channels=3, height=7, width=9),
        Node(
            name="expand", operation=Conv(window=one, weights=weights(12, 3, 1, 1), bias=weights(12)),
            inputs=(whole(0, 3),), channels=12, height=7, width=9, activation=relu6,
        ),
        Node(
            name="depthwise",
            operation=Conv(window=window, weights=weights(12, 1, *window.kernel), bias=weights(12), groups=12),
            inputs=(halves,), channels=12, height=height, width=width, activation=relu6,
        ),
        Node(
            name="project", operation=Conv(window=one, weights=weights(5, 12, 1, 1)),
            inputs=(whole(2, 12),), channels=5, height=height, width=width,
        ),
    )  # fmt: skip
    return Graph(
        name="depthwise",
        nodes=nodes,
        outputs=(Output(name="y", view=whole(3, 5), onnx_shape=(1, 5, height, width)),),
    )


CASES = {
    "3 x 3": (Window(kernel=(3, 3), pads=(1, 1, 1, 1)), 7, 9),
    "stride 2": (Window(kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1)), 4, 5),
    "dilation": (Window(kernel=(3, 2), dilation=(2, 3), pads=(0, 3, 2, 1)), 5, 10),
    "a window outside the map": (Window(kernel=(2, 1), pads=(3, 2, 0, 0)), 9, 11),
}


@pytest.mark.parametrize("order", ["straight", pytest.param("halves exchanged", marks=pytest.mark.slow)])
@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("case", CASES)
def test_the_vector_unit_computes_a_depthwise_layer(case: str, pipeline: Pipeline, order: str, tmp_path: Path) -> None:
    graph, arch = _depthwise(*CASES[case], seed=3, order=order), random_chip(3)
    options = ScheduleOptions(images_per_round=2)
    compiled = compiled_files(graph, arch, RandomPlan(), pipeline, options, tmp_path)
    assert [c.vector for n in compiled.graph.nodes if isinstance(c := n.operation, Conv)] == [False, True, False]
    assert compiled.program.group_node.max() == 3
    assert 2 not in compiled.program.group_node
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < 1e-5


def test_switched_off_it_stays_on_crossbars(tmp_path: Path) -> None:
    graph, arch = _depthwise(*CASES["3 x 3"], seed=3), random_chip(3)
    off = ScheduleOptions(vector_depthwise=False)
    compiled = compiled_files(graph, arch, RandomPlan(), Pipeline.ELEMENT, off, tmp_path)
    assert 2 in compiled.program.group_node
    assert largest_error(graph, tmp_path, 1) < 1e-5


def test_shuffled_channels_stay_on_crossbars() -> None:
    graph, arch = _depthwise(*CASES["3 x 3"], seed=3), random_chip(3)
    shuffled = np.arange(12, dtype=np.int32).reshape(3, 4).T.ravel()
    nodes = list(graph.nodes)
    nodes[2] = replace(nodes[2], inputs=(View(nodes[2].inputs[0].sources, shuffled),))
    marked = use_vector_unit(replace(graph, nodes=tuple(nodes)), arch)
    assert marked.weighted() == (1, 2, 3)


@pytest.mark.slow
def test_mobilenet_has_all_depthwise_layers_there_on_the_default_chip() -> None:
    graph = load_network("mobilenet_v2").graph
    marked = use_vector_unit(graph, load_arch("pimcomp_default"))
    assert len(graph.weighted()) - len(marked.weighted()) == 17
