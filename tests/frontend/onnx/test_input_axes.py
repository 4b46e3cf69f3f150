"""Inputs in any order of axes: what the first reader needs is what the input's axes are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pimcomp.ir.graph import Input
from tests.frontend.small_onnx import check, kinds, normals, op

W2, W1 = normals(4, 3, 3, 3), normals(4, 3, 3)


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("shape", "nodes", "weights", "layout"),
    [
        pytest.param((8, 8), [op("Unsqueeze", "x s", "a"), op("Conv", "a w", "y")],
                     {"s": ints(0, 1), "w": normals(2, 1, 3, 3)}, "NCHW", id="rows, columns"),
        pytest.param((8, 6, 3), [op("Transpose", "x", "a", perm=[2, 0, 1]), op("Unsqueeze", "a s", "b"),
                     op("Conv", "b w", "y")], {"s": ints(0), "w": W2}, "NHWC", id="rows, columns, channels"),
        pytest.param(("N", 9, 3), [op("Transpose", "x", "a", perm=[0, 2, 1]), op("Conv", "a w", "y")],
                     {"w": W1}, "NHWC", id="steps, features"),
        pytest.param(("N", 9, 3), [op("Unsqueeze", "x s", "a"), op("Transpose", "a", "b", perm=[0, 3, 1, 2]),
                     op("Conv", "b w", "y")], {"s": ints(1), "w": normals(4, 3, 1, 3)}, "NHWC", id="Keras in one row"),
        pytest.param(("N", 64), [op("Unsqueeze", "x s", "a"), op("Conv", "a w", "y")],
                     {"s": ints(1), "w": normals(4, 1, 5)}, "NCHW", id="samples"),
        pytest.param(("N", 48), [op("Reshape", "x s", "a"), op("Conv", "a w", "y")],
                     {"s": ints(-1, 3, 4, 4), "w": W2}, "NCHW", id="a flat image"),
        pytest.param((1, 6, 5, 3), [op("Gather", "x i", "a", axis=3), op("Transpose", "a", "b", perm=[0, 3, 1, 2]),
                     op("Conv", "b w", "y")], {"i": ints(2, 1, 0), "w": W2}, "NHWC", id="colours backwards"),
        pytest.param((1, 6, 5, 3), [op("Slice", "x f t a", "s"), op("Transpose", "s", "b", perm=[0, 3, 1, 2]),
                     op("Conv", "b w", "y")], {"f": ints(1), "t": ints(5), "a": ints(1), "w": W2}, "NHWC", id="cut"),
        pytest.param((1, 6, 5, 3), [op("MatMul", "x w", "y")], {"w": normals(3, 5)}, "NHWC", id="Dense on NHWC"),
        pytest.param((6, 8), [op("MatMul", "w x", "y")], {"w": normals(5, 6)}, "NCHW", id="constants on the left"),
        pytest.param((), [op("Conv", "z w", "c"), op("Mul", "c x", "y")], {"w": W2}, "NC", id="a number"),
    ],
)  # fmt: skip
def test_orders_that_exporters_write(tmp_path: Path, shape: Any, nodes: Any, weights: Any, layout: str) -> None:
    inputs = {"x": shape, "z": (1, 3, 5, 5)} if shape == () else {"x": shape}
    graph = check(tmp_path, nodes, inputs, weights)
    operation = next(node.operation for node in graph.nodes if node.name == "x")
    assert isinstance(operation, Input)
    assert operation.layout == layout
    assert shape == () or set(kinds(graph)) == {"Conv"} or kinds(graph) == ["Crop", "Conv"]


@pytest.mark.parametrize("seed", range(12))
def test_any_order_and_grouping_of_axes(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = [["h", "w", "c"], ["c", "h", "w"]][seed % 2]
    sizes = {"c": 3, "h": int(rng.integers(3, 7)), "w": int(rng.integers(3, 7))}
    cut = int(rng.integers(0, 3))  # the first axes are one in the file
    shape = [sizes[kind] for kind in kept]
    shape = [int(np.prod(shape[: cut + 1])), *shape[cut + 1 :]]
    scale = rng.uniform(0.5, 2, (1,)).astype(np.float32)
    nodes = [
        op("Mul", "x scale", "m"),
        op("Reshape", "m s", "r"),
        op("Transpose", "r", "t", perm=[0, *(1 + kept.index(kind) for kind in "chw")]),
        op("Conv", "t w", "y"),
    ]
    weights: dict[str, Any] = {"scale": scale, "s": ints(-1, *(sizes[kind] for kind in kept)), "w": W2}
    graph = check(tmp_path, nodes, {"x": ("N", *shape)}, weights)
    assert "Pick" not in kinds(graph)


def test_an_element_taken_twice_tells_no_order(tmp_path: Path) -> None:
    nodes = [op("Gather", "x i", "a", axis=1), op("Conv", "a w", "y")]
    check(tmp_path, nodes, {"x": (1, 3, 5, 6)}, {"i": ints(1, 1, 1), "w": W2})
