"""Resizing and rearranging pixels: what ONNX Runtime computes, or a reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pimcomp.errors import ModelError, UnsupportedOp
from tests.frontend.small_onnx import check, kinds, load, make, normals, op

X = {"x": [1, 3, 4, 5]}
NEAREST = [
    {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
    for mode in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
]


@pytest.mark.parametrize("attributes", NEAREST, ids=lambda a: "-".join(a.values()))
@pytest.mark.parametrize("sizes", [[1, 3, 8, 15], [1, 3, 7, 9], [1, 3, 2, 3], [1, 3, 1, 1]])
def test_nearest_to_a_size(tmp_path: Path, attributes: dict[str, str], sizes: list[int]) -> None:
    nodes = [op("Relu", "x", "r"), op("Resize", "r _ _ sizes", "z", **attributes), op("Tanh", "z", "y")]
    assert kinds(check(tmp_path, nodes, X, {"sizes": np.array(sizes)})) == ["Standalone", "Pick"]


@pytest.mark.parametrize("scales", [[1, 1, 2, 2], [1, 1, 1.5, 3], [1, 1, 0.6, 0.5], [1, 1, 1, 4]])
@pytest.mark.parametrize("opset", [10, 11, 13, 19])
def test_nearest_by_a_factor(tmp_path: Path, scales: list[float], opset: int) -> None:
    inputs = "r scales" if opset == 10 else "r roi scales"
    nodes = [op("Relu", "x", "r"), op("Resize", inputs, "z"), op("Tanh", "z", "y")]
    weights = {"scales": np.array(scales, np.float32), "roi": np.zeros(0, np.float32)}
    graph = check(tmp_path, nodes, X, weights, opset=opset)
    assert kinds(graph) == ["Standalone", "Pick"]


def test_upsample_and_resize_of_some_axes(tmp_path: Path) -> None:
    check(tmp_path, [op("Upsample", "x", "y", scales=[1.0, 1.0, 2.0, 3.0])], X, opset=8)
    check(tmp_path, [op("Upsample", "x s", "y")], X, {"s": np.array([1, 1, 2, 3], np.float32)}, opset=9)
    check(tmp_path, [op("Resize", "x _ _ s", "y", axes=[3, 2])], X, {"s": np.array([10, 8])}, opset=18)


@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "asymmetric"])
@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 4), (5, 1)])
def test_linear_by_whole_factors(tmp_path: Path, mode: str, factors: tuple[int, int]) -> None:
    nodes = [op("Relu", "x", "r"), op("Resize", "r _ scales", "y", mode="linear", coordinate_transformation_mode=mode)]
    graph = check(tmp_path, nodes, X, {"scales": np.array([1, 1, *factors], np.float32)})
    assert kinds(graph) == ["Standalone", "Pick", "Conv"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_and_back(tmp_path: Path, mode: str, block: int) -> None:
    channels = 2 * block * block
    nodes = [op("Relu", "x", "r"), op("DepthToSpace", "r", "d", blocksize=block, mode=mode), op("Tanh", "d", "y")]
    check(tmp_path, nodes, {"x": [1, channels, 3, 4]})
    nodes = [op("Relu", "x", "r"), op("SpaceToDepth", "r", "d", blocksize=block), op("Conv", "d w", "y")]
    check(tmp_path, nodes, {"x": [1, 2, 2 * block, 3 * block]}, {"w": normals(3, channels, 1, 1)})


@pytest.mark.parametrize(
    ("attributes", "scales", "reason"),
    [
        ({"mode": "linear", "antialias": 1}, [1, 1, 0.5, 0.5], "antialias"),
        ({}, [1, 2, 2, 2], "at most two axes, none the batch, are resized"),
        ({"coordinate_transformation_mode": "tf_crop_and_resize"}, [1, 1, 2, 2], "tf_crop_and_resize"),
    ],
)
def test_what_cannot_be_resized_says_why(
    tmp_path: Path, attributes: dict[str, Any], scales: list[float], reason: str
) -> None:
    model = make([op("Resize", "x _ s", "y", **attributes)], X, {"s": np.array(scales, np.float32)})
    with pytest.raises(UnsupportedOp, match=reason):
        load(model, tmp_path)


@pytest.mark.parametrize("scales", [[1, 1, 2], [1, 1, np.nan, 2], [1, 1, -1, 2], [1, 1, 1e30, 1], [1, 1, 0.1, 1]])
def test_impossible_factors_name_the_node(tmp_path: Path, scales: list[float]) -> None:
    model = make([op("Resize", "x _ s", "y")], X, {"s": np.array(scales, np.float32)})
    with pytest.raises(ModelError, match="node 'Resize-y'"):
        load(model, tmp_path)
