"""Layout operators: absorbed by views, and still what ONNX Runtime computes.

Covers: rearrange, tensor, layout_parameters.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.frontend.lower import rearrange
from pimcomp.frontend.lower.tensor import LayoutError, Tensor, of_map
from pimcomp.ir.graph import Conv, Crop, Input, Pick
from tests.frontend.small_onnx import check, kinds, load, make, normals, only, op

X = {"x": [1, 6, 4, 5]}


def elements(tensor: Tensor) -> np.ndarray:
    """The tensor's elements as numbers channel * 100 + row * 10 + column, in its shape."""
    rows, columns = np.arange(tensor.height), np.arange(tensor.width)
    grid = tensor.view.channels[:, None, None] * 100 + rows[:, None] * 10 + columns
    grid = grid.reshape(*tensor.cells.shape, tensor.height, tensor.width)
    dims = {"h": grid.ndim - 2, "w": grid.ndim - 1}
    order, channel = [], 0
    for kind, _ in tensor.factors:
        order.append(channel if kind == "c" else dims[kind])
        channel += kind == "c"
    order += [axis for axis in dims.values() if axis not in order]
    return grid.transpose(order).reshape(tensor.shape)


@settings(max_examples=120)
@given(data=st.data())
def test_rearrangements_are_those_of_numpy(data: st.DataObject) -> None:
    channels, height, width = data.draw(st.tuples(st.sampled_from([1, 4, 6, 8]), st.integers(1, 4), st.integers(1, 4)))
    tensor = of_map(0, channels, height, width)
    expected = elements(tensor)
    assert expected.shape == (1, channels, height, width)
    compared = 0
    for _ in range(4):
        try:
            match data.draw(st.sampled_from(["reshape", "transpose", "take", "squeeze", "unsqueeze", "concat"])):
                case "reshape":
                    sizes = [s for shape in tensor.axes for _, s in shape]
                    split = [
                        p for s in sizes for p in ((2, s // 2) if s % 2 == 0 and data.draw(st.booleans()) else (s,))
                    ]
                    at = data.draw(st.integers(0, len(split)))
                    shape = [*split[:at], int(np.prod(split[at:], dtype=int))]
                    tensor, expected = rearrange.reshape(tensor, shape), expected.reshape(shape)
                case "transpose":
                    perm = data.draw(st.permutations(range(expected.ndim)))
                    tensor, expected = rearrange.transpose(tensor, perm), expected.transpose(perm)
                case "take" if expected.ndim:
                    axis = data.draw(st.integers(0, expected.ndim - 1))
                    indices = np.array(data.draw(st.lists(st.integers(0, expected.shape[axis] - 1), min_size=1)))
                    tensor, expected = rearrange.take_channels(tensor, axis, indices), expected.take(indices, axis)
                case "squeeze":
                    tensor, expected = rearrange.squeeze(tensor, None), expected.squeeze()
                case "unsqueeze":
                    tensor, expected = (
                        rearrange.unsqueeze(tensor, [0, 2][: expected.ndim]),
                        np.expand_dims(expected, tuple([0, 2][: expected.ndim])),
                    )
                case "concat" if expected.ndim:
                    axis = data.draw(st.integers(0, expected.ndim - 1))
                    tensor, expected = rearrange.concat([tensor, tensor], axis), np.concatenate([expected] * 2, axis)
        except LayoutError:
            continue  # refused: nothing to compare
        assert tensor.shape == expected.shape
        assert np.array_equal(elements(tensor), expected)
        compared += 1
    assume(compared)


def test_channel_shuffle_costs_nothing(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x v", "a"),
        op("Reshape", "a split", "b"),
        op("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]),
        op("Reshape", "c join", "d"),
        op("Conv", "d dw", "e", group=6, pads=[1, 1, 1, 1]),
        op("Relu", "e", "f"),
        op("MaxPool", "f", "g", kernel_shape=[2, 2]),
        op("Conv", "g w", "y", group=3),
    ]
    weights = {
        "v": normals(6, 6, 1, 1),
        "split": np.array([1, 3, 2, 4, 5]),
        "join": np.array([0, -1, 4, 5]),
        "dw": normals(6, 1, 3, 3),
        "w": normals(3, 2, 1, 1),
    }
    graph = check(tmp_path, nodes, X, weights)
    assert kinds(graph) == ["Conv", "Conv", "Pool", "Conv"]
    for node in graph.nodes[1:-1]:  # read in the order in which the channels exist
        assert node.inputs[0].channels.tolist() == list(range(6))
    assert sorted(graph.nodes[-1].inputs[0].channels.tolist()) == list(range(6))


def test_concatenations_of_concatenations_and_splits(tmp_path: Path) -> None:
    nodes = [
        op("Split", "x", "a b c", axis=1, split=[1, 2, 3]),
        op("Relu", "b", "r"),
        op("Concat", "c a r", "d", axis=1),
        op("Slice", "d", "e", starts=[1], ends=[-1], axes=[1]),
        op("Concat", "e e", "f", axis=-3),
        op("AveragePool", "f", "y", kernel_shape=[2, 2]),
    ]
    graph = check(tmp_path, nodes, X, opset=9)
    assert kinds(graph) == ["Standalone", "Pool"]


@pytest.mark.parametrize(
    ("opset", "node", "constants"),
    [
        (9, op("Slice", "x", "y", starts=[1, 1], ends=[-1, 100], axes=[2, 3]), {}),
        (13, op("Slice", "x a b c d", "y"), {"a": [4, 0, 5], "b": [-100, 3, 0], "c": [1, 2, 1], "d": [-2, 1, -1]}),
        (13, op("Slice", "x a b c d", "y"), {"a": [0, 1], "b": [4, 5], "c": [2, 3], "d": [2, 3]}),
        (13, op("Slice", "x a b", "y"), {"a": [0, 2], "b": [1, 5]}),
        (13, op("Split", "x a", "y z", axis=2), {"a": [1, 3]}),
        (18, op("Split", "x", "y z", axis=1, num_outputs=2), {}),
        (18, op("Split", "x", "y z", axis=3, num_outputs=2), {}),
        (13, op("Gather", "x a", "y", axis=1), {"a": [5, 0, -2]}),
        (13, op("Gather", "x a", "y", axis=2), {"a": [3, 0, -2, 0, 1]}),
        (13, op("Slice", "x a b c d", "y"), {"a": [4], "b": [-100], "c": [3], "d": [-2]}),
    ],
)
def test_selections(tmp_path: Path, opset: int, node: Any, constants: dict[str, list[int]]) -> None:
    if constants.get("c") == [1, 2, 1]:
        constants = {key: values[:2] for key, values in constants.items()}
    weights = {key: np.array(values) for key, values in constants.items()}
    graph = check(tmp_path, [node], X, weights, outputs=list(node.output), opset=opset)
    assert {type(n.operation) for n in graph.nodes} <= {Input, Crop, Pick}


def test_maps_below_each_other_are_fine_as_an_output(tmp_path: Path) -> None:
    nodes = [op("Relu", "x", "r"), op("Concat", "r x", "c", axis=2), op("Identity", "c", "y")]
    assert kinds(check(tmp_path, nodes, X)) == ["Standalone", "Crop"]


def test_gather_of_one_channel_drops_the_axis(tmp_path: Path) -> None:
    nodes = [op("Gather", "x i", "g", axis=1), op("Unsqueeze", "g", "u", axes=[1]), op("Relu", "u", "y")]
    check(tmp_path, nodes, X, {"i": np.array(2)}, opset=11)


def test_reshape_from_a_computed_shape(tmp_path: Path) -> None:
    nodes = [
        op("Shape", "x", "s"),
        op("Gather", "s zero", "n"),
        op("Unsqueeze", "n", "n1", axes=[0]),
        op("Slice", "s", "hw", starts=[2], ends=[4]),
        op("Constant", "", "g", value_ints=[2, 3]),
        op("Concat", "n1 g hw", "shape", axis=0),
        op("Reshape", "x shape", "a"),
        op("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
        op("Concat", "n1 minus hw", "back", axis=0),
        op("Reshape", "b back", "c"),
        op("Conv", "c w", "y"),
    ]
    weights = {"zero": np.array(0), "minus": np.array([-1]), "w": normals(2, 6, 3, 3)}
    nodes[4] = op("Identity", "two_three", "g")
    graph = check(tmp_path, nodes, {"x": ["batch", 6, 4, 5]}, weights | {"two_three": np.array([2, 3])}, opset=9)
    assert kinds(graph) == ["Conv"]


def test_channels_last_in_and_out(tmp_path: Path) -> None:
    nodes = [
        op("Sub", "x mean", "s"),
        op("Transpose", "s", "t", perm=[0, 3, 1, 2]),
        op("Conv", "t w", "c"),
        op("Transpose", "c", "u", perm=[0, 2, 3, 1]),
        op("Add", "u bias", "v"),
        op("Softmax", "v", "y", axis=-1),
    ]
    weights = {"mean": normals(3), "w": normals(4, 3, 2, 2), "bias": normals(1, 1, 1, 4)}
    graph = check(tmp_path, nodes, {"x": [1, 6, 5, 3]}, weights)
    assert kinds(graph) == ["Conv"]
    assert isinstance(graph.nodes[0].operation, Input)
    assert (graph.nodes[0].operation.layout, graph.outputs[0].layout) == ("NHWC", "NHWC")
    assert (graph.outputs[0].epilogue, graph.outputs[0].epilogue_axis) == ("softmax", 3)


@pytest.mark.parametrize("opset", [7, 11, 13])
def test_softmax_is_left_to_the_host(tmp_path: Path, opset: int) -> None:
    nodes = [
        op("GlobalAveragePool", "x", "g"),
        op("Softmax", "g", "s", axis=1),
        op("Flatten", "s", "f"),
        op("Dropout", "f", "d"),
        op("Identity", "d", "y"),
    ]
    graph = check(tmp_path, nodes, X, opset=opset)
    assert graph.outputs[0].epilogue == "softmax"


def test_a_softmax_in_the_middle_is_computed_once_for_all_its_readers(tmp_path: Path) -> None:
    nodes = [op("Flatten", "x", "f"), op("Softmax", "f", "s"), op("MatMul", "s w", "a"), op("Add", "a s", "y")]
    graph = check(tmp_path, nodes, {"x": [1, 5]}, {"w": normals(5, 5)})
    assert kinds(graph).count("Softmax") == 1


def test_zero_padding_joins_the_window_behind_it(tmp_path: Path) -> None:
    pad = op("Pad", "x", "p", pads=[0, 0, 1, 2, 0, 0, 0, 1])
    conv = op("Conv", "p w", "y", pads=[1, 0, 0, 1])
    graph = check(tmp_path, [pad, conv], X, {"w": normals(2, 6, 3, 3)}, opset=9)
    assert only(graph, Conv).operation.window.pads == (2, 2, 0, 2)  # type: ignore[union-attr]
    assert kinds(graph) == ["Conv"]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([op("AveragePool", "p", "y", kernel_shape=[2, 2])], ["Pool"]),
        ([op("AveragePool", "p", "y", kernel_shape=[3, 3], pads=[1, 1, 0, 0], count_include_pad=1)], ["Pool"]),
        ([op("AveragePool", "p", "y", kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)], ["Crop", "Pool"]),
        ([op("AveragePool", "p", "y", kernel_shape=[2, 2], pads=[1, 1, 0, 0])], ["Crop", "Pool"]),
        ([op("MaxPool", "p", "y", kernel_shape=[2, 2])], ["Crop", "Pool"]),
        ([op("Sigmoid", "p", "y")], ["Crop"]),
    ],
)
def test_padding_stays_where_it_counts_otherwise(tmp_path: Path, nodes: list[Any], expected: list[str]) -> None:
    pads = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 0])}
    graph = check(tmp_path, [op("Pad", "x pads", "p"), *nodes], X, pads)
    assert kinds(graph) == expected


def test_padding_of_non_negative_values_joins_a_maximum(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x w", "c"),
        op("Relu", "c", "r"),
        op("Pad", "r pads", "p"),
        op("MaxPool", "p", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    ]
    weights = {"w": normals(2, 6, 1, 1), "pads": np.array([1, 1, 1, 1]), "axes": np.array([-2, 3])}
    nodes[2] = op("Pad", "r pads _ axes", "p")
    assert kinds(check(tmp_path, nodes, X, weights, opset=18)) == ["Conv", "Pool"]


def test_padding_of_channels(tmp_path: Path) -> None:
    graph = check(tmp_path, [op("Pad", "x", "y", pads=[0, 1, 0, 0, 0, 2, 0, 0])], X, opset=9)
    assert kinds(graph) == ["Conv"]


def test_an_output_that_is_an_input_gets_a_node(tmp_path: Path) -> None:
    graph = check(tmp_path, [op("Flatten", "x", "y"), op("Relu", "x", "z")], X, outputs=["y", "z"])
    assert sorted(kinds(graph)) == ["Crop", "Standalone"]


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    nodes = [op("Conv", "x w", "c"), op("MatMul", "f m", "g"), op("Reshape", "g s", "h"), op("Mul", "c h", "y")]
    weights = {"w": normals(4, 6, 1, 1), "m": normals(7, 4), "s": np.array([1, 4, 1, 1])}
    graph = check(tmp_path, nodes, X | {"f": ["N", 7]}, weights, outputs=["y", "c"])
    assert [output.name for output in graph.outputs] == ["y", "c"]


def test_unused_inputs_and_dead_nodes_are_dropped(tmp_path: Path) -> None:
    nodes = [op("Relu", "x", "y"), op("Elu", "z", "dead")]
    graph = check(tmp_path, nodes, X | {"z": [1, 3]})
    assert kinds(graph) == ["Standalone"]
    assert graph.notes == ("input 'z' dropped: no output depends on it",)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([op("Tile", "x t", "y")], "repeats the batch"),
        ([op("Expand", "x e", "y")], "repeats the batch"),
    ],
)
def test_a_batch_that_grows_is_refused(tmp_path: Path, nodes: list[Any], reason: str) -> None:
    weights = {"t": np.array([2, 1, 1, 1]), "e": np.array([2, 6, 4, 5])}
    with pytest.raises(UnsupportedOp, match=reason):
        load(make(nodes, X, weights), tmp_path)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([op("Reshape", "x s", "y")], "cannot reshape .1, 6, 4, 5. to .1, 7, -1."),
        ([op("Slice", "x a a", "y")], "nothing is left of axis 0"),
        ([op("Concat", "x m", "y", axis=1)], "cannot join"),
        ([op("Squeeze", "x axes", "y")], "their sizes are not 1"),
        ([op("Gather", "x big", "y", axis=1)], "outside the 6 elements"),
        ([op("Flatten", "x", "y", axis=9)], "axis 9"),
        ([op("Pad", "x gone", "y")], "-9 and 0 channels around 6"),
    ],
)
def test_impossible_layouts_name_the_node(tmp_path: Path, nodes: list[Any], message: str) -> None:
    weights = {"s": np.array([1, 7, -1]), "a": np.array([1]), "axes": np.array([1]), "big": np.array([6])}
    weights["gone"] = np.array([0, -9, 0, 0, 0, 0, 0, 0])
    pool = op("GlobalMaxPool", "x", "m")
    with pytest.raises(ModelError, match=f"node '{nodes[0].name}' .*{message}"):
        load(make([pool, *nodes], X, weights), tmp_path)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 3, 0], [0, 0, 0, 1, 0, 0, 0, 1]])
def test_borders_that_repeat_the_map(tmp_path: Path, mode: str, pads: list[int]) -> None:
    nodes = [op("Relu", "x", "r"), op("Pad", "r p", "a", mode=mode), op("Conv", "a w", "y")]
    graph = check(tmp_path, nodes, X, {"p": np.array(pads), "w": normals(3, 6, 2, 2)}, opset=19)
    assert kinds(graph) == ["Standalone", "Pick", "Conv"]


@pytest.mark.parametrize(
    ("node", "constant", "picks"),
    [
        (op("Expand", "p t", "e"), [1, 6, 4, 5], 1),
        (op("Expand", "p t", "e"), [4, 1], 1),
        (op("Tile", "p t", "e"), [1, 2, 3, 5], 1),
        (op("Tile", "x t", "e"), [1, 1, 2, 2], 1),
        (op("Tile", "x t", "e"), [1, 3, 1, 1], 0),
    ],
)
def test_repetitions(tmp_path: Path, node: Any, constant: list[int], picks: int) -> None:
    nodes = [op("GlobalMaxPool", "x", "p"), node, op("Relu", "e", "y")]
    graph = check(tmp_path, nodes, X, {"t": np.array(constant)})
    assert kinds(graph).count("Pick") == picks
