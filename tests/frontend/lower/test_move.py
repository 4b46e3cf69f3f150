"""Rearrangements that move data: any chain of them between two layers computes what ONNX Runtime computes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pimcomp.errors import UnsupportedOp
from tests.frontend.small_onnx import check, kinds, load, make, normals, op

X = {"x": (1, 3, 6, 4)}
CONV = op("Conv", "x w b", "c", pads=[1, 1, 1, 1])
WEIGHTS = {"w": normals(4, 3, 3, 3), "b": normals(4), "v": normals(2, 4, 3, 3)}
Network = tuple[list[onnx.NodeProto], dict[str, Any]]


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        pytest.param([op("Reshape", "c s", "r"), op("Transpose", "r", "t", perm=[0, 1, 4, 2, 5, 3]),
                      op("Reshape", "t z", "y")], {"s": ints(1, 1, 2, 2, 6, 4), "z": ints(1, 1, 12, 8)},
                     id="channels to pixels"),
        pytest.param([op("Reshape", "c s", "r"), op("Transpose", "r", "t", perm=[0, 1, 3, 5, 2, 4]),
                      op("Reshape", "t z", "p"), op("Conv", "p k", "y")],
                     {"s": ints(1, 4, 3, 2, 2, 2), "z": ints(1, 16, 3, 2), "k": normals(3, 16, 2, 2)},
                     id="pixels to channels"),
        pytest.param([op("Slice", "c i j k", "r"), op("Slice", "c h i k", "s"), op("Concat", "r s", "t", axis=2),
                      op("Conv", "t v", "y")], {"h": ints(0), "i": ints(2), "j": ints(9), "k": ints(2)}, id="roll"),
        pytest.param([op("Concat", "c a", "t", axis=1), op("Conv", "t k", "y")],
                     {"a": normals(1, 2, 6, 4), "k": normals(2, 6, 3, 3)}, id="coordinates beside channels"),
        pytest.param([op("Add", "c a", "s"), op("Mul", "s m", "p"), op("Conv", "p v", "y")],
                     {"a": normals(1, 4, 6, 4), "m": normals(1, 1, 6, 1)}, id="constants per pixel"),
        pytest.param([op("ReduceMean", "c", "m", axes=[2, 3], keepdims=1), op("Squeeze", "m k", "q"),
                      op("Transpose", "q", "t", perm=[0, 2, 1]), op("Conv", "t e", "d", pads=[1, 1]),
                      op("Transpose", "d", "u", perm=[0, 2, 1]), op("Unsqueeze", "u k", "g"), op("Sigmoid", "g", "h"),
                      op("Mul", "c h", "y")], {"k": ints(3), "e": normals(1, 1, 3)}, id="convolution over channels"),
        pytest.param([op("Reshape", "c s", "r"), op("MatMul", "a r", "y")],
                     {"s": ints(1, 4, 24), "a": normals(3, 4)}, id="constants times rows of channels"),
        pytest.param([op("Flatten", "c", "f"), op("BatchNormalization", "f g h i j", "y")],
                     {"g": normals(96), "h": normals(96), "i": normals(96), "j": np.abs(normals(96)) + 1},
                     id="normalisation behind Flatten"),
        pytest.param([op("Reshape", "c s", "r"), op("Expand", "r t", "e"), op("Reshape", "e z", "y")],
                     {"s": ints(1, 4, 6, 1, 4, 1), "t": ints(1, 4, 6, 2, 4, 2), "z": ints(1, 4, 12, 8)},
                     id="Expand"),
        pytest.param([op("Pad", "c p m", "q"), op("MaxPool", "q", "y", kernel_shape=[3, 3], strides=[2, 2])],
                     {"p": ints(0, 0, 1, 1, 0, 0, 1, 0), "m": np.float32(-np.inf)}, id="minus infinity around"),
        pytest.param([op("Pad", "c p m", "y")], {"p": ints(0, 1, 1, 0, 0, 0, -1, 2), "m": np.float32(1.5)},
                     id="a number around"),
        pytest.param([op("Max", "c a", "m"), op("Min", "m e", "y")],
                     {"a": normals(1, 4, 1, 1), "e": normals(6, 1)}, id="bounds per channel and per row"),
        pytest.param([op("Reshape", "c s", "r"), op("Gemm", "r g d", "y", alpha=0.5, beta=2.0)],
                     {"s": ints(4, 24), "g": normals(24, 3), "d": normals(4, 3)}, id="Gemm with a bias per row"),
        pytest.param([op("Gather", "c i", "y", axis=1)], {"i": ints(3, 0, 1, 2).reshape(2, 2)}, id="table of indices"),
        pytest.param([op("LogSoftmax", "c", "y", axis=1)], {}, id="the logarithm of a softmax"),
        pytest.param([op("Gelu", "c", "g", approximate="tanh"), op("Swish", "g", "y", alpha=1.5)], {}, id="gates"),
    ],
)  # fmt: skip
def test_what_outsiders_write(tmp_path: Path, nodes: list[onnx.NodeProto], weights: dict[str, Any]) -> None:
    newest = any(node.op_type in ("Gelu", "Swish") for node in nodes)
    check(tmp_path, [CONV, *nodes], X, WEIGHTS | weights, opset=24 if newest else 13, ir_version=10)


@pytest.mark.parametrize("operator", ["Mean", "Sum", "Max", "Min", "L1", "SumSquare"])
@pytest.mark.parametrize("axes", [[1], [2], [1, 3], [1, 2, 3], [4], [2, 4]])
def test_reductions_over_any_axes(tmp_path: Path, operator: str, axes: list[int]) -> None:
    nodes = [CONV, op("Reshape", "c s", "r"), op(f"Reduce{operator}", "r axes", "y", keepdims=len(axes) % 2)]
    check(tmp_path, nodes, X, WEIGHTS | {"s": ints(1, 2, 2, 6, 4), "axes": ints(*axes)}, opset=18)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("places", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(9, 4), (3, 2), (1, 8), (12, 3)])
def test_resizing_by_any_factor(tmp_path: Path, mode: str, places: str, size: tuple[int, int]) -> None:
    resize = op("Resize", "c _ _ s", "y", mode=mode, coordinate_transformation_mode=places)
    check(tmp_path, [CONV, resize], X, WEIGHTS | {"s": ints(1, 4, *size)})


def test_a_map_of_one_pixel_is_spread(tmp_path: Path) -> None:
    nodes = [op("GlobalAveragePool", "x", "g"), op("Resize", "g _ _ s", "y", mode="linear",
             coordinate_transformation_mode="align_corners")]  # fmt: skip
    check(tmp_path, nodes, X, {"s": ints(1, 3, 5, 6)})


def chain(rng: np.random.Generator) -> Network:
    """Random rearrangements of the map c [1, 4, 6, 4], and a layer that reads the result."""
    shape: tuple[int, ...] = (4, 6, 4)
    name, nodes, weights = "c", [], dict[str, Any](WEIGHTS)
    for step in range(int(rng.integers(1, 4))):
        out, kind = f"s{step}", rng.integers(4)
        if kind == 0:
            perm = rng.permutation(len(shape)).tolist()
            nodes.append(op("Transpose", name, out, perm=[0, *(p + 1 for p in perm)]))
            shape = tuple(shape[p] for p in perm)
        elif kind == 1:
            shape = _regrouped(rng, math.prod(shape))
            weights[f"{out}s"] = ints(1, *shape)
            nodes.append(op("Reshape", f"{name} {out}s", out))
        elif kind == 2:
            axis = int(rng.integers(len(shape)))
            nodes.append(op("Concat", f"{name} {name}", out, axis=axis + 1))
            shape = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        else:
            axis = int(rng.integers(len(shape)))
            weights[f"{out}i"] = rng.permutation(shape[axis])
            nodes.append(op("Gather", f"{name} {out}i", out, axis=axis + 1))
        name = out
    shape = _regrouped(rng, math.prod(shape))[:2] if rng.integers(2) else shape
    weights |= {"final": ints(1, shape[0], -1, 2), "k": normals(2, shape[0], 1, 2)}
    return [*nodes, op("Reshape", f"{name} final", "m"), op("Conv", "m k", "y")], weights


def _regrouped(rng: np.random.Generator, size: int) -> tuple[int, ...]:
    sizes = [1, 1, 1]
    while size > 1:
        prime = next(p for p in range(2, size + 1) if size % p == 0)
        sizes[rng.integers(3)] *= prime
        size //= prime
    return tuple(sizes)


@pytest.mark.parametrize("seed", range(16))
def test_any_chain_of_rearrangements(tmp_path: Path, seed: int) -> None:
    nodes, weights = chain(np.random.default_rng(seed))
    check(tmp_path, [CONV, *nodes], X, weights)


def test_what_lies_along_one_row_becomes_channels_in_one_step(tmp_path: Path) -> None:
    """Efficient channel attention as PyTorch writes it with a dynamic batch: its factors are expanded to the map."""
    nodes = [CONV, op("ReduceMean", "c", "m", axes=[2, 3]), op("Reshape", "m line", "r"), op("Conv", "r k", "a",
             pads=[1, 1]), op("Sigmoid", "a", "s"), op("Reshape", "s back", "f"), op("Expand", "f all", "e"),
             op("Mul", "c e", "y")]  # fmt: skip
    sizes = {"line": ints(1, 1, 4), "back": ints(1, 4, 1, 1), "all": ints(1, 4, 6, 4)}
    graph = check(tmp_path, nodes, X, WEIGHTS | {"k": normals(1, 1, 3), **sizes})
    assert kinds(graph).count("Turn") == 2
    assert kinds(graph).count("Pick") <= 1


def test_moving_too_much_is_refused_in_numbers(tmp_path: Path) -> None:
    nodes = [op("Conv", "x v", "c"), op("Transpose", "c", "t", perm=[0, 3, 2, 1]), op("Conv", "t w", "y")]
    model = make(nodes, {"x": (1, 3, 1, 1021)}, {"v": normals(2048, 3, 1, 1), "w": normals(1, 1021, 1, 1)})
    with pytest.raises(UnsupportedOp, match="moving the data would take"):
        load(model, tmp_path)
