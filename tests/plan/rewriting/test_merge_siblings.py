"""Siblings as one node: which are, where their channels are found, and that programs compute the same."""

from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Node, Output, View, Window
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.partition import partition
from pimcomp.plan.rewriting.merge_siblings import merge_siblings
from pimcomp.schedule import ScheduleOptions
from tests.graph_oracle import evaluate
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip
from tests.schedule.random_plans import RandomPlan
from tests.seeds import seeds

RELU = Activation(kind=ActivationKind.RELU)
SAME = {k: Window(kernel=(k, k), pads=(k // 2,) * 4) for k in (1, 3, 5)}
HALVING = {1: Window(kernel=(1, 1), stride=(2, 2)), 3: Window(kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))}


def _view(*parts: tuple[int, int]) -> View:
    """Whole maps side by side: (node, channels)."""
    sources = np.concatenate([np.full(count, node) for node, count in parts])
    return View(sources.astype(np.int32), np.concatenate([np.arange(n) for _, n in parts]).astype(np.int32))


def branches(windows: list[Window], *, size: int = 8, relu: tuple[bool, ...] = (), seed: int = 0) -> Graph:
    """A convolution, one branch per window on its map, and a 1 x 1 convolution over all branches' channels."""
    rng = np.random.default_rng(seed)

    def conv(window: Window, outs: int, ins: int) -> Conv:
        weights = rng.standard_normal((outs, ins, *window.kernel)) / np.sqrt(ins * window.kernel[0] ** 2)
        bias = rng.standard_normal(outs).astype(np.float32)
        return Conv(window=window, weights=weights.astype(np.float32), bias=bias)

    def node(name: str, operation: Conv, view: View, edge: int, act: bool = True) -> Node:
        return Node(
            name=name, operation=operation, inputs=(view,), channels=len(operation.weights), height=edge, width=edge,
            activation=RELU if act else None,
        )  # fmt: skip

    nodes = [
        Node(name="x", operation=Input(onnx_shape=(1, 3, size, size)), inputs=(), channels=3, height=size, width=size),
        node("stem", conv(SAME[3], 6, 3), _view((0, 3)), size),
    ]
    edge = -(-size // windows[0].stride[0])
    flags = relu or (True,) * len(windows)
    for i, window in enumerate(windows):
        nodes.append(node(f"branch{i}", conv(window, 4 + i, 6), _view((1, 6)), edge, flags[i]))
    joined = _view(*((2 + i, 4 + i) for i in range(len(windows))))
    nodes.append(node("join", conv(SAME[1], 5, len(joined.sources)), joined, edge, act=False))
    last = len(nodes) - 1
    output = Output(name="y", view=_view((last, 5)), onnx_shape=(1, 5, edge, edge))
    return Graph(name="branches", nodes=tuple(nodes), outputs=(output,))


CASES = {
    "three kernels": [SAME[1], SAME[3], SAME[5]],
    "equal kernels": [SAME[3], SAME[3]],
    "a shortcut": [HALVING[3], HALVING[1]],
    "tall and wide": [Window(kernel=(3, 1), pads=(1, 0, 1, 0)), SAME[3], Window(kernel=(1, 3), pads=(0, 1, 0, 1))],
}


@pytest.mark.parametrize("case", CASES)
def test_one_node_with_all_channels_computes_the_same(case: str) -> None:
    graph = branches(CASES[case])
    merged = merge_siblings(graph)
    assert [n.name for n in merged.nodes][2] == " + ".join(f"branch{i}" for i in range(len(CASES[case])))
    assert len(merged.nodes) == 4
    image = {"x": np.random.default_rng(1).standard_normal((1, 3, 8, 8))}
    np.testing.assert_allclose(evaluate(merged, image)[1]["y"], evaluate(graph, image)[1]["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(1, 3))
@pytest.mark.parametrize("case", CASES)
def test_its_program_computes_the_same(case: str, seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    graph, arch = branches(CASES[case], seed=seed), random_chip(seed)
    options = ScheduleOptions(images_per_round=2)
    compiled = compiled_files(graph, arch, RandomPlan(largest_replication=1 + seed), pipeline, options, tmp_path)
    assert len(compiled.graph.nodes) == 4
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < 1e-5


def test_other_activations_strides_and_inputs_stay_apart() -> None:
    graph = branches([SAME[3], SAME[1]], relu=(True, False))
    assert merge_siblings(graph).nodes == graph.nodes
    shifted = branches([SAME[1], Window(kernel=(3, 3), pads=(0, 1, 2, 1))])
    assert len(merge_siblings(shifted).nodes) == 4  # the 1 x 1 kernel is the first row's middle tap
    outside = branches([Window(kernel=(3, 3), pads=(2, 1, 0, 1)), SAME[1]], size=9)
    assert len(merge_siblings(outside).nodes) == 4
    beyond = branches([Window(kernel=(2, 2), pads=(0, 0, 1, 1)), Window(kernel=(1, 1), pads=(0, 0, 0, 0))], size=9)
    assert len(merge_siblings(beyond).nodes) == 4
    apart = branches([Window(kernel=(3, 1), pads=(1, 0, 1, 0)), Window(kernel=(1, 3), pads=(0, 1, 0, 1))])
    assert len(merge_siblings(apart).nodes) == len(apart.nodes)


def test_small_kernels_cost_no_crossbars_where_they_have_no_taps() -> None:
    """Side by side a 3 x 3 and a 1 x 1 kernel need no more columns than apart, in every slice of rows."""
    graph = merge_siblings(branches([SAME[3], SAME[1]]))
    arch = random_chip(0)
    options = partition(graph, arch).options[1]
    (matrix,) = (m for m in options if m.unfolding.block == 1 and not m.unfolding.scatter)
    assert sum(g.columns for g in matrix.groups) <= 4 * len(matrix.groups) + 5 * 2


def test_fire_and_inception_modules_become_single_layers() -> None:
    assert len(merge_siblings(load_network("squeezenet1_1").graph).weighted()) == 26 - 8
    arch = load_arch("pimcomp_default")
    scattering = partition(merge_siblings(load_network("squeezenet1_1").graph), arch).options[2]
    assert any(m.unfolding.scatter for m in scattering)
