"""Networks that end in a choice: the program gives the scores."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend import load_network
from tests.frontend.small_onnx import agree, make, normals, op

X = {"x": [1, 3, 6, 6]}


def choosing(path: Path, nodes: list[onnx.NodeProto], outputs: list[str]) -> Path:
    weights = {"w": normals(4, 3, 3, 3), "k": np.array([2]), "axes": np.array([1])}
    model = make([op("Conv", "x w", "c"), *nodes], X, weights, outputs=outputs)
    for value in model.graph.output:
        if value.name == "y":
            value.type.tensor_type.elem_type = TensorProto.INT64
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("nodes", "outputs", "given"),
    [
        ([op("ArgMax", "c", "y", axis=1)], ["y"], ["c"]),
        ([op("ArgMin", "c", "a", axis=1, keepdims=0), op("Cast", "a", "y", to=TensorProto.INT64)], ["y"], ["c"]),
        ([op("TopK", "c k", "v y", axis=1)], ["v", "y"], ["c"]),
        ([op("ArgMax", "c", "y", axis=1)], ["c", "y"], ["c"]),
        ([op("Softmax", "c", "p", axis=1), op("ArgMax", "p", "a", axis=1), op("Squeeze", "a axes", "y")], ["y"], ["p"]),
    ],
)
def test_the_program_gives_what_the_choice_reads(
    tmp_path: Path, nodes: list[onnx.NodeProto], outputs: list[str], given: list[str]
) -> None:
    network = load_network(choosing(tmp_path / "m.onnx", nodes, outputs))
    graph = agree(network)
    assert [output.name for output in graph.outputs] == given
    assert [note for note in graph.notes if "left to the host" in note and repr(given[0]) in note]


def test_a_choice_that_a_layer_reads_is_refused(tmp_path: Path) -> None:
    nodes = [op("ArgMax", "c", "a", axis=1), op("Cast", "a", "f", to=1), op("Add", "f c", "y")]
    with pytest.raises(UnsupportedOp, match="behind the last layer the host chooses"):
        load_network(choosing(tmp_path / "m.onnx", nodes, ["y"]))
