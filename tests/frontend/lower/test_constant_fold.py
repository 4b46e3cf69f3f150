"""Constants are folded into what ONNX's reference or ONNX Runtime computes, and never into one without end."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pimcomp.errors import ModelError
from pimcomp.frontend.lower.constant_fold import FOLD_LIMIT_BYTES, fold, is_floating, tensor_values
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, Unsupported
from tests.frontend.lower.nodes import integers, onnx_node
from tests.frontend.small_onnx import agree, check, load, make, normals, op

RNG = np.random.default_rng(3)
REALS = RNG.uniform(0.5, 2.0, (2, 3, 4)).astype(np.float32)
ROW = RNG.uniform(0.5, 2.0, (4,)).astype(np.float32)
NUMBERS = np.array([[7, -7, 9], [-4, 5, 6]], np.int64)


def reference(op: str, operands: tuple[Constant, ...], outputs: int, attributes: dict[str, Any]) -> Any:
    """What ONNX's reference implementation gives."""
    names = [f"x{k}" for k in range(len(operands))]
    node = helper.make_node(op, names, [f"y{k}" for k in range(outputs)], **attributes)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, operands, strict=True)
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, results), opset_imports=[helper.make_opsetid("", 19)]
    )
    return ReferenceEvaluator(model).run(None, dict(zip(names, operands, strict=True)))


CASES: list[tuple[str, tuple[Constant, ...], int, dict[str, Any]]] = [
    ("Identity", (REALS,), 1, {}),
    ("Cast", (REALS,), 1, {"to": TensorProto.INT64}),
    ("Shape", (REALS,), 1, {"start": 1}),
    ("Reshape", (REALS, integers(0, -1)), 1, {}),
    ("Flatten", (REALS,), 1, {"axis": 2}),
    ("Transpose", (REALS,), 1, {"perm": [2, 0, 1]}),
    ("Squeeze", (REALS[:1], integers(0)), 1, {}),
    ("Unsqueeze", (ROW, integers(0, 2)), 1, {}),
    ("Concat", (REALS, REALS), 1, {"axis": -1}),
    ("Slice", (REALS, integers(1), integers(4), integers(2), integers(2)), 1, {}),
    ("Gather", (REALS, integers(2, 0)), 1, {"axis": 1}),
    ("Split", (REALS, integers(1, 3)), 2, {"axis": 2}),
    ("Expand", (ROW, integers(2, 3, 1)), 1, {}),
    ("Tile", (ROW, integers(3)), 1, {}),
    ("Range", (np.array(2), np.array(9), np.array(3)), 1, {}),
    ("ReduceProd", (REALS, integers(1)), 1, {"keepdims": 0}),
    ("Add", (REALS, ROW), 1, {}),
    ("Sum", (REALS, ROW, REALS), 1, {}),
    ("Sub", (REALS, ROW), 1, {}),
    ("Mul", (REALS, ROW), 1, {}),
    ("Div", (REALS, ROW), 1, {}),
    ("Div", (NUMBERS, integers(2, 2, -4)), 1, {}),
    ("Pow", (REALS, ROW), 1, {}),
    ("Min", (REALS, ROW), 1, {}),
    ("Max", (REALS, ROW), 1, {}),
    ("Sqrt", (REALS,), 1, {}),
    ("Neg", (REALS,), 1, {}),
    ("Abs", (NUMBERS,), 1, {}),
    ("Exp", (REALS,), 1, {}),
    ("Reciprocal", (REALS,), 1, {}),
    ("Floor", (REALS,), 1, {}),
    ("Ceil", (REALS,), 1, {}),
    ("Equal", (NUMBERS, integers(7, 5, 6)), 1, {}),
    ("Where", (NUMBERS > 0, NUMBERS, integers(1, 2, 3)), 1, {}),
    ("DequantizeLinear", (NUMBERS.astype(np.int8), np.array([0.5, 2.0, 1.0], np.float32)), 1, {"axis": 1}),
    ("ConstantOfShape", (integers(2, 2),), 1, {"value": numpy_helper.from_array(np.array([3], np.int64))}),
]


@pytest.mark.parametrize(("op", "operands", "outputs", "attributes"), CASES, ids=[c[0] for c in CASES])
def test_a_constant_is_what_onnx_says(
    op: str, operands: tuple[Constant, ...], outputs: int, attributes: dict[str, Any]
) -> None:
    found: Any = fold(onnx_node(op, *operands, outputs=outputs, **attributes))
    expected = reference(op, operands, outputs, attributes)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.shape, mine.dtype) == (np.shape(theirs), theirs.dtype)
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"value": numpy_helper.from_array(ROW)}, ROW),
        ({"value_float": 2.5}, np.float32(2.5)),
        ({"value_floats": [1.0, 2.0]}, np.array([1, 2], np.float32)),
        ({"value_int": 3}, np.int64(3)),
        ({"value_ints": [3, 4]}, integers(3, 4)),
    ],
)
def test_a_constant_may_be_given_in_many_ways(attributes: dict[str, Any], expected: Constant) -> None:
    (found,) = fold(onnx_node("Constant", **attributes))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        ("ConstantOfShape", (integers(1 << 20, 1 << 12),), {}),
        ("Expand", (ROW, integers(1 << 30, 4)), {}),
        ("Tile", (ROW, integers(1 << 28)), {}),
        ("Range", (np.array(0), np.array(1 << 40), np.array(1)), {}),
        ("Gather", (np.zeros((1, 1 << 20), np.float32), np.zeros(1 << 10, np.int64)), {}),
        ("Add", (np.zeros((1, 1 << 15), np.float32), np.zeros((1 << 15, 1), np.float32)), {}),
        ("Constant", (), {"value_string": "text"}),
        ("AffineGrid", (np.ones((1, 2, 3), np.float32), integers(1, 1, 1 << 15, 1 << 15)), {}),
        ("MatMul", (np.broadcast_to(np.float32(1), (1 << 13, 1 << 13)),) * 2, {}),
        ("RandomNormalLike", (REALS,), {}),
        ("Scatter", (REALS, NUMBERS, REALS), {}),
    ],
)
def test_what_is_too_large_or_unknown_is_not_folded(
    op: str, operands: tuple[Constant, ...], attributes: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported):
        fold(onnx_node(op, *operands, **attributes))
    assert FOLD_LIMIT_BYTES < 1 << 32


def test_what_is_slow_in_python_is_computed_by_onnx_runtime() -> None:
    ones, line = np.ones((1, 16, 64, 65), np.float32), normals(80_000)
    resized: Any = fold(onnx_node("Resize", ones, None, None, integers(1, 16, 90, 99), mode="cubic"))[0]
    np.testing.assert_allclose(resized, np.ones((1, 16, 90, 99)), rtol=1e-5)
    (sums,) = fold(onnx_node("Conv", ones, np.ones((1, 16, 3, 3), np.float32)))
    np.testing.assert_array_equal(sums, np.full((1, 1, 62, 63), 16 * 9))
    largest, _ = fold(onnx_node("TopK", line, integers(5), outputs=2))
    np.testing.assert_array_equal(largest, np.sort(line)[:-6:-1])
    shares: Any = fold(onnx_node("Softmax", line.reshape(2, -1, 1), opset=11, axis=1))[0]
    powers = np.exp(line.reshape(2, -1, 1))
    np.testing.assert_allclose(shares, powers / powers.sum(axis=1, keepdims=True), rtol=1e-3)


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        ("Add", (REALS, ROW[:3]), {}),
        ("Div", (NUMBERS, integers(1, 0, 1)), {}),
        ("Gather", (REALS, integers(9)), {}),
        ("Cast", (REALS,), {"to": 4711}),
        ("ConstantOfShape", (integers(-1),), {}),
        ("Squeeze", (REALS, integers(0)), {}),
        ("Concat", (REALS, ROW), {"axis": 0}),
    ],
)
def test_contradictions_are_errors_of_the_model(
    op: str, operands: tuple[Constant, ...], attributes: dict[str, Any]
) -> None:
    with pytest.raises((BadShape, Unsupported)):
        fold(onnx_node(op, *operands, **attributes))


def test_weights_whose_data_do_not_fit_their_shape_are_refused() -> None:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], raw_data=b"1234")
    with pytest.raises(BadShape, match="weights 'w'"):
        tensor_values(tensor)
    tensor.data_type = 4711
    with pytest.raises(BadShape, match="weights 'w'"):
        tensor_values(tensor)
    assert not is_floating(4711)
    assert is_floating(TensorProto.FLOAT16)
    assert not is_floating(TensorProto.INT8)


def constant_chain(rng: np.random.Generator) -> tuple[list[onnx.NodeProto], dict[str, Constant]]:
    """Nodes that turn the weights w [4, 4, 3, 3] into weights v of that shape, through operators of many kinds."""
    steps = [
        lambda x, y: [op("Sign", x, y)],
        lambda x, y: [op("Abs", x, f"{y}a"), op("Sqrt", f"{y}a", y)],
        lambda x, y: [op("Softmax", x, y, axis=int(rng.integers(4)))],
        lambda x, y: [op("ReduceL2", x, f"{y}n", axes=[1, 2, 3]), op("Div", f"{x} {y}n", y)],
        lambda x, y: [op("ReduceMean", x, f"{y}n", axes=[int(rng.integers(4))]), op("Sub", f"{x} {y}n", y)],
        lambda x, y: [op("Round", x, f"{y}r"), op("Add", f"{y}r {x}", y)],
        lambda x, y: [op("Greater", f"{x} half", f"{y}g"), op("Where", f"{y}g {x} half", y)],
        lambda x, y: [op("QuantizeLinear", f"{x} half zero", f"{y}q"), op("DequantizeLinear", f"{y}q half zero", y)],
        lambda x, y: [op("Pad", f"{x} pads", f"{y}p"), op("Slice", f"{y}p from to on", y)],
        lambda x, y: [op("Clip", f"{x} _ half", y)],
        lambda x, y: [op("CumSum", f"{x} one", y)],
        lambda x, y: [op("Transpose", x, y, perm=[1, 0, 2, 3])],
    ]
    names = ["w", *(f"s{k}" for k in range(3)), "v"]
    nodes = [node for x, y in pairwise(names) for node in steps[rng.integers(len(steps))](x, y)]
    integers_of: dict[str, Constant] = {
        "pads": integers(0, 0, 1, 1, 0, 0, 1, 1),
        "from": integers(1),
        "to": integers(4),
        "on": integers(3),
    }
    numbers: dict[str, Constant] = {"half": np.array(0.5, np.float32), "zero": np.array(3, np.int8), "one": np.array(1)}
    return nodes, {"w": normals(4, 4, 3, 3, seed=int(rng.integers(1 << 30))), **integers_of, **numbers}


@pytest.mark.parametrize("seed", range(12))
def test_weights_may_come_from_any_constants(tmp_path: Path, seed: int) -> None:
    nodes, constants = constant_chain(np.random.default_rng(seed))
    check(tmp_path, [*nodes, op("Conv", "x v", "y")], {"x": (1, 4, 6, 6)}, constants)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (1, 4, 3, 3)])
def test_a_constant_condition_chooses_its_branch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    result = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    flat = helper.make_graph([op("Flatten", "x", "r")], "then", [], [result])
    same = helper.make_graph([op("Relu", "x", "r2"), op("Flatten", "r2", "r")], "else", [], [result])
    nodes = [
        op("Shape", "x", "s"),
        op("Gather", "s two", "rows"),
        op("Equal", "rows one", "c"),
        op("If", "c", "z", then_branch=flat, else_branch=same),
        op("MatMul", "z w", "y"),
    ]
    weights = {"two": np.array(2), "one": np.array(1)}
    check(tmp_path, nodes, {"x": shape}, {**weights, "w": normals(shape[1] * shape[2] * shape[3], 3)})


def test_sparse_weights_are_filled(tmp_path: Path) -> None:
    values = numpy_helper.from_array(normals(3), "w")
    flat = helper.make_sparse_tensor(values, numpy_helper.from_array(integers(0, 5, 11)), [4, 3])
    pairs = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([[0, 1], [2, 2], [3, 0]])), [4, 3])
    model = make([op("Constant", "", "v", sparse_value=pairs), op("MatMul", "x w", "a"), op("MatMul", "x v", "b"),
                  op("Add", "a b", "y")], {"x": (1, 4)})  # fmt: skip
    model.graph.sparse_initializer.append(flat)
    agree(load(model, tmp_path))
    flat.indices.CopyFrom(numpy_helper.from_array(integers(0, 5, 12)))
    model.graph.sparse_initializer[0].CopyFrom(flat)
    with pytest.raises(ModelError, match="sparse weights 'w'"):
        load(model, tmp_path)
