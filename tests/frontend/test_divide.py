"""What of a network the chip computes and what the host, part by part."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend import load_network
from pimcomp.frontend.divide import divide
from pimcomp.frontend.load_network import load_whole
from pimcomp.frontend.loaded_network import HostPart
from pimcomp.proof.reference import output_types
from tests.frontend.hosted import detector, integers, lstm, middle, own_operator
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
    assert [operators for operators, _ in parts(own_operator(function=True))] == [
        ["chip"],
        ["Softplus", "Softsign"],
        ["chip"],
    ]


def between_layers(*nodes: onnx.NodeProto, **options: Any) -> onnx.ModelProto:
    """Nodes from `r` to `h` between two convolutions, the first with a ReLU."""
    around = [op("Conv", "x w", "a"), op("Relu", "a", "r"), *nodes, op("Conv", "h v", "y")]
    weights = {"w": normals(8, 3, 1, 1), "v": normals(4, 8, 1, 1), **options.pop("weights", {})}
    return make(around, {"x": (1, 3, 4, 4)}, weights, **options)


def test_every_kind_of_node_finds_its_place() -> None:
    """What reads the host's results is the chip's again, where these have a size that is known."""
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("yes", "no")]
    branches = [
        helper.make_graph([op("Elu", "r", "yes")], "then", [], results[:1]),
        helper.make_graph([op("Softplus", "r", "no")], "else", [], results[1:]),
    ]
    choice = [op("ReduceMax", "r", "m", keepdims=0), op("Greater", "m t", "b"), op("If", "b", "h")]
    choice[2].attribute.extend(helper.make_attribute(f"{k}_branch", g) for k, g in zip(("then", "else"), branches))
    assert parts(between_layers(*choice, weights={"t": np.array(3, np.float32)}))[1] == (["Greater", "If"], ["h"])
    contrib = between_layers(op("Inverse", "r", "h", domain="com.microsoft"))
    contrib.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert parts(contrib)[1] == (["Inverse"], ["h"])
    sequence = between_layers(op("SplitToSequence", "r", "s", axis=1), op("ConcatFromSequence", "s", "h", axis=1))
    assert parts(sequence)[1] == (["SplitToSequence", "ConcatFromSequence", "Conv"], ["y"])  # of a size not known
    root = between_layers(op("Pow", "r e", "h"), weights={"e": np.array(0.5, np.float32)})
    assert parts(root)[1] == (["Pow"], ["h"])  # what is lowered in another form


def test_shapes_that_are_known_are_constants_wherever_they_are_read() -> None:
    nodes = [
        op("Shape", "r", "s"), op("Elu", "r", "e"), op("Reshape", "e flat", "f"), op("MatMul", "f m", "g"),
        op("Relu", "g", "i"), op("Reshape", "i s", "h"),
    ]  # fmt: skip
    model = between_layers(*nodes, weights={"flat": integers(1, 8, 16), "m": normals(16, 16)})
    assert parts(model)[1:] == [(["Elu", "Reshape"], ["f"]), (["chip"], ["y"])]


def test_inputs_of_integers_are_the_hosts() -> None:
    nodes = [
        op("Gather", "table tokens", "e"),
        op("MatMul", "e m", "h"),
        op("Relu", "h", "r"),
        op("MatMul", "r m", "y"),
    ]
    weights = {"table": normals(20, 8), "m": normals(8, 8)}
    words = make(nodes, {"tokens": (1, 6)}, weights, elem_type=TensorProto.INT64)
    assert parts(words) == [(["Gather"], ["e"]), (["chip"], ["y"])]
    with pytest.raises(UnsupportedOp) as caught:
        load_network(words)
    assert [offender.node for offender in caught.value.offenders] == ["tokens", "Gather-e"]


def test_names_that_nodes_share_with_others_and_with_tensors_are_told_apart() -> None:
    model = between_layers(op("Elu", "r", "h"))
    for node in model.graph.node:
        node.name = "h"
    whole = load_whole(model)
    names = [node.name for node in onnx.ModelProto.FromString(whole.onnx_bytes()).graph.node]
    assert len({*names, "h", "r", "a", "y"}) == len(names) + 4
    assert len(parts(model)) == 3


def test_what_the_host_cannot_compute_either_is_refused_with_the_whole_list() -> None:
    said = refusal(own_operator(function=False))
    assert "1 unsupported node(s):\n  Bend-b: Bend (opset 13): operators of domain 'my.own' are not supported" in said
    assert "The host cannot compute them either" in said
    assert "can be a local function of the model, or come from a library that PIMDSE_ORT_EXTENSIONS names" in said
    layer, inputs, weights = op("Conv", "x w", "a"), {"x": (1, 8, 4, 4)}, {"w": normals(8, 8, 1, 1)}
    random = make([layer, op("RandomNormalLike", "a", "r"), op("Mul", "a r", "y")], inputs, weights)
    assert "what comes out of RandomNormalLike-r does not follow from what goes in" in refusal(random)
    training = make([layer, op("BatchNormalization", "a g g g g", "y", training_mode=1)], inputs, {
        **weights, "g": normals(8)}, opset=15)  # fmt: skip
    assert "does not follow" in refusal(training)
    sequence = make([layer, op("SplitToSequence", "a", "y", axis=1)], inputs, weights)
    sequence.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    assert "y: texts and sequences do not pass between chip and host" in refusal(sequence)
    assert "If the host computes them, nothing is left for the crossbars" in refusal(
        make([op("Exp", "x", "y")], inputs)
    )
