"""graph_to_onnx against a naive evaluation of the graph in numpy, node by node."""

import itertools

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import InvariantError
from pimcomp.frontend.onnx_export import graph_to_onnx
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
    Pool,
    Standalone,
    View,
    Window,
)
from pimcomp.reference import intermediate_maps, run_reference

Array = npt.NDArray[np.float32]


def whole(source: int, channels: int) -> View:
    """All channels of one node."""
    return View(np.full(channels, source, np.int32), np.arange(channels, dtype=np.int32))


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


def patches(x: Array, node: Node, window: Window) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Every output position's window [images, C, H, W, kh, kw] and which of its positions lie inside the input."""
    top, left = window.pads[0], window.pads[1]
    values = np.zeros((*x.shape[:2], node.height, node.width, *window.kernel), np.float32)
    inside = np.zeros((node.height, node.width, *window.kernel), bool)
    for y, c, ky, kx in itertools.product(*map(range, (node.height, node.width, *window.kernel))):
        iy = y * window.stride[0] + ky * window.dilation[0] - top
        ix = c * window.stride[1] + kx * window.dilation[1] - left
        if 0 <= iy < x.shape[2] and 0 <= ix < x.shape[3]:
            values[:, :, y, c, ky, kx] = x[:, :, iy, ix]
            inside[y, c, ky, kx] = True
    return values, inside


def countable(node: Node, pool: Pool, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Window positions that count in an average with count_padding: inside the input or its pads, not the overhang."""
    window = pool.window
    counts = np.zeros((node.height, node.width, *window.kernel), bool)
    for y, c, ky, kx in itertools.product(*map(range, counts.shape)):
        iy = y * window.stride[0] + ky * window.dilation[0]
        ix = c * window.stride[1] + kx * window.dilation[1]
        rows = window.pads[0] + size[0] + window.pads[2] - pool.overhang[0]
        cols = window.pads[1] + size[1] + window.pads[3] - pool.overhang[1]
        counts[y, c, ky, kx] = iy < rows and ix < cols
    return counts


def activate(x: Array, a: Activation | None) -> Array:
    """Numpy definition of every activation."""
    match a.kind if a else None:
        case None:
            return x
        case ActivationKind.RELU:
            return np.maximum(x, 0)
        case ActivationKind.CLIP:
            return np.clip(x, a.low, a.high)
        case ActivationKind.LEAKY_RELU:
            return np.where(x > 0, x, a.alpha * x)
        case ActivationKind.SIGMOID:
            return 1 / (1 + np.exp(-x))
        case ActivationKind.TANH:
            return np.tanh(x)
        case ActivationKind.HARD_SIGMOID:
            return np.clip(a.alpha * x + a.beta, 0, 1)
        case ActivationKind.HARD_SWISH:
            return x * np.clip(x / 6 + 0.5, 0, 1)


def evaluate(graph: Graph, inputs: dict[str, Array]) -> list[Array]:
    """Every node's map, straight from the definitions in ir/graph.py."""
    maps: list[Array] = []
    for node in graph.nodes:
        seen = [np.stack([maps[s][:, c] for s, c in zip(v.sources, v.channels, strict=True)], 1) for v in node.inputs]
        match node.operation:
            case Input(layout="NHWC"):
                result = inputs[node.name].transpose(0, 3, 1, 2)
            case Input():
                result = inputs[node.name].reshape(-1, node.channels, node.height, node.width)
            case Conv() as conv:
                values, _ = patches(seen[0], node, conv.window)
                grouped = values.reshape(len(values), conv.groups, -1, *values.shape[2:])
                weights = conv.weights.reshape(conv.groups, -1, *conv.weights.shape[1:])
                result = np.einsum("ngcyxhw,gochw->ngoyx", grouped, weights).reshape(
                    len(values), -1, node.height, node.width
                )
                result = result if conv.bias is None else result + conv.bias[:, None, None]
            case Pool(method="max") as pool:
                values, inside = patches(seen[0], node, pool.window)
                result = np.where(inside, values, -np.inf).max(axis=(-2, -1))
            case Pool() as pool:
                values, inside = patches(seen[0], node, pool.window)
                counted = countable(node, pool, seen[0].shape[2:]) if pool.count_padding else inside
                result = values.sum(axis=(-2, -1)) / counted.sum(axis=(-2, -1))
            case Eltwise(operation=operation):
                function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[operation]
                result = seen[0]
                for other in seen[1:]:
                    result = function(result, other)
            case Lrn() as lrn:
                squares = np.pad(seen[0] ** 2, ((0, 0), (lrn.size // 2, lrn.size // 2), (0, 0), (0, 0)))
                sums = sum(squares[:, i : i + node.channels] for i in range(lrn.size))
                result = seen[0] / (lrn.bias + lrn.alpha / lrn.size * sums) ** lrn.beta
            case Crop(top=top, left=left):
                far = 20
                padded = np.pad(seen[0], ((0, 0), (0, 0), (far, far), (far, far)))
                result = padded[:, :, far + top :, far + left :][:, :, : node.height, : node.width]
            case Standalone():
                result = seen[0]
        maps.append(activate(result, node.activation))
    return maps


def assert_same(graph: Graph, images: int = 2, seed: int = 0) -> None:
    """Every node's map and every output by ONNX Runtime equal the naive evaluation."""
    rng = np.random.default_rng(seed)
    inputs = {
        n.name: rng.normal(size=(images, *n.operation.onnx_shape[1:])).astype(np.float32)
        for n in graph.nodes
        if isinstance(n.operation, Input)
    }
    expected = evaluate(graph, inputs)
    for index, found in intermediate_maps(graph, inputs).items():
        np.testing.assert_allclose(found, expected[index], rtol=1e-4, atol=1e-5)
    for output in graph.outputs:
        view = output.view
        values = np.stack([expected[s][:, c] for s, c in zip(view.sources, view.channels, strict=True)], 1)
        values = values.transpose(0, 2, 3, 1) if output.layout == "NHWC" else values
        values = values.reshape(images, *output.onnx_shape[1:])
        if output.epilogue == "softmax":
            e = np.exp(values - values.max(axis=output.epilogue_axis, keepdims=True))
            values = e / e.sum(axis=output.epilogue_axis, keepdims=True)
        found = run_reference(graph_to_onnx(graph), inputs)[output.name]
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


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


@settings(max_examples=30, deadline=None, derandomize=True)
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


@settings(max_examples=60, deadline=None, derandomize=True)
@given(window=WINDOWS, method=st.sampled_from(["max", "avg"]), count=st.booleans(), data=st.data())
def test_pooling_with_any_pads_and_divisors(window: Window, method: str, count: bool, data: st.DataObject) -> None:
    height, width = windowed(window, (6, 5))
    overhang = (data.draw(st.integers(0, window.pads[2])), data.draw(st.integers(0, window.pads[3])))
    pool = Pool(method=method, window=window, count_padding=count, overhang=overhang)
    node = Node(name="p", operation=pool, inputs=(whole(0, 3),), channels=3, height=height, width=width)
    _, inside = patches(np.zeros((1, 3, 6, 5), np.float32), node, window)
    if not inside.any(axis=(-2, -1)).all():
        return  # a window of nothing but padding has no maximum and no average
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


def test_local_response_normalisation() -> None:
    lrn = Lrn(size=3, alpha=0.5, beta=0.75, bias=2.0)
    assert_same(
        one_node(Node(name="l", operation=lrn, inputs=(whole(0, 6),), channels=6, height=2, width=3), (6, 2, 3))
    )


@settings(max_examples=40, deadline=None, derandomize=True)
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
