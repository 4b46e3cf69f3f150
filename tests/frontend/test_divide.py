"""What of a network the chip computes and what the host, part by part."""

import onnx
import pytest

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend.divide import divide
from pimcomp.frontend.load_network import load_whole
from pimcomp.frontend.loaded_network import HostPart
from pimcomp.proof.reference import output_types
from tests.frontend.hosted import detector, lstm, middle, own_operator
from tests.frontend.small_onnx import make, normals, op


def parts(model: onnx.ModelProto) -> list[tuple[list[str], list[str]]]:
    """Per part its operators, of the chip's those of the graph, and the outputs."""
    return [
        ([operator for _, operator in part.nodes], list(part.outputs))
        if isinstance(part, HostPart)
        else (["chip"], [output.name for output in part.graph.outputs])
        for part in divide(load_whole(model), output_types)
    ]


def refusal(model: onnx.ModelProto) -> str:
    with pytest.raises(UnsupportedOp) as caught:
        parts(model)
    return str(caught.value)


def test_chip_and_host_take_turns_and_a_map_may_pass_by() -> None:
    assert parts(middle()) == [(["chip"], ["b", "by"]), (["Softplus"], ["c"]), (["chip"], ["y"])]


def test_what_only_arranges_data_for_the_host_or_has_no_layer_is_the_hosts() -> None:
    after = ["NonMaxSuppression", "Gather", "Squeeze", "Squeeze", "Gather"]
    assert parts(detector()) == [(["chip"], ["boxes", "sure"]), (["Transpose", *after], ["kept", "found"])]
    assert parts(lstm()) == [(["Transpose", "LSTM", "Squeeze"], ["state"]), (["chip"], ["y"])]


def test_a_local_function_is_computed_node_by_node() -> None:
    assert [operators for operators, _ in parts(own_operator(function=True))] == [["chip"], ["Exp", "Sin"], ["chip"]]


def test_what_the_host_cannot_compute_either_is_refused_with_the_whole_list() -> None:
    said = refusal(own_operator(function=False))
    assert "1 unsupported node(s):\n  Bend-b: Bend (opset 13): operators of domain 'my.own' are not supported" in said
    assert "The host cannot compute them either" in said
    assert "can be a local function of the model" in said
    layer, inputs, weights = op("Conv", "x w", "a"), {"x": (1, 8, 4, 4)}, {"w": normals(8, 8, 1, 1)}
    random = make([layer, op("RandomNormalLike", "a", "r"), op("Mul", "a r", "y")], inputs, weights)
    assert "what comes out of RandomNormalLike-r does not follow from what goes in" in refusal(random)
    training = make([layer, op("BatchNormalization", "a g g g g", "y", training_mode=1)], inputs, {
        **weights, "g": normals(8)}, opset=15)  # fmt: skip
    assert "does not follow" in refusal(training)
    assert "nothing is left that crossbars compute" in refusal(make([op("Exp", "x", "y")], inputs))
