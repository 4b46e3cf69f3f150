"""Conv, Gemm and MatMul in every form, against ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.ir.graph import Conv
from tests.frontend.small_onnx import check, kinds, load, make, normals, only, op


@settings(max_examples=60)
@given(
    data=st.fixed_dictionaries(
        {
            "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
            "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
            "pads": st.tuples(*[st.integers(0, 2)] * 4),
            "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
            "groups": st.sampled_from([1, 2, 4]),
            "auto_pad": st.sampled_from(["", "SAME_UPPER", "SAME_LOWER", "VALID"]),
            "bias": st.booleans(),
        }
    )
)
def test_conv(tmp_path: Path, data: dict[str, Any]) -> None:
    groups = data["groups"]
    attributes: dict[str, Any] = {"strides": data["stride"], "group": groups}
    if data["auto_pad"]:
        attributes["auto_pad"] = data["auto_pad"]
    else:
        attributes["pads"] = data["pads"]
    if not data["auto_pad"].startswith("SAME"):  # ONNX Runtime refuses dilation there
        attributes["dilations"] = data["dilation"]
    weights = {"w": normals(8, 4 // groups, *data["kernel"])}
    if data["bias"]:
        weights["b"] = normals(8)
    node = op("Conv", "x w b" if data["bias"] else "x w", "y", **attributes)
    graph = check(tmp_path, [node], {"x": [1, 4, 9, 7]}, weights)
    assert kinds(graph) == ["Conv"]


def test_conv_in_one_dimension(tmp_path: Path) -> None:
    node = op("Conv", "x w b", "y", strides=[2], pads=[1, 2], dilations=[2])
    graph = check(tmp_path, [node], {"x": [1, 3, 17]}, {"w": normals(5, 3, 3), "b": normals(5)})
    assert only(graph, Conv).height == 1


def test_flatten_and_gemm_become_a_convolution_over_the_map(tmp_path: Path) -> None:
    nodes = [op("Conv", "x w", "c"), op("Flatten", "c", "f"), op("Gemm", "f g b", "y", transB=1, alpha=0.5, beta=2.0)]
    weights = {"w": normals(4, 3, 3, 3), "g": normals(6, 4 * 5 * 3), "b": normals(6)}
    graph = check(tmp_path, nodes, {"x": [1, 3, 7, 5]}, weights)
    assert graph.nodes[-1].operation.window.kernel == (5, 3)  # type: ignore[union-attr]


def test_flatten_of_channels_last_and_of_a_concatenation(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x v", "a"),
        op("Conv", "x w", "b"),
        op("Concat", "a b", "c", axis=1),
        op("Transpose", "c", "t", perm=[0, 2, 3, 1]),
        op("Reshape", "t shape", "f"),
        op("MatMul", "f m", "p"),
        op("Add", "p bias", "y"),
    ]
    weights = {
        "v": normals(2, 3, 1, 1),
        "w": normals(3, 3, 1, 1),
        "shape": np.array([0, -1]),
        "m": normals(5 * 4 * 3, 7),
        "bias": normals(7),
    }
    graph = check(tmp_path, nodes, {"x": [1, 3, 4, 3]}, weights)
    assert kinds(graph) == ["Conv", "Conv", "Conv"]
    assert only_bias(graph.nodes[-1].operation)


def only_bias(operation: object) -> bool:
    return isinstance(operation, Conv) and operation.bias is not None


@pytest.mark.parametrize(("beta", "bias"), [(1.0, (1, 6)), (0.0, (6,)), (3.0, (1,)), (1.0, ())])
def test_gemm_forms(tmp_path: Path, beta: float, bias: tuple[int, ...]) -> None:
    nodes = [op("Transpose", "x", "t", perm=[1, 0]), op("Gemm", "t w b", "y", transA=1, beta=beta)]
    check(tmp_path, nodes, {"x": [1, 5]}, {"w": normals(5, 6), "b": normals(*bias)})


def test_matmul_over_positions_is_a_pointwise_convolution(tmp_path: Path) -> None:
    nodes = [op("MatMul", "x w", "h"), op("Relu", "h", "r"), op("MatMul", "r v", "y")]
    graph = check(tmp_path, nodes, {"x": [1, 7, 5]}, {"w": normals(5, 6), "v": normals(6, 4)})
    assert kinds(graph) == ["Conv", "Conv"]
    assert graph.outputs[0].layout == "NHWC"


@pytest.mark.parametrize("shape", [(5,), (1, 5, 3), (5, 3)])
def test_matmul_ranks(tmp_path: Path, shape: tuple[int, ...]) -> None:
    check(tmp_path, [op("MatMul", "x w", "y")], {"x": [1, 5]}, {"w": normals(*shape)})


def test_matmul_with_the_weights_on_the_left(tmp_path: Path) -> None:
    nodes = [op("Transpose", "x", "t", perm=[1, 0]), op("MatMul", "w t", "y")]
    check(tmp_path, nodes, {"x": [1, 5]}, {"w": normals(6, 5)})


def test_the_outer_product_of_a_feature_map_with_itself_is_one_of_two_maps(tmp_path: Path) -> None:
    graph = check(tmp_path, [op("Transpose", "x", "t", perm=[1, 0]), op("MatMul", "t x", "y")], {"x": [1, 5]})
    assert kinds(graph)[-1] == "Product"


@pytest.mark.parametrize(
    ("attributes", "weights", "message"),
    [
        ({}, (8, 3, 3, 3), "8, 3, 3, 3.*do not fit 4 input channels"),
        ({}, (8, 4, 9, 3), "a window of 9 does not fit into 6 elements"),
        ({"kernel_shape": [2, 2]}, (8, 4, 3, 3), "kernel_shape"),
        ({"group": 3}, (8, 4, 3, 3), "do not fit"),
        ({}, (0, 4, 3, 3), "weights of shape"),
        ({"strides": [0, 1]}, (8, 4, 3, 3), "must be >= 1"),
    ],
)
def test_contradicting_shapes_name_the_node(
    tmp_path: Path, attributes: dict[str, Any], weights: tuple[int, ...], message: str
) -> None:
    model = make([op("Conv", "x w", "y", **attributes)], {"x": [1, 4, 6, 6]}, {"w": np.zeros(weights, np.float32)})
    with pytest.raises(ModelError, match=f"small.onnx: node 'Conv-y' .*{message}"):
        load(model, tmp_path)


def test_a_product_with_a_scalar_names_the_node(tmp_path: Path) -> None:
    nodes = [op("ReduceMean", "x", "m", keepdims=0), op("MatMul", "m w", "y")]
    with pytest.raises((ModelError, UnsupportedOp), match=r"MatMul-y|ReduceMean-m"):
        load(make(nodes, {"x": [1, 4, 6, 6]}, {"w": np.zeros((8, 5), np.float32)}), tmp_path)


def test_computed_weights_are_unsupported(tmp_path: Path) -> None:
    model = make([op("Relu", "v", "w"), op("Conv", "x w", "y")], {"x": [1, 4, 6, 6], "v": [1, 4, 3, 3]})
    with pytest.raises(UnsupportedOp, match=r"the weight tensor .* is computed by the network"):
        load(model, tmp_path)
