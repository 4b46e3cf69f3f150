"""Every pass keeps the function of any graph, and does what it is for.

Covers: check_graph, fold_scales, fuse_activations, merge_padding, rewire, sort_channels,
split_pools.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.errors import InvariantError
from pimcomp.frontend.import_onnx import clean
from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.frontend.rewrite.fold_scales import fold_scales
from pimcomp.frontend.rewrite.fuse_activations import fuse_activations
from pimcomp.frontend.rewrite.merge_padding import merge_padding
from pimcomp.frontend.rewrite.rewire import drop_dead
from pimcomp.frontend.rewrite.sort_channels import sort_channels
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Graph,
    Input,
    Node,
    Output,
    Pick,
    Pool,
    Standalone,
    View,
    Window,
)
from tests.frontend.small_onnx import load, make, op
from tests.frontend.small_onnx import normals as weights_of
from tests.graph_oracle import evaluate

PASSES = [fold_scales, fuse_activations, merge_padding, sort_channels, drop_dead, clean]
ACTIVATIONS = [
    None,
    Activation(kind=ActivationKind.RELU),
    Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0),
    Activation(kind=ActivationKind.CLIP, low=-0.5, high=0.5),
    Activation(kind=ActivationKind.HARD_SIGMOID, alpha=1 / 6, beta=0.5),
    Activation(kind=ActivationKind.TANH),
]


def normals(draw: st.DrawFn, *shape: int) -> np.ndarray:
    return np.random.default_rng(draw(st.integers(0, 1 << 20))).standard_normal(shape, dtype=np.float32)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random networks of up to ten nodes in which passes find something to do."""
    first = Node(name="x", operation=Input((1, 4, 5, 5)), inputs=(), channels=4, height=5, width=5)
    nodes = [first]

    def view(size: tuple[int, int], channels: int) -> View:
        """Channels of any maps of one size; mostly all of one node, often shuffled or from several."""
        candidates = [i for i, node in enumerate(nodes) if (node.height, node.width) == size]
        newest = candidates[-1]
        if nodes[newest].channels == channels and draw(st.booleans()):
            return View(np.full(channels, newest, np.int32), np.array(draw(st.permutations(range(channels))), np.int32))
        pool = [(i, c) for i in candidates[-2:] for c in range(nodes[i].channels)]
        picked = [pool[k] for k in draw(st.lists(st.integers(0, len(pool) - 1), min_size=channels, max_size=channels))]
        return View(np.array([i for i, _ in picked], np.int32), np.array([c for _, c in picked], np.int32))

    for number in range(draw(st.integers(1, 9))):
        source = nodes[draw(st.integers(max(0, len(nodes) - 3), len(nodes) - 1))]
        size, channels = (source.height, source.width), 4
        operand = view(size, channels)
        inputs: tuple[View, ...] = (operand,)
        out, activation = (channels, *size), draw(st.sampled_from(ACTIVATIONS))
        operation: Conv | Pool | Eltwise | Standalone | Crop | Pick
        match draw(st.sampled_from(["conv", "scale", "pool", "eltwise", "standalone", "pad", "pick"])):
            case "conv" if min(size) >= 2:
                groups, pad = draw(st.sampled_from([1, 2, 4])), draw(st.integers(0, 1))
                weights = normals(draw, 4, 4 // groups, 2, 2)
                window = Window(kernel=(2, 2), pads=(pad, 0, 0, pad))
                operation = Conv(window=window, weights=weights, groups=groups)
                out = (4, size[0] + pad - 1, size[1] + pad - 1)
            case "pool" if min(size) >= 2:
                method, count = draw(st.sampled_from([("max", False), ("avg", False), ("avg", True)]))
                operation = Pool(method=method, window=Window(kernel=(2, 2), pads=(0, 1, 0, 0)), count_padding=count)
                out = (4, size[0] - 1, size[1])
            case "eltwise":
                inputs = (operand, operand if draw(st.booleans()) else view(size, channels))
                operation = Eltwise(draw(st.sampled_from(["add", "sub", "mul"])))
            case "standalone":
                operation = Standalone()
            case "pad":
                operation, out, activation = Crop(-1, 0), (4, size[0] + 1, size[1] + 1), None
            case "pick":
                operation = Pick(tuple(reversed(range(size[0]))), (-1, *range(size[1])))
                out = (4, size[0], size[1] + 1)
            case _:
                uniform = draw(st.booleans())
                weights = np.full((4, 1, 1, 1), 1.0, np.float32) if uniform else normals(draw, 4, 1, 1, 1)
                bias = np.full(4, 3.0, np.float32) if uniform else draw(st.sampled_from([None, normals(draw, 4)]))
                operation = Conv(window=Window(kernel=(1, 1)), weights=weights, bias=bias, groups=4)
        nodes.append(
            Node(
                name=f"n{number}",
                operation=operation,
                inputs=inputs,
                channels=out[0],
                height=out[1],
                width=out[2],
                activation=activation,
            )
        )
    last = nodes[-1]
    shape = (1, last.channels, last.height, last.width)
    outputs = [Output(name="y", view=view((last.height, last.width), last.channels), onnx_shape=shape)]
    graph = Graph(name="random", nodes=tuple(nodes), outputs=tuple(outputs))
    check_graph(graph)
    return graph


@pytest.mark.parametrize("run", PASSES, ids=lambda run: run.__name__)
@settings(max_examples=20)
@given(graph=graphs())
def test_passes_keep_the_function(run: Callable[[Graph], Graph], graph: Graph) -> None:
    image = {"x": np.random.default_rng(0).standard_normal((1, 4, 5, 5))}
    _, before = evaluate(graph, image)
    result = run(graph)
    check_graph(result)
    assert len(result.nodes) <= len(graph.nodes)
    _, after = evaluate(result, image if any(node.name == "x" for node in result.nodes) else {})
    assert np.allclose(before["y"], after["y"], rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(before["y"]).max())))


@settings(max_examples=50)
@given(graph=graphs())
def test_sorting_is_idempotent_and_sorts_what_may_be_sorted(graph: Graph) -> None:
    once = sort_channels(graph)
    twice = sort_channels(once)
    for node, again in zip(once.nodes, twice.nodes, strict=True):
        for view, other in zip(node.inputs, again.inputs, strict=True):
            assert np.array_equal(view.sources, other.sources)
            assert np.array_equal(view.channels, other.channels)
    sorted_ones = [n for n in once.nodes if isinstance(n.operation, Pool | Eltwise | Standalone | Crop)]
    assume(sorted_ones)
    for node in sorted_ones:
        codes = node.inputs[0].sources.astype(np.int64) << 32 | node.inputs[0].channels
        assert np.all(np.diff(codes) >= 0)


def test_depthwise_multiplier_follows_its_channel() -> None:
    shuffled = View(np.zeros(3, np.int32), np.array([2, 0, 1], np.int32))
    weights = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    conv = Conv(window=Window(kernel=(1, 1)), weights=weights, bias=weights.ravel() * 10, groups=3)
    nodes = (
        Node(name="x", operation=Input((1, 3, 2, 2)), inputs=(), channels=3, height=2, width=2),
        Node(name="d", operation=conv, inputs=(shuffled,), channels=6, height=2, width=2),
    )
    view = View(np.ones(6, np.int32), np.arange(6, dtype=np.int32))
    graph = Graph(name="g", nodes=nodes, outputs=(Output(name="y", view=view, onnx_shape=(1, 6, 2, 2)),))
    result = sort_channels(graph)
    assert result.nodes[1].inputs[0].channels.tolist() == [0, 1, 2]
    assert result.outputs[0].view.channels.tolist() == [4, 5, 0, 1, 2, 3]
    image = {"x": np.random.default_rng(1).standard_normal((1, 3, 2, 2))}
    assert np.array_equal(evaluate(graph, image)[1]["y"], evaluate(result, image)[1]["y"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 5}, r"node 1 \(c\): shape \(5, 3, 3\), expected \(4, 3, 3\)"),
        ({"height": 2}, "expected"),
        ({"inputs": ()}, "with 0 operands"),
        ({"inputs": (View(np.ones(2, np.int32), np.arange(2, dtype=np.int32)),)}, "does not come before it"),
        ({"inputs": (View(np.zeros(2, np.int32), np.array([0, 2], np.int32)),)}, "channels 2 to 2|channels 0 to 2"),
        ({"inputs": (View(np.zeros(1, np.int32), np.zeros(1, np.int32)),)}, "weights of shape"),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    whole = View(np.zeros(2, np.int32), np.arange(2, dtype=np.int32))
    conv = Conv(window=Window(kernel=(3, 3)), weights=np.ones((4, 2, 3, 3), np.float32))
    good = Node(name="c", operation=conv, inputs=(whole,), channels=4, height=3, width=3)
    start = Node(name="x", operation=Input((1, 2, 5, 5)), inputs=(), channels=2, height=5, width=5)
    output = Output(name="y", view=View(np.ones(1, np.int32), np.zeros(1, np.int32)), onnx_shape=(1, 1, 3, 3))
    check_graph(Graph(name="g", nodes=(start, good), outputs=(output,)))
    with pytest.raises(InvariantError, match=message):
        check_graph(Graph(name="g", nodes=(start, replace(good, **change)), outputs=(output,)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    [*(pytest.param(kind, marks=pytest.mark.slow) for kind in ("pool", "conv")), "identity", "concat", "constant"],
)
def test_thousands_of_layers_need_no_depth_of_calls(kind: str, tmp_path: Path) -> None:
    depth, weights = 1200, {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "c0": np.ones((1, 2, 1, 1), np.float32)}
    weights |= {"w": weights_of(2, 2, 1, 1), "cuts": np.array([1, 1])}
    nodes = [op("Relu", "x", "t0")]
    for i in range(depth):
        here, there = f"t{i}", f"t{i + 1}"
        nodes += {
            "pool": [op("MaxPool", here, there, kernel_shape=[2, 2], pads=[0, 0, 1, 1])],
            "conv": [op("Conv", f"{here} w", there)],
            "identity": [op("Identity", here, there)],
            "concat": [op("Split", f"{here} cuts", f"a{i} b{i}", axis=1), op("Concat", f"b{i} a{i}", there, axis=1)],
            "constant": [op("Neg", f"c{i}", f"c{i + 1}"), op("Identity", here, there)],
        }[kind]
    nodes += [op("Mul", f"t{depth} c{depth if kind == 'constant' else 0}", "m"), op("Relu", "m", "r")]
    nodes += [
        op("Pad", f"{f't{depth}' if kind == 'pool' else 'r'} pads", "p"),
        op("MaxPool", "p", "y", kernel_shape=[3, 3]),
    ]
    graph = load(make(nodes, {"x": (1, 2, 4, 4)}, weights), tmp_path).graph
    assert len(graph.nodes) >= (depth if kind in ("pool", "conv") else 2)
