"""`--weights random:SEED` on ONNX files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pimcomp.errors import ConfigError
from pimcomp.frontend import load_network
from pimcomp.ir.graph import Conv, Input
from pimcomp.proof.reference import run_reference
from tests.frontend.small_onnx import agree, make, normals, op

X = {"x": [1, 3, 8, 8]}


def model_without_weights() -> onnx.ModelProto:
    """Weights made by ConstantOfShape, a Constant behind a Transpose, shared through Identity, given as initializer."""
    third = numpy_helper.from_array(np.full(1, 1 / 3, np.float32))
    nodes = [
        op("Constant", "", "shape", value=numpy_helper.from_array(np.array([16, 3, 3, 3]))),
        op("ConstantOfShape", "shape", "w", value=third),
        op("ConstantOfShape", "sixteen", "b", value=third),
        op("Conv", "x w b", "c"),
        op("BatchNormalization", "c scale b mean var", "n"),
        op("Relu", "n", "r"),
        op("GlobalAveragePool", "r", "g"),
        op("Flatten", "g", "f"),
        op("Constant", "", "m0", value=numpy_helper.from_array(np.ones((16, 16), np.float32))),
        op("Transpose", "m0", "m1", perm=[1, 0]),
        op("MatMul", "f m1", "p"),
        op("Identity", "mean", "shared"),
        op("Add", "p shared", "y"),
    ]
    ones = np.ones(16, np.float32)
    return make(nodes, X, {"sixteen": np.array([16]), "scale": ones, "mean": 0 * ones, "var": ones})


def test_random_weights_replace_all_and_agree(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_without_weights().SerializeToString())
    before = path.read_bytes()
    network = load_network(path, weights="random:3")
    graph = agree(network)
    assert path.read_bytes() == before
    for index in graph.weighted():
        conv = graph.nodes[index].operation
        assert isinstance(conv, Conv)
        assert len(np.unique(conv.weights)) == conv.weights.size
        assert conv.bias is not None
        assert len(np.unique(conv.bias)) == conv.bias.size
    again, other = load_network(path, weights="random:3"), load_network(path, weights="random:4")
    assert again.onnx_bytes() == network.onnx_bytes()
    assert other.onnx_bytes() != network.onnx_bytes()


def test_constant_weights_stay_without_the_option(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_without_weights().SerializeToString())
    graph = agree(load_network(path))
    conv = graph.nodes[graph.weighted()[0]].operation
    assert isinstance(conv, Conv)
    assert len(np.unique(conv.weights)) == 1


@pytest.mark.parametrize("text", ["random", "random:", "random:-1", "random:1.5", "zeros:1", ""])
def test_other_options_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected random:SEED"):
        load_network("lenet5", weights=text)


def test_signals_neither_vanish_nor_explode_in_a_deep_network(tmp_path: Path) -> None:
    nodes, name = [], "x"
    weights = {}
    for layer in range(30):
        weights[f"w{layer}"] = normals(3, 3, 3, 3)
        nodes += [op("Conv", f"{name} w{layer}", f"c{layer}", pads=[1] * 4), op("Relu", f"c{layer}", f"r{layer}")]
        name = f"r{layer}"
    nodes[-1].output[0] = "y"
    path = tmp_path / "deep.onnx"
    path.write_bytes(make(nodes, X, weights).SerializeToString())
    network = load_network(path, weights="random:1")
    inputs = {n.name: normals(1, 3, 8, 8) for n in network.graph.nodes if isinstance(n.operation, Input)}
    result = run_reference(network.onnx_bytes(), inputs)["y"]
    assert 1e-3 < np.abs(result).max() < 1e3
