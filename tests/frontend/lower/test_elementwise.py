"""Arithmetic, normalisation and activations, against ONNX Runtime, and where their work ends up.

Covers: activation, constant_fold.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pimcomp.errors import ModelError, UnsupportedOp
from pimcomp.ir.graph import ActivationKind, Conv, Eltwise
from tests.frontend.small_onnx import Array, check, kinds, load, make, normals, only, op

CONV = op("Conv", "x w", "c", pads=[1, 1, 1, 1])
WEIGHTS = {"w": normals(4, 3, 3, 3)}
X = {"x": [1, 3, 5, 6]}


def norm_weights(channels: int = 4) -> dict[str, Array]:
    return {
        "scale": normals(channels, seed=1),
        "bias": normals(channels, seed=2),
        "mean": normals(channels, seed=3),
        "var": normals(channels, seed=4) ** 2 + np.float32(0.1),
    }


@pytest.mark.parametrize("opset", [7, 9, 14, 15, 20])
def test_batch_normalization_folds_into_the_convolution(tmp_path: Path, opset: int) -> None:
    nodes = [CONV, op("BatchNormalization", "c scale bias mean var", "n", epsilon=0.01), op("Relu", "n", "y")]
    graph = check(tmp_path, nodes, X, WEIGHTS | norm_weights(), opset=opset)
    conv = only(graph, Conv)
    assert kinds(graph) == ["Conv"]
    assert conv.activation is not None
    assert conv.activation.kind is ActivationKind.RELU


def test_batch_normalization_folds_through_a_concatenation(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x w", "a"),
        op("Conv", "x v", "b"),
        op("Concat", "b a", "c", axis=1),
        op("BatchNormalization", "c scale bias mean var", "n"),
        op("Relu", "n", "y"),
    ]
    weights = {"w": normals(2, 3, 1, 1), "v": normals(4, 3, 1, 1)} | norm_weights(6)
    assert kinds(check(tmp_path, nodes, X, weights)) == ["Conv", "Conv"]


def test_batch_normalization_behind_something_else_stays(tmp_path: Path) -> None:
    nodes = [
        CONV,
        op("Relu", "c", "r"),
        op("BatchNormalization", "r scale bias mean var", "n"),
        op("Relu", "n", "y"),
        op("Tanh", "r", "z"),
    ]
    graph = check(tmp_path, nodes, X, WEIGHTS | norm_weights(), outputs=["y", "z"])
    assert sorted(kinds(graph)) == ["Conv", "Conv", "Standalone"]
    assert graph.nodes[2].operation.groups == 4  # type: ignore[union-attr]


def test_batch_normalization_of_the_input_folds_forwards_where_nothing_is_padded(tmp_path: Path) -> None:
    norm = op("BatchNormalization", "x scale bias mean var", "n")
    weights = {"v": normals(6, 1, 3, 3)} | norm_weights(3)
    plain = op("Conv", "n v", "y", group=3)
    assert kinds(check(tmp_path, [norm, plain], X, weights)) == ["Conv"]
    padded = op("Conv", "n v", "y", group=3, pads=[1, 1, 1, 1])
    assert kinds(check(tmp_path, [norm, padded], X, weights)) == ["Conv", "Conv"]


def test_outputs_for_statistics_mean_training_before_opset_14(tmp_path: Path) -> None:
    norm = op("BatchNormalization", "x scale bias mean var", "y m v sm sv")
    with pytest.raises(UnsupportedOp, match="training mode"):
        load(make([norm], X, norm_weights(3), opset=9), tmp_path)
    norm = op("BatchNormalization", "x scale bias mean var", "y")
    check(tmp_path, [norm], X, norm_weights(3), opset=9)


def test_chains_of_scales_fold_whole(tmp_path: Path) -> None:
    nodes = [
        op("Mul", "x k", "a"),
        op("Mul", "a m", "b"),
        op("Conv", "b w", "c", pads=[1, 1, 1, 1]),
        op("Unsqueeze", "s axes", "u"),
        op("Mul", "c u", "d"),
        op("Add", "t d", "y"),
    ]
    weights = WEIGHTS | {
        "k": np.array(1 / 255, np.float32),
        "m": normals(1, 3, 1, 1),
        "s": normals(4),
        "axes": np.array([1, 2]),
        "t": normals(1, 4, 1, 1),
    }
    assert kinds(check(tmp_path, nodes, X, weights)) == ["Conv"]


def test_a_result_that_others_read_is_not_scaled(tmp_path: Path) -> None:
    nodes = [CONV, op("Mul", "c s", "m"), op("Add", "m c", "y")]
    graph = check(tmp_path, nodes, X, WEIGHTS | {"s": normals(4, 1, 1)})
    assert kinds(graph) == ["Conv", "Conv", "Eltwise"]


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [("Add", "x k"), ("Add", "k x"), ("Sub", "x k"), ("Sub", "k x"), ("Mul", "k x"), ("Div", "x k"), ("Sum", "x k k"),
     ("Mean", "x k x"), ("Neg", "x")],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 3, 1, 1), (1, 1, 1, 1, 1)])
def test_constant_operands(tmp_path: Path, operator: str, inputs: str, shape: tuple[int, ...]) -> None:
    constant = np.abs(normals(*shape)) + np.float32(0.5)
    graph = check(tmp_path, [op(operator, inputs, "y")], X, {"k": constant} if "k" in inputs else {})
    assert set(kinds(graph)) <= {"Conv", "Eltwise"}


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("other", ["x", "pooled", "flat", "mask"])
def test_feature_maps(tmp_path: Path, operator: str, other: str) -> None:
    nodes = [
        op("GlobalMaxPool", "x", "pooled"),
        op("Squeeze", "pooled", "flat0", axes=[0]),
        op("Identity", "flat0", "flat"),
        op("Conv", "x one", "mask"),
        op("Relu", "x", "r"),
        op(operator, f"r {other}", "y"),
        op(operator, f"{other} r", "z"),
    ]
    graph = check(tmp_path, nodes, X, {"one": normals(1, 3, 1, 1)}, outputs=["y", "z"], opset=11)
    assert kinds(graph).count("Eltwise") == 2


def test_many_operands_and_powers(tmp_path: Path) -> None:
    nodes = [op("Relu", "x", "r"), op("Sum", "x r x", "s"), op("Pow", "s two", "p"), op("Mean", "p x r", "y")]
    graph = check(tmp_path, nodes, X, {"two": np.array(2.0, np.float32)})
    assert kinds(graph).count("Eltwise") == 3


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (op("Div", "x c", "y"), "a quotient of two feature maps"),
        (op("Div", "k x", "y"), "a constant divided"),
        (op("Pow", "x k", "y"), "the exponent is no whole number from 1 to 4"),
        (op("Elu", "x", "y"), "no instruction sequence computes it"),
    ],
)
def test_unsupported_forms_say_why(tmp_path: Path, node: Any, reason: str) -> None:
    nodes = [op("Relu", "x", "c"), op("GlobalMaxPool", "x", "small"), node]
    with pytest.raises(UnsupportedOp, match=reason):
        load(make(nodes, X, {"k": np.array(2.5, np.float32)}), tmp_path)


def test_shapes_that_do_not_broadcast_name_the_node(tmp_path: Path) -> None:
    nodes = [op("MaxPool", "x", "m", kernel_shape=[2, 2]), op("Add", "x m", "y")]
    with pytest.raises(ModelError, match=r"node 'Add-y' .*4 and 5 elements along one axis"):
        load(make(nodes, X), tmp_path)
    with pytest.raises(ModelError, match=r"node 'Add-y' .*does not broadcast"):
        load(make([op("Add", "x k", "y")], X, {"k": normals(4, 1, 1)}), tmp_path)
    with pytest.raises(ModelError, match=r"node 'Add-y' .*does not broadcast"):  # though it enlarges, too
        load(make([op("Add", "x k", "y")], X, {"k": normals(2, 0, 1, 1)}), tmp_path)


ACTIVATIONS = [
    (op("Relu", "c", "y"), ActivationKind.RELU),
    (op("Sigmoid", "c", "y"), ActivationKind.SIGMOID),
    (op("Tanh", "c", "y"), ActivationKind.TANH),
    (op("HardSwish", "c", "y"), ActivationKind.HARD_SWISH),
    (op("HardSigmoid", "c", "y", alpha=0.3, beta=0.4), ActivationKind.HARD_SIGMOID),
    (op("LeakyRelu", "c", "y", alpha=0.2), ActivationKind.LEAKY_RELU),
    (op("PRelu", "c slope", "y"), ActivationKind.LEAKY_RELU),
    (op("Clip", "c zero six", "y"), ActivationKind.CLIP),
    (op("Clip", "c zero", "y"), ActivationKind.RELU),
    (op("Clip", "c _ six", "y"), ActivationKind.CLIP),
    (op("Max", "zero c", "y"), ActivationKind.RELU),
    (op("Min", "c six", "y"), ActivationKind.CLIP),
]


@pytest.mark.parametrize(("node", "kind"), ACTIVATIONS)
def test_activations_end_up_in_their_producer(tmp_path: Path, node: Any, kind: ActivationKind) -> None:
    weights = WEIGHTS | {
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "slope": np.full((4, 1, 1), 0.25, np.float32),
    }
    used = {name: value for name, value in weights.items() if name == "w" or name in node.input}
    graph = check(tmp_path, [CONV, node], X, used, opset=16)
    activation = only(graph, Conv).activation
    assert activation is not None
    assert activation.kind is kind


def test_an_activation_of_a_shared_result_stands_alone(tmp_path: Path) -> None:
    nodes = [CONV, op("Sigmoid", "c", "s"), op("Mul", "c s", "y")]
    assert kinds(check(tmp_path, nodes, X, WEIGHTS)) == ["Conv", "Standalone", "Eltwise"]


def test_a_second_activation_stands_alone(tmp_path: Path) -> None:
    nodes = [CONV, op("Relu", "c", "r"), op("Tanh", "r", "y")]
    assert kinds(check(tmp_path, nodes, X, WEIGHTS)) == ["Conv", "Standalone"]


def test_activation_of_a_sum(tmp_path: Path) -> None:
    nodes = [CONV, op("Conv", "x v", "d"), op("Add", "c d", "s"), op("Relu", "s", "y")]
    graph = check(tmp_path, nodes, X, WEIGHTS | {"v": normals(4, 3, 1, 1)})
    assert only(graph, Eltwise).activation is not None


def test_clip_without_bounds_is_nothing(tmp_path: Path) -> None:
    assert kinds(check(tmp_path, [CONV, op("Clip", "c", "y")], X, WEIGHTS, opset=9)) == ["Conv"]


@pytest.mark.parametrize("size", [1, 3, 5, 9])  # ONNX Runtime wants odd ones
def test_local_response_normalisation(tmp_path: Path, size: int) -> None:
    nodes = [op("Conv", "x w", "c"), op("LRN", "c", "y", size=size, alpha=0.3, beta=0.6, bias=1.5)]
    assert kinds(check(tmp_path, nodes, X, {"w": normals(7, 3, 1, 1)})) == ["Conv", "Lrn"]


@pytest.mark.parametrize(
    "spelling",
    [
        "c+3=a clip(a)=b c*b=m m/6=y",
        "3+c=a clip(a)=b b/6=g g*c=y",
        "c+3=a clip(a)=b b*sixth=g c*g=y",
    ],
)
def test_hard_swish_spelt_out_is_recognised(tmp_path: Path, spelling: str) -> None:
    nodes = [CONV]
    for step in spelling.split():
        left, result = step.split("=")
        if left.startswith("clip"):
            nodes.append(op("Clip", f"{left[5:-1]} zero six", result))
        else:
            sign = next(s for s in "+*/" if s in left)
            operands = [{"3": "three", "6": "six"}.get(name, name) for name in left.split(sign)]
            nodes.append(op({"+": "Add", "*": "Mul", "/": "Div"}[sign], " ".join(operands), result))
    numbers = {"zero": 0, "three": 3, "six": 6, "sixth": 1 / 6}
    used = {name for node in nodes for name in node.input}
    weights = {name: np.array(value, np.float32) for name, value in numbers.items() if name in used}
    graph = check(tmp_path, nodes, X, WEIGHTS | weights)
    activation = only(graph, Conv).activation
    assert activation is not None
    assert activation.kind is ActivationKind.HARD_SWISH


def test_product_with_hard_sigmoid_is_hard_swish_only_with_its_slope(tmp_path: Path) -> None:
    for alpha, expected in ((1 / 6, ["Conv"]), (0.2, ["Conv", "Standalone", "Eltwise"])):
        nodes = [CONV, op("HardSigmoid", "c", "s", alpha=alpha, beta=0.5), op("Mul", "s c", "y")]
        assert kinds(check(tmp_path, nodes, X, WEIGHTS)) == expected


def test_positive_scales_pass_activations_they_commute_with(tmp_path: Path) -> None:
    positive = {"k": np.abs(normals(4, 1, 1)) + np.float32(0.1), "six": np.array(6, np.float32)}
    zero = {"zero": np.array(0, np.float32)}
    for weights, nodes, expected in (
        ({"k": positive["k"]}, [op("Relu", "c", "r"), op("Mul", "r k", "y")], 1),
        ({"k": -positive["k"]}, [op("Relu", "c", "r"), op("Mul", "r k", "y")], 2),
        (positive | zero, [op("Clip", "c zero six", "r"), op("Mul", "r k", "y")], 2),
        ({"six": positive["six"]} | zero, [op("Clip", "c zero six", "r"), op("Div", "r six", "y")], 1),
        ({"k": positive["k"]}, [op("Tanh", "c", "r"), op("Mul", "r k", "y")], 2),
    ):
        assert len(kinds(check(tmp_path, [CONV, *nodes], X, WEIGHTS | weights))) == expected


@pytest.mark.parametrize("slopes", [[[[0.1]], [[0.2]], [[0.3]]], [[[-0.5]], [[0.0]], [[2.0]]], [[[1.5]]]])
@pytest.mark.parametrize("first", [[], [op("Conv", "x w", "c")]])
def test_slopes_per_channel(tmp_path: Path, slopes: list[Any], first: list[Any]) -> None:
    nodes = [*first, op("PRelu", "c slope" if first else "x slope", "y")]
    graph = check(tmp_path, nodes, X, {"slope": np.array(slopes, np.float32), "w": normals(3, 3, 3, 3)})
    assert kinds(graph)[-2:] == ["Standalone", "Conv"]


def test_slopes_beyond_one_and_absolute_values(tmp_path: Path) -> None:
    nodes = [op("LeakyRelu", "x", "l", alpha=-0.5), op("Abs", "l", "y"), op("LeakyRelu", "l", "z", alpha=1.5)]
    check(tmp_path, nodes, X, outputs=["y", "z"])


def test_extremes_of_maps(tmp_path: Path) -> None:
    nodes = [op("Tanh", "x", "t"), op("Max", "x t zero", "y"), op("Min", "x t", "z")]
    check(tmp_path, nodes, X, {"zero": np.array(0, np.float32)}, outputs=["y", "z"])


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub"])
def test_operands_of_one_row_or_one_column(tmp_path: Path, operator: str) -> None:
    """As in coordinate attention: a factor per row and one per column."""
    nodes = [
        op("ReduceMean", "x", "rows", axes=[3]),
        op("ReduceMax", "x", "columns", axes=[2]),
        op(operator, "rows columns", "both"),
        op(operator, "x both", "y"),
    ]
    check(tmp_path, nodes, X)
