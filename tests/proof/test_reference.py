"""ONNX Runtime as the reference: batches, names, layouts, and errors that name the model."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pimcomp.errors import InvariantError, ModelError
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Node, Output, View, Window
from pimcomp.proof.reference import intermediate_maps, run_reference


def doubling(batch: int | str, inputs: int = 1) -> bytes:
    """A model y = W (x0 + x1 + ...) over vectors of 3, with a fixed or dynamic batch dimension."""
    names = [f"x{i}" for i in range(inputs)]
    weights = numpy_helper.from_array(np.diag([2, 4, 8]).astype(np.float32), "W")
    nodes = [helper.make_node("Sum", names, ["sum"]), helper.make_node("MatMul", ["sum", "W"], ["y"])]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in names]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph(nodes, "doubling", value, [result], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def vectors(images: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Distinct images."""
    return np.arange(images * 3, dtype=np.float32).reshape(images, 3)


@pytest.mark.parametrize("batch", ["N", 1])
def test_any_number_of_images_whatever_the_models_batch(batch: int | str) -> None:
    x = vectors(4)
    results = run_reference(doubling(batch), {"x0": x})
    np.testing.assert_array_equal(results["y"], x * [2, 4, 8])
    assert results["y"].dtype == np.float32


def test_several_inputs() -> None:
    results = run_reference(doubling(1, inputs=2), {"x0": vectors(2), "x1": vectors(2)})
    np.testing.assert_array_equal(results["y"], vectors(2) * [4, 8, 16])


def test_float64_inputs_are_converted() -> None:
    results = run_reference(doubling("N"), {"x0": vectors(2).astype(np.float64)})
    np.testing.assert_array_equal(results["y"], vectors(2) * [2, 4, 8])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"net: expected the inputs \['x0'\], found \[\]"),
        ({"y": vectors(1)}, r"net: expected the inputs \['x0'\], found \['y'\]"),
        ({"x0": vectors(1), "x1": vectors(1)}, "net: expected the inputs"),
        ({"x0": vectors(0)}, "net: no images"),
        ({"x0": vectors(2)[:, :2]}, r"net: input 'x0' takes \[1, 3\], found \[2\] per image"),
        ({"x0": np.float32(1.0)}, "net: the input 'x0' has no image axis"),
    ],
    ids=["none", "other", "more", "empty", "narrow", "scalar"],
)
def test_unsuitable_inputs_name_the_model(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run_reference(doubling(1), inputs, name="net")


def test_inputs_must_agree_on_the_number_of_images() -> None:
    with pytest.raises(ModelError, match=r"net: the inputs hold different numbers of images: \[2, 4\]"):
        run_reference(doubling("N", inputs=2), {"x0": vectors(2), "x1": vectors(4)}, name="net")


@pytest.mark.parametrize("data", [b"", b"not a model", doubling(1)[:40]], ids=["empty", "text", "truncated"])
def test_models_that_do_not_load_name_the_model(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"^net: ONNX Runtime cannot load the model: [^\n]+$"):
        run_reference(data, {"x0": vectors(1)}, name="net")


def two_layers() -> Graph:
    """NHWC input, 1 x 1 convolution with ReLU, 2 x 2 convolution."""
    rng = np.random.default_rng(0)

    def conv(channels: int, inputs: int, size: int) -> Conv:
        weights = rng.normal(size=(channels, inputs, size, size)).astype(np.float32)
        return Conv(window=Window(kernel=(size, size)), weights=weights)

    def view(source: int, channels: int) -> View:
        return View(np.full(channels, source, np.int32), np.arange(channels, dtype=np.int32))

    relu = Activation(kind=ActivationKind.RELU)
    return Graph(
        name="two layers",
        nodes=(
            Node(name="x", operation=Input((1, 3, 4, 2), "NHWC"), inputs=(), channels=2, height=3, width=4),
            Node(
                name="a", operation=conv(5, 2, 1), inputs=(view(0, 2),), channels=5, height=3, width=4, activation=relu
            ),
            Node(name="b", operation=conv(6, 5, 2), inputs=(view(1, 5),), channels=6, height=2, width=3),
        ),
        outputs=(Output(name="y", view=view(2, 6), onnx_shape=(1, 6, 2, 3)),),
    )


def test_intermediate_maps_are_in_channel_row_column_order() -> None:
    graph = two_layers()
    x = np.random.default_rng(1).normal(size=(3, 3, 4, 2)).astype(np.float32)
    maps = intermediate_maps(graph, {"x": x})
    np.testing.assert_array_equal(maps[0], x.transpose(0, 3, 1, 2))
    weights = graph.nodes[1].operation
    assert isinstance(weights, Conv)
    expected = np.maximum(np.einsum("nhwc,oc->nohw", x, weights.weights[:, :, 0, 0]), 0)
    np.testing.assert_allclose(maps[1], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(maps[2], run_reference(graph_to_onnx(graph), {"x": x})["y"])


def test_chosen_maps_only() -> None:
    maps = intermediate_maps(two_layers(), {"x": np.zeros((1, 3, 4, 2), np.float32)}, nodes=[2, 1, 2])
    assert {index: found.shape for index, found in maps.items()} == {2: (1, 6, 2, 3), 1: (1, 5, 3, 4)}


def test_intermediate_maps_name_the_graph_in_errors() -> None:
    with pytest.raises(ModelError, match=r"^two layers: ONNX Runtime cannot execute the model"):
        intermediate_maps(two_layers(), {"x": np.zeros((1, 2, 3, 4), np.float32)})


def test_a_node_of_another_shape_than_it_says_is_a_defect() -> None:
    graph = two_layers()
    wrong = replace(graph, nodes=(*graph.nodes[:2], replace(graph.nodes[2], width=9)))
    with pytest.raises(InvariantError, match=r"node 2 \(b\) should give \(6, 2, 9\), its ONNX form gives \(6, 2, 3\)"):
        intermediate_maps(wrong, {"x": np.zeros((1, 3, 4, 2), np.float32)})


def test_results_repeat_to_the_bit() -> None:
    graph, x = two_layers(), np.random.default_rng(2).normal(size=(8, 3, 4, 2)).astype(np.float32)
    data = graph_to_onnx(graph)
    assert run_reference(data, {"x": x})["y"].tobytes() == run_reference(data, {"x": x})["y"].tobytes()


def test_importing_the_reference_does_not_import_onnxruntime() -> None:
    script = "import sys, pimcomp.proof.reference; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_sample_model_is_valid() -> None:
    onnx.checker.check_model(onnx.load_from_string(doubling(1, inputs=2)), full_check=True)
