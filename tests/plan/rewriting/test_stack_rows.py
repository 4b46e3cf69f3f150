"""Rows computed as channels: that the network stays the same, and where it pays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Conv, Graph, Input, Node, Output, Window, whole
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.partition import partition
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.rewriting.stack_rows import rows_stacked, rows_that_pay, stack_rows
from pimcomp.plan.rewriting.vector_layers import unfold_layer
from pimcomp.schedule import ScheduleOptions
from tests.graph_oracle import evaluate
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip
from tests.schedule.random_plans import RandomPlan
from tests.seeds import seeds

WINDOWS = {
    "first layer": Window(kernel=(7, 7), stride=(2, 2), pads=(3, 3, 3, 3)),
    "stride 1": Window(kernel=(3, 3), pads=(1, 1, 1, 1)),
    "rows left over": Window(kernel=(4, 2), stride=(3, 1), pads=(0, 1, 2, 0)),
    "gaps": Window(kernel=(1, 3), stride=(2, 1)),
}


def network(window: Window, *, seed: int = 0, size: int = 13) -> Graph:
    """A layer, and one that reads it."""
    rng = np.random.default_rng(seed)
    top, left, bottom, right = window.pads
    height = (size + top + bottom - window.kernel[0]) // window.stride[0] + 1
    width = (size + left + right - window.kernel[1]) // window.stride[1] + 1
    weights = rng.standard_normal((5, 3, *window.kernel)).astype(np.float32)
    first = Conv(window=window, weights=weights, bias=rng.standard_normal(5).astype(np.float32))
    last = Conv(window=Window(kernel=(1, 1)), weights=rng.standard_normal((4, 5, 1, 1)).astype(np.float32))
    nodes = (
        Node(name="x", operation=Input((1, 3, size, size)), inputs=(), channels=3, height=size, width=size),
        Node(name="first", operation=first, inputs=(whole(0, 3),), channels=5, height=height, width=width),
        Node(name="last", operation=last, inputs=(whole(1, 5),), channels=4, height=height, width=width),
    )
    output = Output(name="y", view=whole(2, 4), onnx_shape=(1, 4, height, width))
    return Graph(name="two", nodes=nodes, outputs=(output,))


@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("window", WINDOWS)
def test_the_network_stays_the_same(window: str, rows: int) -> None:
    graph = network(WINDOWS[window])
    tall = stack_rows(graph, {"first": rows})
    assert [node.name for node in tall.nodes] == ["x", "first", f"first (rows by {rows})", "last"]
    assert rows_stacked([node.name for node in tall.nodes]) == {"first": rows}
    image = {"x": np.random.default_rng(1).standard_normal((1, 3, 13, 13))}
    np.testing.assert_allclose(evaluate(tall, image)[1]["y"], evaluate(graph, image)[1]["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(1, 2))
@pytest.mark.parametrize("window", WINDOWS)
def test_its_program_computes_the_same(window: str, seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    graph, options = network(WINDOWS[window], seed=seed), ScheduleOptions(images_per_round=2)
    tall, plan = stack_rows(graph, {"first": 2 + seed % 3}), RandomPlan(largest_replication=1 + seed)
    compiled = compiled_files(tall, random_chip(seed), plan, pipeline, options, tmp_path)
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < 1e-5


def test_the_layer_of_the_image_fires_half_as_often() -> None:
    arch = load_arch("pimcomp_default")
    graph, options = load_network("resnet18").graph, ScheduleOptions()
    apart, tall = (rewrite(graph, arch, options, pipeline) for pipeline in (Pipeline.ELEMENT, Pipeline.BATCH))
    assert set(rows_stacked([node.name for node in tall.nodes])) == {"/conv1/Conv"}
    fired = [
        min(f * len(matrix.groups) for matrix, f in zip(found.options[0], found.flat.firings.tolist(), strict=False))
        for found in (partition(graph, arch) for graph in (apart, tall))
    ]
    assert fired[1] * 2 <= fired[0]


def test_it_is_left_where_it_saves_little_or_takes_much_room() -> None:
    arch = load_arch("pimcomp_default")
    assert rows_that_pay(load_network("squeezenet1_1").graph, arch, unfold_layer) == {}
    assert rows_that_pay(load_network("alexnet").graph, arch, unfold_layer) == {}
    graph = load_network("resnet18").graph
    assert rows_that_pay(graph, arch, unfold_layer).keys() == {"/conv1/Conv"}
    assert rows_that_pay(graph, replace(arch, cores=20), unfold_layer) == {}  # which it fills
    small = network(WINDOWS["first layer"], size=40)
    assert rows_that_pay(small, arch, unfold_layer).keys() == {"first"}
    assert rows_that_pay(small, replace(arch, cores=1), unfold_layer) == {}
