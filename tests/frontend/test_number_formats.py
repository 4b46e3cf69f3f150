"""Half-precision and quantized networks: read in real numbers, or refused by name.

Covers: onnx/drop_quantization, onnx/expand_fused, onnx/widen_halves.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pimcomp.errors import UnsupportedOp
from pimcomp.ir.graph import ActivationKind
from pimcomp.proof.reference import run_reference
from tests.frontend.small_onnx import agree, check, kinds, load, make, normals, only, op

X = {"x": [1, 3, 6, 6]}


def halved(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """The model with all its floats and its interface in a half-precision type."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = kind
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_network_in_half_precision(tmp_path: Path, kind: int) -> None:
    nodes = [
        op("Conv", "x w b", "c"),
        op("Cast", "c", "d", to=kind),
        op("Relu", "d", "r"),
        op("GlobalAveragePool", "r", "g"),
        op("Flatten", "g", "f"),
        op("MatMul", "f m", "y"),
    ]
    weights = {"w": normals(4, 3, 3, 3), "b": normals(4), "m": normals(4, 5)}
    network = load(halved(make(nodes, X, weights), kind), tmp_path)
    graph = agree(network)
    assert kinds(graph) == ["Conv", "Pool", "Conv"]
    assert graph.notes == ("3 tensors of half or double precision read as float32",)


def test_half_precision_weights_behind_a_cast(tmp_path: Path) -> None:
    nodes = [op("Cast", "h", "w", to=TensorProto.FLOAT), op("Conv", "x w", "y")]
    check(tmp_path, nodes, X, {"h": normals(4, 3, 3, 3).astype(np.float16)})


def quantized(pair: dict[str, Any], between: list[Any], dtype: type = np.int8) -> onnx.ModelProto:
    """Conv with int8 weights per channel, its result quantized and back, then a fully connected layer."""
    rng = np.random.default_rng(0)
    nodes = [
        op("DequantizeLinear", "qw ws wz", "w", axis=0),
        op("DequantizeLinear", "qb bs", "b"),
        op("Conv", "x w b", "c"),
        op("QuantizeLinear", "c s z", "q"),
        *between,
        op("DequantizeLinear", "p s2 z", "d"),
        op("Flatten", "d", "f"),
        op("Gemm", "f m", "y"),
    ]
    weights: dict[str, Any] = {
        "qw": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": rng.uniform(0.005, 0.02, 4).astype(np.float32),
        "wz": np.zeros(4, np.int8),
        "qb": rng.integers(-50, 50, 4).astype(np.int32),
        "bs": np.array(0.01, np.float32),
        "s": np.array(0.03, np.float32),
        "s2": np.array(0.03, np.float32),
        "z": np.array(pair.pop("zero", 0), dtype),
        "m": normals(16, 5),
    } | pair
    return make(nodes, X, weights)


def test_quantized_networks_keep_the_clamp_and_lose_the_rounding(tmp_path: Path) -> None:
    between = [op("MaxPool", "q", "p", kernel_shape=[2, 2], strides=[2, 2])]
    model = quantized({"zero": 0}, between, np.uint8)
    network = load(model, tmp_path)
    graph = agree(network)
    assert kinds(graph) == ["Conv", "Pool", "Conv"]
    activation = graph.nodes[1].activation
    assert activation is not None
    assert activation.kind is ActivationKind.CLIP
    assert (activation.low, activation.high) == pytest.approx((0, 255 * 0.03))
    assert "1 pair(s) of QuantizeLinear and DequantizeLinear became clamps" in graph.notes[0]
    image = {"x": normals(1, 3, 6, 6)}
    rounded = run_reference(model.SerializeToString(), image)["y"]
    found = run_reference(network.onnx_bytes(), image)["y"]
    assert np.abs(rounded - found).max() < 0.03 * np.abs(normals(16, 5)).sum(axis=0).max() / 2


@pytest.mark.parametrize(
    "wrong", [{"s2": np.array(0.04, np.float32)}, {"s": np.full(4, 0.03, np.float32)}], ids=["scale", "per-channel"]
)
def test_pairs_that_do_not_match_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOp, match="QDQ"):
        load(quantized(wrong, [op("Identity", "q", "p")]), tmp_path)


def test_integer_operators_are_refused_with_the_way_out(tmp_path: Path) -> None:
    nodes = [op("DynamicQuantizeLinear", "x", "q s z"), op("ConvInteger", "q w z", "i"), op("Cast", "i", "y", to=1)]
    weights = {"w": np.ones((4, 3, 3, 3), np.uint8)}
    with pytest.raises(UnsupportedOp) as caught:
        load(make(nodes, X, weights), tmp_path)
    said = str(caught.value)
    assert said.count("export the quantized network with QuantizeLinear and DequantizeLinear pairs (QDQ)") == 2


def test_weights_with_one_scale_per_channel(tmp_path: Path) -> None:
    weights: dict[str, Any] = {
        "q": np.arange(-54, 54).reshape(4, 3, 3, 3).astype(np.int8),
        "s": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        "z": np.array([1, 2, 3, -4], np.int8),
    }
    graph = check(tmp_path, [op("DequantizeLinear", "q s z", "w", axis=0), op("Conv", "x w", "y")], X, weights)
    assert only(graph, type(graph.nodes[1].operation)).channels == 4


Q, D = "QuantizeLinear", "DequantizeLinear"
SCALES = {"s": np.array([0.5, 0.1, 0.2], np.float32), "z": np.array([3, 0, -5], np.int8), "w": normals(4, 3, 3, 3)}


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        pytest.param([op(Q, "x s z", "q", axis=1), op(D, "q s z", "d", axis=1)], {}, id="per channel"),
        pytest.param([op(Q, "x s z", "q", axis=-3), op(D, "q s z", "d", axis=-3)], {}, id="axis from behind"),
        pytest.param([op("Constant", "", "f", value_float=0.1), op("Identity", "zero", "i"), op(Q, "x f i", "q"),
                      op(D, "q f i", "d")], {}, id="scales of other nodes"),
        pytest.param([op(Q, "x one zero", "q"), op("Clip", "q low high", "k"), op(D, "k one zero", "d")],
                     {"low": np.int8(-3), "high": np.int8(7)}, id="narrower integers"),
        pytest.param([op(Q, "x one wide", "q", domain="com.microsoft"), op(D, "q one wide", "d",
                      domain="com.microsoft")], {"wide": np.array(5, np.uint16)}, id="onnxruntime's 16 bits"),
    ],
)  # fmt: skip
def test_quantized_activations_in_all_forms(tmp_path: Path, nodes: list[Any], weights: dict[str, Any]) -> None:
    given: dict[str, Any] = SCALES | {"one": np.float32(0.1), "zero": np.int8(4)} | weights
    model = make([*nodes, op("Conv", "d w", "y")], {"x": (1, 3, 6, 6)}, given)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    images = normals(1, 3, 6, 6)
    exact = run_reference(model.SerializeToString(), {"x": images})["y"]
    network = load(model, tmp_path)
    agree(network)
    assert np.abs(run_reference(network.onnx_bytes(), {"x": images})["y"] - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.5]), ("HardSigmoid", [0.3, 0.4]), ("Tanh", [])],
)
@pytest.mark.parametrize("summed", [False, True])
def test_fused_convolutions_of_onnxruntime(tmp_path: Path, kind: str, parameters: list[float], summed: bool) -> None:
    options = {"activation_params": parameters} if parameters else {}
    node = op("FusedConv", "x w b a" if summed else "x w b", "y", domain="com.microsoft", activation=kind, **options)
    weights = {"w": normals(4, 3, 3, 3), "b": normals(4), "a": normals(1, 4, 4, 4)}
    model = make([node], {"x": (1, 3, 6, 6)}, weights)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    images = normals(1, 3, 6, 6)
    exact = run_reference(model.SerializeToString(), {"x": images})["y"]
    network = load(model, tmp_path)
    agree(network)
    np.testing.assert_allclose(run_reference(network.onnx_bytes(), {"x": images})["y"], exact, atol=1e-5)


def test_fused_matrix_products_of_onnxruntime(tmp_path: Path) -> None:
    options = {"activation": "LeakyRelu", "activation_alpha": 0.2, "transB": 1, "alpha": 0.5, "domain": "com.microsoft"}
    model = make([op("FusedGemm", "x w b", "y", **options)], {"x": (1, 6)}, {"w": normals(4, 6), "b": normals(4)})
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    images = normals(1, 6)
    exact = run_reference(model.SerializeToString(), {"x": images})["y"]
    network = load(model, tmp_path)
    agree(network)
    np.testing.assert_allclose(run_reference(network.onnx_bytes(), {"x": images})["y"], exact, atol=1e-5)
