"""Pooling in every form, against ONNX Runtime.

Covers: window_geometry.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.errors import UnsupportedOp
from pimcomp.ir.graph import Pool
from tests.frontend.small_onnx import agree, check, kinds, load, make, only, op


@settings(max_examples=80)
@given(
    operator=st.sampled_from(["MaxPool", "AveragePool"]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    ceil=st.booleans(),
    include=st.booleans(),
    auto_pad=st.sampled_from(["", "", "SAME_UPPER", "SAME_LOWER", "VALID"]),
)
def test_pooling(
    tmp_path: Path,
    operator: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    ceil: bool,
    include: bool,
    auto_pad: str,
) -> None:
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride}
    if auto_pad:
        assume(kernel[0] >= stride[0] and kernel[1] >= stride[1])  # ONNX Runtime pads by negative numbers otherwise
        attributes["auto_pad"] = auto_pad
    else:
        assume(all(p < k for p, k in zip(pads, (*kernel, *kernel), strict=True)))
        attributes |= {"pads": pads, "ceil_mode": int(ceil), "dilations": dilation}
    if operator == "AveragePool":
        attributes["count_include_pad"] = int(include)
    model = make([op(operator, "x", "y", **attributes)], {"x": [1, 2, 9, 8]}, opset=19, ir_version=9)
    try:
        network = load(model, tmp_path)
    except UnsupportedOp as error:
        assume("nothing but padding" not in str(error))
        raise
    agree(network)


def test_a_pooling_that_does_nothing_disappears(tmp_path: Path) -> None:
    nodes = [op("Conv", "x w", "c"), op("AveragePool", "c", "p", kernel_shape=[1, 1]), op("Relu", "p", "y")]
    assert kinds(check(tmp_path, nodes, {"x": [1, 2, 3, 3]}, {"w": np.ones((2, 2, 1, 1), np.float32)})) == ["Conv"]


def test_overhang_never_counts(tmp_path: Path) -> None:
    attributes = {
        "kernel_shape": [3, 3],
        "strides": [2, 2],
        "ceil_mode": 1,
        "count_include_pad": 1,
        "pads": [1, 1, 0, 0],
    }
    graph = check(tmp_path, [op("AveragePool", "x", "y", **attributes)], {"x": [1, 1, 7, 7]}, opset=19, ir_version=9)
    pool = only(graph, Pool).operation
    assert isinstance(pool, Pool)
    assert (pool.window.pads, pool.overhang, pool.count_padding) == ((1, 1, 1, 1), (1, 1), True)


def test_pooling_in_one_dimension(tmp_path: Path) -> None:
    nodes = [op("MaxPool", "x", "m", kernel_shape=[3], strides=[2]), op("GlobalAveragePool", "m", "y")]
    assert kinds(check(tmp_path, nodes, {"x": [1, 3, 11]})) == ["Pool", "Pool"]


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pooling(tmp_path: Path, operator: str) -> None:
    graph = check(tmp_path, [op(operator, "x", "y")], {"x": [1, 3, 5, 4]})
    assert only(graph, Pool).operation.window.kernel == (5, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [2], [3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduction_over_pixels(tmp_path: Path, operator: str, axes: list[int], keepdims: int) -> None:
    shapes = {"x": [1, 3, 5, 4]}
    check(tmp_path, [op(operator, "x", "y", axes=axes, keepdims=keepdims)], shapes, opset=11)
    nodes, weights = [op(operator, "x axes", "y", keepdims=keepdims)], {"axes": np.array(axes)}
    check(tmp_path, nodes, shapes, weights, opset=18)


def test_reduction_of_channels_last(tmp_path: Path) -> None:
    nodes = [op("Transpose", "x", "t", perm=[0, 2, 3, 1]), op("ReduceMean", "t", "y", axes=[1, 2], keepdims=0)]
    assert kinds(check(tmp_path, nodes, {"x": [1, 3, 5, 4]})) == ["Pool"]


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("axes", [[1], [0, 1], [1, 2, 3], [2, 3], [3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_over_channels(tmp_path: Path, operator: str, axes: list[int], keepdims: int) -> None:
    node = op(operator, "x axes", "y", keepdims=keepdims)
    check(tmp_path, [node], {"x": [1, 3, 5, 4]}, {"axes": np.array(axes)}, opset=18)


def test_indices_are_unsupported(tmp_path: Path) -> None:
    nodes = [op("MaxPool", "x", "y i", kernel_shape=[2, 2]), op("Cast", "i", "z", to=1)]
    with pytest.raises(UnsupportedOp, match="Indices"):
        load(make(nodes, {"x": [1, 3, 4, 4]}, outputs=["y", "z"]), tmp_path)
