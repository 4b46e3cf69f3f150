"""PIMCOMP-NN's node_list JSON as a Graph: what every operation means, and what is noted about it.

Covers: /pimcomp/frontend/random_weights.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pimcomp.errors import ConfigError
from pimcomp.frontend.node_list.load import load_pimcomp, parse_pimcomp, read_pimcomp
from pimcomp.frontend.random_weights import random_weights
from pimcomp.ir.graph import Activation, ActivationKind, Conv, Graph, Input, Pool
from pimcomp.proof.reference import run_reference
from tests.frontend.node_list.node_lists import RESHAPE_INFO, conv, entry, every_operation, kernel, text
from tests.graph_oracle import evaluate_images, random_inputs

# The files that PIMCOMP-NN ships: its models/JSON folder, named by PIMCOMP_MODELS, or a copy in tests/data.
FOLDER = Path(os.environ.get("PIMCOMP_MODELS") or Path(__file__).parents[2] / "data" / "pimcomp_models")
PIMCOMP_MODELS = sorted(FOLDER.glob("*.json"))
SHIPPED = [pytest.param(path, id=path.stem) for path in PIMCOMP_MODELS] or [
    pytest.param(Path(), id="none", marks=pytest.mark.skip(reason=f"{FOLDER} has no JSON files"))
]


def node_named(graph: Graph, name: str) -> int:
    """Index of a node."""
    return next(i for i, node in enumerate(graph.nodes) if node.name == name)


def test_every_operation_gets_its_meaning() -> None:
    graph = parse_pimcomp(text(every_operation(), RESHAPE_INFO), "all.json")
    names = [node.name for node in graph.nodes]
    assert names == ["data", "conv1", "pool1", "left", "right", "sum", "dw", "gap", "diff", "fc1", "fc2"]
    activations = {node.name: node.activation.kind for node in graph.nodes if node.activation}
    assert activations == {
        "conv1": ActivationKind.RELU,
        "dw": ActivationKind.CLIP,
        "gap": ActivationKind.SIGMOID,
        "diff": ActivationKind.TANH,
        "fc1": ActivationKind.SIGMOID,
    }
    assert graph.nodes[node_named(graph, "dw")].activation == Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0)
    fc1 = graph.nodes[node_named(graph, "fc1")].operation
    assert isinstance(fc1, Conv)
    assert fc1.weights.shape == (10, 12, 4, 4)
    assert [(o.name, o.onnx_shape, o.epilogue) for o in graph.outputs] == [("prob", (1, 5), "softmax")]
    assert graph.notes == (
        "OP_LRN passed through, as in PIMCOMP-NN: norm1",
        "averages divide by the pixels inside the map: right",
    )


def test_shuffle_and_concat_become_the_order_of_channels() -> None:
    graph = parse_pimcomp(text(every_operation()), "all.json")
    view = graph.nodes[node_named(graph, "dw")].inputs[0]
    total, pooled = node_named(graph, "sum"), node_named(graph, "pool1")
    # 12 channels in 3 groups of 4: the first of each group, then the second of each ...
    order = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    concatenated = [(total, c) for c in range(6)] + [(pooled, c) for c in range(6)]
    assert list(zip(view.sources, view.channels, strict=True)) == [concatenated[k] for k in order]


def test_biases_are_there_where_the_file_has_one_or_a_fused_batch_normalisation() -> None:
    graph = parse_pimcomp(text(every_operation()), "all.json")
    biased = {n.name: n.operation.bias is not None for n in graph.nodes if isinstance(n.operation, Conv)}
    assert biased == {"conv1": True, "left": True, "dw": True, "fc1": True, "fc2": False}
    unbiased = every_operation()
    unbiased[1]["param"]["with_bias"] = 0
    conv1 = parse_pimcomp(text(unbiased), "all.json").nodes[1].operation
    assert isinstance(conv1, Conv)
    assert conv1.bias is None


def test_the_loaded_network_computes_in_onnxruntime_what_its_graph_says(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(text(every_operation(), RESHAPE_INFO))
    network = load_pimcomp(path, weights="random:3")
    inputs = random_inputs(network.graph, 2, 0)
    _, expected = evaluate_images(network.graph, inputs)
    np.testing.assert_allclose(
        run_reference(network.onnx_bytes(), inputs)["prob"], expected["prob"], rtol=1e-4, atol=1e-6
    )
    assert network.graph.name == "all"
    assert network.source == str(path)


def test_weights_follow_the_seed_and_are_scaled_by_fan_in(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(text(every_operation()))
    default, same, other = (load_pimcomp(path, weights=w).onnx_bytes() for w in (None, "random:0", "random:1"))
    assert default == same
    assert default != other
    wide = [
        entry("x", "OP_INPUT", [], [1, 4000]),
        entry("y", "OP_FC", ["x"], [1, 50], {"num_input": 4000, "num_output": 50}),
    ]
    layer = random_weights(parse_pimcomp(text(wide), "wide.json"), 0).nodes[1].operation
    assert isinstance(layer, Conv)
    assert layer.weights.std() == pytest.approx(4000**-0.5, rel=0.02)


@pytest.mark.parametrize("option", ["random", "random:", "random:-1", "random:x", "zeros", "random:1e3", ""])
def test_other_forms_of_the_weights_option_are_refused(tmp_path: Path, option: str) -> None:
    path = tmp_path / "all.json"
    path.write_text(text(every_operation()))
    with pytest.raises(ConfigError, match="--weights: expected random:SEED"):
        load_pimcomp(path, weights=option)


def test_a_file_in_another_order_is_the_same_network() -> None:
    entries = every_operation()
    graph = parse_pimcomp(text(entries), "all.json")
    reordered = parse_pimcomp(text(entries[::-1]), "all.json")
    assert {n.name for n in reordered.nodes} == {n.name for n in graph.nodes}
    inputs = random_inputs(graph, 1, 0)
    # The order of weighted layers differs, so only the shapes can be compared.
    assert evaluate_images(reordered, inputs)[0][-1].shape == evaluate_images(graph, inputs)[0][-1].shape


@pytest.mark.parametrize(("low", "high"), [(-1e7, 1e7), (-10000000, 10000000), (-3e38, 3e38)])
def test_a_clip_without_real_bounds_is_dropped_and_noted(low: float, high: float) -> None:
    entries = [
        entry("x", "OP_INPUT", [], [1, 3, 2, 2]),
        entry("y", "OP_CLIP", ["x"], [1, 3, 2, 2], {"min": low, "max": high}),
    ]
    graph = parse_pimcomp(text(entries), "clip.json")
    assert len(graph.nodes) == 1
    assert graph.notes == ("OP_CLIP without bounds passed through, as in PIMCOMP-NN: y",)


def test_bounds_of_a_fused_clip_count_only_with_its_flag() -> None:
    fused = {"with_act": 0, "act_type": -1, "clip_min": 0, "clip_max": 6}
    for flag, expected in ((0, None), (1, Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0))):
        layer = conv("y", "x", (3, 3), [1, 3, 2, 2], kernel(1), with_clip=flag, **fused)
        graph = parse_pimcomp(text([entry("x", "OP_INPUT", [], [1, 3, 2, 2]), layer]), "clip.json")
        assert graph.nodes[1].activation == expected


def test_a_softmax_inside_the_network_is_dropped_and_noted() -> None:
    entries = [
        entry("x", "OP_INPUT", [], [1, 3, 1, 1]),
        entry("s", "OP_SOFTMAX", ["x"], [1, 3, 1, 1]),
        conv("y", "s", (3, 2), [1, 2, 1, 1], kernel(1)),
    ]
    graph = parse_pimcomp(text(entries), "softmax.json")
    assert graph.outputs[0].epilogue is None
    assert graph.notes == ("OP_SOFTMAX passed through, as in PIMCOMP-NN: s",)


def test_an_activation_with_other_readers_behind_it_stays_a_node() -> None:
    entries = [
        entry("x", "OP_INPUT", [], [1, 3, 2, 2]),
        conv("c", "x", (3, 3), [1, 3, 2, 2], kernel(1)),
        entry("r", "OP_RELU", ["c"], [1, 3, 2, 2]),
        entry("y", "OP_ELTWISE", ["c", "r"], [1, 3, 2, 2], {"eletype": 2}),
    ]
    graph = parse_pimcomp(text(entries), "relu.json")
    assert [(node.name, node.activation is not None) for node in graph.nodes] == [
        ("x", False),
        ("c", False),
        ("r", True),
        ("y", False),
    ]


def test_an_activation_behind_a_concat_goes_to_its_sources() -> None:
    entries = [
        entry("x", "OP_INPUT", [], [1, 3, 2, 2]),
        conv("a", "x", (3, 3), [1, 3, 2, 2], kernel(1)),
        conv("b", "x", (3, 2), [1, 2, 2, 2], kernel(1)),
        entry("ab", "OP_CONCAT", ["a", "b"], [1, 5, 2, 2]),
        entry("r", "OP_RELU", ["ab"], [1, 5, 2, 2]),
    ]
    graph = parse_pimcomp(text(entries), "relu.json")
    assert [node.activation is not None for node in graph.nodes] == [False, True, True]
    assert graph.outputs[0].view.sources.tolist() == [1, 1, 1, 2, 2]


def test_inputs_may_be_vectors_and_several() -> None:
    entries = [
        entry("a", "OP_INPUT", [], [1, 6]),
        entry("b", "OP_INPUT", [], [1, 6]),
        entry("y", "OP_ELTWISE", ["a", "b"], [1, 6], {"eletype": 2}),
    ]
    graph = parse_pimcomp(text(entries), "two.json")
    assert [node.operation for node in graph.nodes[:2]] == [Input((1, 6), "NC")] * 2
    assert graph.outputs[0].onnx_shape == (1, 6)


def test_an_average_can_count_its_padding_as_an_extension() -> None:
    entries = [
        entry("x", "OP_INPUT", [], [1, 3, 4, 4]),
        entry("y", "OP_POOL", ["x"], [1, 3, 4, 4], kernel(3, pad=1, pool_method=1, count_include_pad=1)),
    ]
    pool = parse_pimcomp(text(entries), "avg.json").nodes[1].operation
    assert isinstance(pool, Pool)
    assert pool.count_padding


@pytest.mark.parametrize("path", SHIPPED)
def test_the_shipped_networks_load_with_the_shapes_they_declare(path: Path) -> None:
    graph = read_pimcomp(path)
    listed = json.loads(path.read_text())["node_list"]
    assert len(graph.weighted()) == sum(n["operation"] in ("OP_CONV", "OP_FC") for n in listed)
    by_name = {n["name"]: n["output_dim"][1:] for n in listed}
    for node in graph.nodes:
        assert by_name[node.name] in ([node.channels, node.height, node.width], [node.channels])


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED)
def test_the_shipped_networks_run_in_onnxruntime(path: Path) -> None:
    network = load_pimcomp(path)
    results = run_reference(network.onnx_bytes(), random_inputs(network.graph, 1, 0), name=path.stem)
    for output in network.graph.outputs:
        values = results[output.name]
        assert values.shape == output.onnx_shape
        assert np.isfinite(values).all()
        assert values.std() > 0
