"""Transposed convolutions compute what ONNX Runtime computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import ModelError
from tests.frontend.small_onnx import check, kinds, load, make, normals, op

X = {"x": [1, 4, 4, 5]}


@pytest.mark.parametrize(
    ("attributes", "weights"),
    [
        ({"strides": [2, 2]}, (4, 3, 2, 2)),
        ({"strides": [2, 3], "pads": [1, 1, 0, 1], "output_padding": [1, 0]}, (4, 3, 4, 3)),
        ({"strides": [3, 3], "output_padding": [2, 1]}, (4, 3, 2, 1)),
        ({"strides": [2, 2], "group": 2}, (4, 3, 3, 3)),
        ({"strides": [2, 2], "group": 4, "dilations": [2, 1]}, (4, 1, 3, 3)),
        ({"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (4, 3, 3, 3)),
        ({"strides": [2, 2], "auto_pad": "SAME_LOWER"}, (4, 3, 4, 4)),
        ({"strides": [2, 2], "auto_pad": "VALID"}, (4, 3, 3, 3)),
        ({"strides": [2, 2], "output_shape": [8, 10]}, (4, 3, 3, 3)),
        ({"strides": [2, 1], "pads": [2, 2, 2, 2]}, (4, 3, 2, 2)),
        ({}, (4, 3, 3, 3)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_forms(tmp_path: Path, attributes: dict[str, Any], weights: tuple[int, ...], bias: bool) -> None:
    outs = weights[1] * attributes.get("group", 1)
    constants = {"w": normals(*weights)} | ({"b": normals(outs)} if bias else {})
    node = op("ConvTranspose", "r w b" if bias else "r w", "c", **attributes)
    graph = check(tmp_path, [op("Relu", "x", "r"), node, op("Relu", "c", "y")], X, constants)
    assert kinds(graph) in (["Standalone", "Pick", "Conv"], ["Standalone", "Conv"])


@settings(max_examples=60)
@given(data=st.data())
def test_any_geometry(tmp_path: Path, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, strides, dilations = (data.draw(pair) for _ in range(3))
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in strides)
    pads = [data.draw(st.integers(0, (k - 1) * d)) for k, d in zip(kernel * 2, dilations * 2, strict=True)]
    sizes = (data.draw(st.integers(2, 5)), data.draw(st.integers(2, 5)))
    node = op("ConvTranspose", "x w", "y", strides=strides, dilations=dilations, output_padding=extra, pads=pads)
    constants = {"w": normals(2, 3, *kernel)}
    try:
        check(tmp_path, [node], {"x": [1, 2, *sizes]}, constants)
    except ModelError as error:
        assert "nothing" in str(error) or "expected at least 1" in str(error)  # noqa: PT017  most geometries are fine


def test_more_rows_than_the_kernel_reaches_hold_the_bias(tmp_path: Path) -> None:
    node = op("ConvTranspose", "x w b", "y", strides=[2, 2], output_shape=[10, 10])
    check(tmp_path, [node], X, {"w": normals(4, 3, 3, 3), "b": normals(3)})


def test_one_dimension(tmp_path: Path) -> None:
    node = op("ConvTranspose", "x w", "y", strides=[2], pads=[1, 0], output_padding=[1])
    check(tmp_path, [node], {"x": [1, 4, 6]}, {"w": normals(4, 3, 3)})


@pytest.mark.parametrize(
    ("attributes", "weights", "message"),
    [
        ({}, (3, 3, 2, 2), "for an input of .1, 4, 4, 5."),
        ({"group": 3}, (4, 3, 2, 2), "3 group"),
        ({"strides": [2]}, (4, 3, 2, 2), "strides .2.: expected 2"),
        ({"pads": [9, 9, 9, 9]}, (4, 3, 2, 2), "nothing"),
        ({"strides": [1 << 40, 1]}, (4, 3, 2, 2), "strides"),
    ],
)
def test_contradictions_name_the_node(
    tmp_path: Path, attributes: dict[str, Any], weights: tuple[int, ...], message: str
) -> None:
    model = make([op("ConvTranspose", "x w", "y", **attributes)], X, {"w": np.ones(weights, np.float32)})
    with pytest.raises(ModelError, match=f"node 'ConvTranspose-y' .*{message}"):
        load(model, tmp_path)
