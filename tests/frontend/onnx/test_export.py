"""graph_to_onnx against a naive evaluation of the graph in numpy, node by node.

Covers: operations, writer.
"""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.errors import InvariantError
from pimcomp.frontend.lower.window_geometry import misses_map
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Graph,
    Input,
    Lrn,
    Node,
    Output,
    Pick,
    Pool,
    Standalone,
    View,
    Window,
    whole,
)
from pimcomp.proof.reference import intermediate_maps, run_reference
from tests.graph_oracle import evaluate_images, random_inputs


def image(channels: int, height: int, width: int, name: str = "x") -> Node:
    """A network input."""
    return Node(
        name=name,
        operation=Input((1, channels, height, width)),
        inputs=(),
        channels=channels,
        height=height,
        width=width,
    )


def as_output(name: str, view: View, height: int, width: int) -> Output:
    """A view as a network output of its natural shape."""
    return Output(name=name, view=view, onnx_shape=(1, len(view.channels), height, width))


def assert_same(graph: Graph, images: int = 2, seed: int = 0) -> None:
    """Every node's map and every output by ONNX Runtime equal the naive evaluation."""
    inputs = random_inputs(graph, images, seed)
    maps, expected = evaluate_images(graph, inputs)
    for index, found in intermediate_maps(graph, inputs).items():
        np.testing.assert_allclose(found, maps[index], rtol=1e-4, atol=1e-5)
    results = run_reference(graph_to_onnx(graph), inputs)
    for output in graph.outputs:
        np.testing.assert_allclose(results[output.name], expected[output.name], rtol=1e-4, atol=1e-5)


def one_node(node: Node, size: tuple[int, int, int]) -> Graph:
    """Input of `size`, then `node`, then an output of its natural shape."""
    return Graph(
        name="one",
        nodes=(image(*size), node),
        outputs=(as_output("y", whole(1, node.channels), node.height, node.width),),
    )


def extent(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    """Output positions of a sliding window."""
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


WINDOWS = st.builds(
    Window,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)


def windowed(window: Window, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a window's result."""
    return (
        extent(size[0], window.kernel[0], window.stride[0], window.dilation[0], window.pads[0] + window.pads[2]),
        extent(size[1], window.kernel[1], window.stride[1], window.dilation[1], window.pads[1] + window.pads[3]),
    )


@settings(max_examples=30)
@given(window=WINDOWS, groups=st.sampled_from([1, 2, 4]), bias=st.booleans(), seed=st.integers(0, 99))
def test_convolutions(window: Window, groups: int, bias: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = windowed(window, (6, 5))
    conv = Conv(
        window=window,
        weights=rng.normal(size=(8, 4 // groups, *window.kernel)).astype(np.float32),
        bias=rng.normal(size=8).astype(np.float32) if bias else None,
        groups=groups,
    )
    node = Node(name="c", operation=conv, inputs=(whole(0, 4),), channels=8, height=height, width=width)
    assert_same(one_node(node, (4, 6, 5)), seed=seed)


@settings(max_examples=60)
@given(window=WINDOWS, method=st.sampled_from(["max", "avg"]), count=st.booleans(), data=st.data())
def test_pooling_with_any_pads_and_divisors(window: Window, method: str, count: bool, data: st.DataObject) -> None:
    height, width = windowed(window, (6, 5))
    overhang = (data.draw(st.integers(0, window.pads[2])), data.draw(st.integers(0, window.pads[3])))
    pool = Pool(method=method, window=window, count_padding=count, overhang=overhang)
    node = Node(name="p", operation=pool, inputs=(whole(0, 3),), channels=3, height=height, width=width)
    assume(not misses_map(window, (6, 5), (height, width)))  # padding alone has no maximum and no average
    assert_same(one_node(node, (3, 6, 5)))


@pytest.mark.parametrize(
    "activation",
    [
        Activation(kind=ActivationKind.RELU),
        Activation(kind=ActivationKind.CLIP, low=0.0, high=0.7),
        Activation(kind=ActivationKind.CLIP, high=0.3),
        Activation(kind=ActivationKind.CLIP, low=-0.3),
        Activation(kind=ActivationKind.LEAKY_RELU, alpha=0.1),
        Activation(kind=ActivationKind.SIGMOID),
        Activation(kind=ActivationKind.TANH),
        Activation(kind=ActivationKind.HARD_SIGMOID, alpha=0.3, beta=0.4),
        Activation(kind=ActivationKind.HARD_SWISH),
    ],
    ids=lambda a: f"{a.kind}{a.low}{a.high}",
)
def test_activations(activation: Activation) -> None:
    node = Node(
        name="a", operation=Standalone(), inputs=(whole(0, 3),), channels=3, height=4, width=5, activation=activation
    )
    assert_same(one_node(node, (3, 4, 5)))


@pytest.mark.parametrize("operation", ["add", "sub", "mul"])
def test_element_wise_with_a_broadcast_operand(operation: str) -> None:
    pooled = Pool(method="avg", window=Window(kernel=(4, 5)))
    graph = Graph(
        name="eltwise",
        nodes=(
            image(3, 4, 5),
            Node(name="p", operation=pooled, inputs=(whole(0, 3),), channels=3, height=1, width=1),
            Node(
                name="e",
                operation=Eltwise(operation),
                inputs=(whole(0, 3), whole(1, 3)),
                channels=3,
                height=4,
                width=5,
            ),
        ),
        outputs=(as_output("y", whole(2, 3), 4, 5),),
    )
    assert_same(graph)


@pytest.mark.parametrize(
    ("top", "left", "height", "width"), [(1, 2, 2, 2), (-1, -2, 7, 9), (2, -1, 5, 3), (0, 0, 4, 5)]
)
def test_crops_and_pads(top: int, left: int, height: int, width: int) -> None:
    node = Node(name="c", operation=Crop(top, left), inputs=(whole(0, 3),), channels=3, height=height, width=width)
    assert_same(one_node(node, (3, 4, 5)))


def test_picked_rows_and_columns() -> None:
    pick = Pick((0, 0, -1, 3, 2), (-1, 4, 4, 0))
    node = Node(name="p", operation=pick, inputs=(whole(0, 3),), channels=3, height=5, width=4)
    assert_same(one_node(node, (3, 4, 5)))


def test_operands_of_a_pick_take_turns() -> None:
    views = tuple(View(np.zeros(2, np.int32), np.array(channels, np.int32)) for channels in ([0, 1], [2, 0], [1, 2]))
    pick = Pick((0, 0, -1, 3, 2), (-1, 4, 4, 0))
    node = Node(name="p", operation=pick, inputs=views, channels=2, height=5, width=4)
    assert_same(one_node(node, (3, 4, 5)))


def test_local_response_normalisation() -> None:
    lrn = Lrn(size=3, alpha=0.5, beta=0.75, bias=2.0)
    assert_same(
        one_node(Node(name="l", operation=lrn, inputs=(whole(0, 6),), channels=6, height=2, width=3), (6, 2, 3))
    )


@settings(max_examples=40)
@given(data=st.data())
def test_any_view(data: st.DataObject) -> None:
    """Identity, runs, permutations, repetitions and mixtures of sources, also as an output."""
    channels = (3, 5)
    pairs = [(s, c) for s, n in enumerate(channels) for c in range(n)]
    runs = st.sampled_from(
        [
            pairs,
            pairs[::-1],
            pairs[3:] + pairs[:3],
            pairs[:3],
            pairs[4:7],
            pairs[:2] + pairs[5:],
            pairs[::2] + pairs[1::2],
        ]
    )
    chosen = data.draw(st.one_of(runs, st.lists(st.sampled_from(pairs), min_size=1, max_size=9)))
    view = View(np.array([s for s, _ in chosen], np.int32), np.array([c for _, c in chosen], np.int32))
    node = Node(name="s", operation=Standalone(), inputs=(view,), channels=len(chosen), height=2, width=3)
    graph = Graph(
        name="view",
        nodes=(image(3, 2, 3, "a"), image(5, 2, 3, "b"), node),
        outputs=(as_output("y", whole(2, len(chosen)), 2, 3), as_output("z", view, 2, 3)),
    )
    assert_same(graph)


@pytest.mark.parametrize(("epilogue", "axis"), [(None, -1), ("softmax", -1), ("softmax", 1)])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [("NCHW", (1, 4, 2, 3)), ("NCHW", (1, 24)), ("NHWC", (1, 2, 3, 4)), ("NHWC", (1, 24)), ("NCHW", (1, 2, 2, 6))],
)
def test_output_shapes_layouts_and_epilogues(
    layout: str, shape: tuple[int, ...], epilogue: str | None, axis: int
) -> None:
    output = Output(name="y", view=whole(0, 4), onnx_shape=shape, layout=layout, epilogue=epilogue, epilogue_axis=axis)
    assert_same(Graph(name="layout", nodes=(image(4, 2, 3),), outputs=(output,)))


@pytest.mark.parametrize(
    ("layout", "shape", "size"),
    [("NHWC", (1, 2, 3, 4), (4, 2, 3)), ("NC", (1, 7), (7, 1, 1)), ("NCHW", (1, 4, 2, 3), (4, 2, 3))],
)
def test_input_layouts(layout: str, shape: tuple[int, ...], size: tuple[int, int, int]) -> None:
    channels, height, width = size
    node = Node(name="in", operation=Input(shape, layout), inputs=(), channels=channels, height=height, width=width)
    graph = Graph(name="in", nodes=(node,), outputs=(as_output("y", whole(0, channels), height, width),))
    assert_same(graph, images=3)


def test_the_model_is_valid_named_as_the_network_and_deterministic() -> None:
    node = Node(
        name="y",  # also the output's name: the inner tensor must give way
        operation=Conv(window=Window(kernel=(1, 1)), weights=np.ones((2, 3, 1, 1), np.float32)),
        inputs=(whole(0, 3),),
        channels=2,
        height=4,
        width=5,
    )
    graph = one_node(node, (3, 4, 5))
    data = graph_to_onnx(graph)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [v.name for v in model.graph.input] == ["x"]
    assert [v.name for v in model.graph.output] == ["y"]
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["N", 3, 4, 5]
    assert data == graph_to_onnx(graph)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_node_that_does_not_exist_cannot_be_exposed(index: int) -> None:
    graph = one_node(
        Node(name="s", operation=Standalone(), inputs=(whole(0, 3),), channels=3, height=4, width=5), (3, 4, 5)
    )
    with pytest.raises(InvariantError, match=f"no node {index} to expose"):
        graph_to_onnx(graph, expose=[index])


@pytest.mark.parametrize(("operation", "operands"), [("div", 2), ("sub", 3), ("add", 1)])
def test_unknown_element_wise_operations_are_defects(operation: str, operands: int) -> None:
    node = Node(name="e", operation=Eltwise(operation), inputs=(whole(0, 3),) * operands, channels=3, height=4, width=5)
    with pytest.raises(InvariantError, match="element-wise"):
        graph_to_onnx(one_node(node, (3, 4, 5)))
