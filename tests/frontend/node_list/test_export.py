"""Graph -> node_list JSON and back: the same structure, or an error that lists what the format cannot say.

Covers: records.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend.load_network import load_structure
from pimcomp.frontend.node_list.export import export_pimcomp, export_pimcomp_text
from pimcomp.frontend.node_list.load import parse_pimcomp, read_pimcomp
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Graph,
    Input,
    Lrn,
    Node,
    Operation,
    Output,
    Pool,
    Standalone,
    View,
    Window,
    whole,
)
from tests.frontend.node_list.node_lists import RESHAPE_INFO, every_operation, text

# The files that PIMCOMP-NN ships: its models/JSON folder, named by PIMCOMP_MODELS, or a copy in tests/data.
FOLDER = Path(os.environ.get("PIMCOMP_MODELS") or Path(__file__).parents[2] / "data" / "pimcomp_models")
PIMCOMP_MODELS = sorted(FOLDER.glob("*.json"))
SHIPPED = [pytest.param(path, id=path.stem) for path in PIMCOMP_MODELS] or [
    pytest.param(Path(), id="none", marks=pytest.mark.skip(reason=f"{FOLDER} has no JSON files"))
]


def structure(graph: Graph) -> list[Any]:
    """Everything but weight values and notes, comparable."""

    def operation(op: Operation) -> Any:
        if isinstance(op, Conv):
            return op.window, op.weights.shape, op.bias is not None, op.groups
        return op

    def view(v: View) -> Any:
        return v.sources.tolist(), v.channels.tolist()

    nodes = [
        (n.name, operation(n.operation), [view(v) for v in n.inputs], n.channels, n.height, n.width, n.activation)
        for n in graph.nodes
    ]
    return [nodes, [(o.name, view(o.view), o.onnx_shape, o.layout, o.epilogue) for o in graph.outputs]]


def again(graph: Graph) -> Graph:
    """Exported and loaded."""
    return parse_pimcomp(export_pimcomp_text(graph), "again.json")


def image(channels: int, size: int, name: str = "x", layout: str = "NCHW") -> Node:
    """A square network input."""
    shape = (1, size, size, channels) if layout == "NHWC" else (1, channels, size, size)
    return Node(name=name, operation=Input(shape, layout), inputs=(), channels=channels, height=size, width=size)


def layer(
    name: str,
    operation: Operation,
    inputs: tuple[View, ...],
    channels: int,
    size: int,
    kind: ActivationKind | None = None,
) -> Node:
    """A square node."""
    return Node(
        name=name,
        operation=operation,
        inputs=inputs,
        channels=channels,
        height=size,
        width=size,
        activation=Activation(kind=kind) if kind else None,
    )


def picked(source: int, channels: list[int]) -> View:
    """Some channels of one node."""
    return View(np.full(len(channels), source, np.int32), np.array(channels, np.int32))


def pointwise(name: str, view: View, channels: int, size: int, kind: ActivationKind | None = None) -> Node:
    """A 1 x 1 convolution."""
    weights = np.zeros((channels, len(view.channels), 1, 1), np.float32)
    return layer(name, Conv(window=Window(kernel=(1, 1)), weights=weights), (view,), channels, size, kind)


def network(*nodes: Node, outputs: tuple[Output, ...] | None = None) -> Graph:
    """A graph whose last node, as it is, is the output unless others are given."""
    last = nodes[-1]
    if outputs is None:
        shape = (1, last.channels, last.height, last.width)
        outputs = (Output(name="y", view=whole(len(nodes) - 1, last.channels), onnx_shape=shape),)
    return Graph(name="net", nodes=nodes, outputs=outputs)


def operations(graph: Graph) -> list[str]:
    """Operation names of the exported entries."""
    entries: Any = export_pimcomp(graph)["node_list"]
    return [entry["operation"] for entry in entries]


def test_every_operation_survives_a_round_trip() -> None:
    graph = parse_pimcomp(text(every_operation(), RESHAPE_INFO), "all.json")
    assert structure(again(graph)) == structure(graph)
    assert export_pimcomp_text(again(graph)) == export_pimcomp_text(graph)
    assert export_pimcomp(graph)["reshape_info"] == RESHAPE_INFO | {"input_dim": [1, 12, 4, 4]}


@pytest.mark.parametrize("path", SHIPPED)
def test_the_shipped_networks_survive_a_round_trip(path: Path) -> None:
    graph = read_pimcomp(path)
    assert structure(again(graph)) == structure(graph)


@pytest.mark.parametrize("path", SHIPPED)
def test_exported_entries_have_the_fields_of_the_shipped_files(path: Path) -> None:
    """Same keys, for nodes that both files have under the same name and operation."""
    original = {n["name"]: n for n in json.loads(path.read_text())["node_list"]}
    exported: Any = export_pimcomp(read_pimcomp(path))["node_list"]
    compared = 0
    for entry in exported:
        other = original.get(entry["name"])
        if other and other["operation"] == entry["operation"]:
            assert set(other) <= set(entry) | {"consumer"}
            assert set(other.get("param", ())) <= set(entry.get("param", ()))
            assert entry["output_dim"] == other["output_dim"]
            compared += 1
    assert compared > len(exported) // 2


# Networks that ship with pimdse; ShuffleNet v2 splits channels, which the format cannot say.
LIGHT = [
    pytest.param("alexnet", marks=pytest.mark.slow),
    "digits_resnet8",
    "googlenet",
    "mobilenet_v2",
    "resnet18",
    "shufflenet_v1_g3",
    "squeezenet1_1",
    pytest.param("vgg16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", LIGHT)
def test_onnx_networks_survive_the_format(name: str) -> None:
    graph = load_structure(name)
    loaded = again(graph)
    assert sum(n.name != o.name for n, o in zip(graph.nodes, loaded.nodes, strict=True)) <= len(graph.outputs)
    assert [(n.channels, n.height, n.width) for n in loaded.nodes] == [
        (n.channels, n.height, n.width) for n in graph.nodes
    ]
    assert structure(again(loaded)) == structure(loaded)
    assert [(o.name, o.onnx_shape) for o in loaded.outputs] == [(o.name, o.onnx_shape) for o in graph.outputs]
    for node, other in zip(graph.nodes, loaded.nodes, strict=True):
        assert node.activation == other.activation
        assert [(v.sources.tolist(), v.channels.tolist()) for v in node.inputs] == [
            (v.sources.tolist(), v.channels.tolist()) for v in other.inputs
        ]


def test_a_network_that_splits_channels_is_refused() -> None:
    with pytest.raises(UnsupportedOp, match="the format has no slice"):
        export_pimcomp(load_structure("shufflenet_v2_x1_0"))


def test_redundant_fields_are_those_of_pimcomp() -> None:
    graph = network(image(3, 4), pointwise("c", whole(0, 3), 5, 4, ActivationKind.TANH))
    assert export_pimcomp(graph)["node_list"] == [
        {
            "bitwidth": 16,
            "index": 0,
            "new_node_index": 0,
            "name": "x",
            "operation": "OP_INPUT",
            "output_dim": [1, 3, 4, 4],
            "output_dim_num": 4,
            "provider_num": 0,
            "provider_index": [],
            "consumer_num": 1,
            "consumer_index": [1],
            "consumer": ["y"],
        },
        {
            "bitwidth": 16,
            "index": 1,
            "new_node_index": 1,
            "name": "y",  # the output's name: nothing else reads the node
            "operation": "OP_CONV",
            "output_dim": [1, 5, 4, 4],
            "output_dim_num": 4,
            "provider_num": 1,
            "provider_index": [0],
            "provider": ["x"],
            "input_dim": [1, 3, 4, 4],
            "input_dim_num": 4,
            "consumer_num": 0,
            "consumer_index": [],
            "act_type": 1,
            "with_act": 1,
            "with_bn": 0,
            "with_clip": 0,
            "clip_min": -10000000,
            "clip_max": 10000000,
            "param": {
                "input_channel": 3,
                "output_channel": 5,
                "kernel_h": 1,
                "kernel_w": 1,
                "stride_h": 1,
                "stride_w": 1,
                "pad_h0": 0,
                "pad_h1": 0,
                "pad_w0": 0,
                "pad_w1": 0,
                "dilation_h": 1,
                "dilation_w": 1,
                "group": 1,
                "with_bias": 0,
            },
        },
    ]


@settings(max_examples=60)
@given(
    pieces=st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=4), groups=st.integers(1, 6), reader=st.booleans()
)
def test_concatenations_and_shuffles_survive(pieces: list[int], groups: int, reader: bool) -> None:
    """Any whole nodes in any order, shuffled with any number of groups that divides their channels."""
    channels = (4, 2, 6)
    sources = np.concatenate([np.full(channels[p], p, np.int32) for p in pieces])
    indices = np.concatenate([np.arange(channels[p], dtype=np.int32) for p in pieces])
    order = np.arange(len(sources))
    if len(sources) % groups == 0:
        order = order.reshape(groups, -1).T.reshape(-1)
    view = View(sources[order], indices[order])
    nodes: tuple[Node, ...] = (image(4, 3, "a"), image(2, 3, "b"), image(6, 3, "c"))
    unread = [i for i in range(3) if i not in pieces]
    extra = (pointwise(f"keep{i}", whole(i, channels[i]), 1, 3) for i in unread)
    nodes += (pointwise("y", view, 5, 3), *extra)
    outputs = [Output(name="y", view=whole(3, 5), onnx_shape=(1, 5, 3, 3))]
    outputs += [Output(name=f"keep{i}", view=whole(4 + k, 1), onnx_shape=(1, 1, 3, 3)) for k, i in enumerate(unread)]
    if reader:
        outputs.append(Output(name="z", view=view, onnx_shape=(1, len(order), 3, 3)))
    graph = Graph(name="views", nodes=nodes, outputs=tuple(outputs))
    loaded = again(graph)
    assert structure(loaded)[0] == structure(graph)[0]
    assert sorted(structure(loaded)[1]) == sorted(structure(graph)[1])


def test_a_view_that_several_nodes_read_is_concatenated_once() -> None:
    pair = View(np.repeat(np.array([0, 1], np.int32), 3), np.tile(np.arange(3, dtype=np.int32), 2))
    graph = network(
        image(3, 2, "a"),
        image(3, 2, "b"),
        pointwise("c", pair, 4, 2),
        pointwise("d", pair, 4, 2),
        layer("e", Eltwise("add"), (whole(2, 4), whole(3, 4)), 4, 2),
    )
    assert operations(graph).count("OP_CONCAT") == 1
    assert structure(again(graph)) == structure(
        dataclasses.replace(graph, nodes=(*graph.nodes[:4], dataclasses.replace(graph.nodes[4], name="y")))
    )


@pytest.mark.parametrize(
    ("onnx_shape", "epilogue", "tail"),
    [
        ((1, 5), None, ["OP_FC"]),
        ((1, 5, 1, 1), None, ["OP_FC", "OP_RESHAPE"]),
        ((1, 5), "softmax", ["OP_FC", "OP_SOFTMAX"]),
        ((1, 5, 1, 1), "softmax", ["OP_FC", "OP_RESHAPE", "OP_SOFTMAX"]),
    ],
)
def test_outputs_keep_name_shape_and_epilogue(
    onnx_shape: tuple[int, ...], epilogue: str | None, tail: list[str]
) -> None:
    axis = 1
    fc = Conv(window=Window(kernel=(4, 4)), weights=np.zeros((5, 3, 4, 4), np.float32), bias=np.zeros(5, np.float32))
    output = Output(name="y", view=whole(1, 5), onnx_shape=onnx_shape, epilogue=epilogue, epilogue_axis=axis)
    graph = network(image(3, 4), layer("fc", fc, (whole(0, 3),), 5, 1), outputs=(output,))
    assert operations(graph) == ["OP_INPUT", "OP_FLATTEN", *tail]
    loaded = again(graph)
    assert structure(loaded)[1] == structure(graph)[1]


def test_an_output_in_the_middle_of_the_network_gets_an_entry_of_its_own() -> None:
    middle = pointwise("y", whole(0, 3), 4, 2)  # the node has the output's name, but others read it too
    graph = network(
        image(3, 2),
        middle,
        pointwise("z", whole(1, 4), 5, 2),
        outputs=(
            Output(name="y", view=whole(1, 4), onnx_shape=(1, 4, 2, 2)),
            Output(name="z", view=whole(2, 5), onnx_shape=(1, 5, 2, 2)),
        ),
    )
    loaded = again(graph)
    assert [o.name for o in loaded.outputs] == ["z", "y"]
    assert [o.view.sources[0] for o in loaded.outputs] == [2, 1]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (Activation(kind=ActivationKind.RELU), "OP_RELU"),
        (Activation(kind=ActivationKind.TANH), "OP_TANH"),
        (Activation(kind=ActivationKind.SIGMOID), "OP_SIGMOID"),
        (Activation(kind=ActivationKind.CLIP, low=0.0, high=6.0), "OP_CLIP"),
        (Activation(kind=ActivationKind.CLIP, low=-1.5), "OP_CLIP"),
        (Activation(kind=ActivationKind.CLIP, high=0.5), "OP_CLIP"),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
def test_activations_of_other_nodes_become_entries(activation: Activation, expected: str) -> None:
    add = dataclasses.replace(layer("y", Eltwise("add"), (whole(0, 3),) * 2, 3, 2), activation=activation)
    graph = network(image(3, 2), add)
    assert operations(graph) == ["OP_INPUT", "OP_ELTWISE", expected]
    assert again(graph).nodes[1].activation == activation


def test_standalone_activations_survive() -> None:
    relu = layer("r", Standalone(), (whole(1, 4),), 4, 2, ActivationKind.RELU)
    graph = network(
        image(3, 2),
        pointwise("c", whole(0, 3), 4, 2),
        relu,
        layer("y", Eltwise("sub"), (whole(1, 4), whole(2, 4)), 4, 2),
    )
    assert structure(again(graph)) == structure(graph)


def test_the_extensions_of_the_format_survive() -> None:
    pool = Pool(method="avg", window=Window(kernel=(3, 3), pads=(1, 1, 1, 1)), count_padding=True)
    lrn = Lrn(size=5, alpha=1e-4, beta=0.75, bias=2.0)
    graph = network(image(3, 4), layer("p", pool, (whole(0, 3),), 3, 4), layer("y", lrn, (whole(1, 3),), 3, 4))
    assert structure(again(graph)) == structure(graph)


def test_names_are_made_unique() -> None:
    graph = network(
        image(3, 2), *[pointwise("c", whole(i, 3), 3, 2) for i in range(3)], pointwise("y", whole(3, 3), 3, 2)
    )
    assert [node.name for node in again(graph).nodes] == ["x", "c", "c_2", "c_3", "y"]


UNSUPPORTED: list[tuple[str, Graph, str]] = [
    ("mul", network(image(3, 2), layer("n", Eltwise("mul"), (whole(0, 3),) * 2, 3, 2)), "add instead of multiply"),
    ("crop", network(image(3, 4), layer("n", Crop(1, 1), (whole(0, 3),), 3, 2)), "no padding, cropping or resizing"),
    (
        "slice",
        network(image(3, 2), pointwise("n", picked(0, [0, 1]), 3, 2)),
        "reads some of a node's channels",
    ),
    (
        "leaky",
        network(image(3, 2), pointwise("n", whole(0, 3), 3, 2, ActivationKind.LEAKY_RELU)),
        "relu, tanh, sigmoid and clip",
    ),
    ("nhwc", network(image(3, 2, "n", "NHWC"), pointwise("c", whole(0, 3), 3, 2)), "layout NHWC"),
    (
        "dilated pool",
        network(
            image(3, 5),
            layer("n", Pool(method="max", window=Window(kernel=(2, 2), dilation=(2, 2))), (whole(0, 3),), 3, 3),
        ),
        "OP_POOL has none",
    ),
    (
        "partly counted",
        network(
            image(3, 4),
            layer(
                "n",
                Pool(
                    method="avg",
                    window=Window(kernel=(3, 3), stride=(2, 2), pads=(0, 0, 1, 1)),
                    count_padding=True,
                    overhang=(1, 1),
                ),
                (whole(0, 3),),
                3,
                2,
            ),
        ),
        "counts some of its padding",
    ),
    (
        "broadcast",
        network(
            image(3, 2),
            image(3, 1, "scale"),
            layer("n", Eltwise("add"), (whole(0, 3), whole(1, 3)), 3, 2),
        ),
        "no broadcasting",
    ),
    (
        "spatial softmax",
        network(
            image(3, 2), outputs=(Output(name="n", view=whole(0, 3), onnx_shape=(1, 3, 2, 2), epilogue="softmax"),)
        ),
        "softmax over the channels",
    ),
    (
        "odd shape",
        network(image(3, 2), outputs=(Output(name="n", view=whole(0, 3), onnx_shape=(1, 6, 2)),)),
        r"shape \[1, 6, 2\]",
    ),
]


@pytest.mark.parametrize(("graph", "reason"), [pytest.param(g, r, id=name) for name, g, r in UNSUPPORTED])
def test_what_the_format_cannot_say_is_refused(graph: Graph, reason: str) -> None:
    with pytest.raises(UnsupportedOp, match=reason) as error:
        export_pimcomp(graph)
    assert [o.node.removesuffix("_leaky_relu") for o in error.value.offenders] == ["n"]


def test_everything_that_is_refused_is_listed_at_once() -> None:
    graph = network(
        image(3, 2),
        layer("product", Eltwise("mul"), (whole(0, 3),) * 2, 3, 2),
        pointwise("half", picked(1, [1]), 3, 2),
        pointwise("y", whole(2, 3), 3, 2, ActivationKind.HARD_SWISH),
    )
    with pytest.raises(UnsupportedOp) as error:
        export_pimcomp(graph)
    assert [o.node for o in error.value.offenders] == ["product", "half", "y_hard_swish"]
