"""Products of feature maps, softmax and normalisation inside a network mean what ONNX Runtime says."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from pimcomp.errors import UnsupportedOp
from pimcomp.frontend.onnx.export import graph_to_onnx
from pimcomp.ir.graph import Fixed, Normalise, Product, Softmax, Turn
from tests.frontend.small_onnx import agree, check, kinds, load, make, normals, only, op
from tests.transformer import encoder


def test_an_encoder_block_is_products_of_its_heads(tmp_path: Path) -> None:
    graph = agree(load(encoder(tokens=6, channels=12, heads=3), tmp_path))
    found = kinds(graph)
    assert found.count("Product") == 6
    assert found.count("Softmax") == 3
    assert found.count("Normalise") == 2
    assert found.count("Conv") == 4  # the factor of the scores is in the queries' weights
    assert found.count("Turn") == 3  # of the values; keys lie as they are


def test_the_factor_of_scores_stays_where_queries_are_used_otherwise(tmp_path: Path) -> None:
    weights = {"w": normals(4, 6), "v": normals(4, 6, seed=1), "half": np.array(0.5, np.float32)}
    nodes = [op("MatMul", "x w", "q"), op("MatMul", "x v", "k"), op("Transpose", "k", "t", perm=(0, 2, 1))]
    nodes += [op("MatMul", "q t", "s"), op("Mul", "s half", "m"), op("MatMul", "m q", "y")]
    graph = check(tmp_path, nodes, {"x": [1, 5, 4]}, weights)
    assert kinds(graph).count("Conv") == 3


@pytest.mark.parametrize("opset", [17, 18, 23])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(opset: int, bias: bool, tmp_path: Path) -> None:
    weights = {"g": normals(5), "b": normals(5, seed=1)} if bias else {"g": normals(5)}
    node = op("LayerNormalization", "x g b" if bias else "x g", "y", axis=-1, epsilon=1e-3)
    graph = check(tmp_path, [node], {"x": [1, 7, 5]}, weights, opset=opset, ir_version=9)
    assert only(graph, Normalise).operation == Normalise(float(np.float32(1e-3)), centred=True)


def test_normalising_channels_of_a_map_whose_axes_were_exchanged(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x k", "c", kernel_shape=[1, 1]),
        op("Transpose", "c", "t", perm=(0, 2, 3, 1)),
        op("LayerNormalization", "t g", "n", axis=-1),
        op("Transpose", "n", "y", perm=(0, 3, 1, 2)),
    ]
    check(tmp_path, nodes, {"x": [1, 3, 4, 5]}, {"k": normals(6, 3, 1, 1), "g": normals(6)}, opset=17)


def test_rows_and_columns_are_brought_into_channels_to_be_normalised(tmp_path: Path) -> None:
    nodes = [op("MaxPool", "x", "p", kernel_shape=[1, 1]), op("LayerNormalization", "p g", "y", axis=-1)]
    check(tmp_path, nodes, {"x": [1, 3, 4, 5]}, {"g": normals(5)}, opset=17)
    nodes[1] = op("LayerNormalization", "p g", "y", axis=-2)
    check(tmp_path, nodes, {"x": [1, 3, 4, 5]}, {"g": normals(4, 5)}, opset=17)
    nodes[1:] = [op("Softmax", "p", "s", axis=2), op("Conv", "s k", "y", kernel_shape=[1, 1])]
    check(tmp_path, nodes, {"x": [1, 3, 4, 5]}, {"k": normals(2, 3, 1, 1)}, opset=17)


def test_parts_of_maps_are_multiplied_with_pixels(tmp_path: Path) -> None:
    """A mask head: coefficients that a layer computes times prototypes of every pixel; maps as rows of a product."""
    shapes = {"s2": np.array([1, 2, 4]), "s1": np.array([1, 4, 16])}
    nodes = [op("Conv", "x k", "p"), op("Reshape", "p s1", "pixels"), op("Flatten", "z", "f"), op("Gemm", "f g", "h"),
             op("Reshape", "h s2", "parts"), op("MatMul", "parts pixels", "y")]  # fmt: skip
    weights = {"k": normals(4, 3, 3, 3), "g": normals(6, 8), **shapes}
    check(tmp_path, nodes, {"x": [1, 3, 6, 6], "z": [1, 6]}, weights, opset=17)
    check(tmp_path, [op("MatMul", "x z", "y")], {"x": [1, 3, 4, 5], "z": [1, 3, 5, 2]}, opset=17)


def test_a_mixer_exchanges_tokens_and_channels_in_one_step_each(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x k", "c", kernel_shape=[2, 2], strides=[2, 2]),
        op("Reshape", "c flat", "f"),
        op("Transpose", "f", "t", perm=(0, 2, 1)),
        op("LayerNormalization", "t g", "n", axis=-1),
        op("Transpose", "n", "tn", perm=(0, 2, 1)),
        op("MatMul", "tn w", "m"),
        op("Transpose", "m", "u", perm=(0, 2, 1)),
        op("Add", "t u", "y"),
    ]
    weights = {"k": normals(5, 3, 2, 2), "flat": np.array([0, 5, -1]), "g": normals(5), "w": normals(6, 6)}
    graph = check(tmp_path, nodes, {"x": [1, 3, 4, 6]}, weights, opset=17)
    assert "Pick" not in kinds(graph)
    assert kinds(graph).count("Turn") == 2


@pytest.mark.parametrize(
    ("left", "right", "turns"), [((4, 6), (6, 5), 1), ((1, 6), (6, 5), 1), ((2, 4, 6), (2, 6, 5), 2)]
)
def test_products_of_two_inputs(left: tuple[int, ...], right: tuple[int, ...], turns: int, tmp_path: Path) -> None:
    graph = _product(tmp_path, left, right)
    assert kinds(graph).count("Turn") <= turns
    assert kinds(graph).count("Product") == (left[0] if len(left) == 3 else 1)


def _product(tmp_path: Path, left: tuple[int, ...], right: tuple[int, ...]):  # type: ignore[no-untyped-def]
    """Both operands behind products with weights, which say which axis has the channels."""
    heads = left[0] if len(left) == 3 else 1
    rows, inner, columns = left[-2], left[-1], right[-1]
    weights = {
        "wl": normals(3, heads * inner),
        "wr": normals(3, heads * columns, seed=1),
        "sl": np.array([1, rows, heads, inner]),
        "sr": np.array([1, inner, heads, columns]),
    }
    nodes = [
        op("MatMul", "a wl", "al"),
        op("Reshape", "al sl", "ar"),
        op("Transpose", "ar", "at", perm=(0, 2, 1, 3)),
        op("MatMul", "b wr", "bl"),
        op("Reshape", "bl sr", "br"),
        op("Transpose", "br", "bt", perm=(0, 2, 1, 3)),
        op("MatMul", "at bt", "y"),
    ]
    return check(tmp_path, nodes, {"a": [1, rows, 3], "b": [1, inner, 3]}, weights)


def test_a_softmax_whose_axis_is_rearranged_is_computed_and_what_is_exported_can_be_read(tmp_path: Path) -> None:
    nodes = [op("Softmax", "x", "s", axis=1), op("Reshape", "s two", "r"), op("Reshape", "r back", "t")]
    nodes.append(op("Conv", "t w", "y"))
    weights = {"two": np.array([1, 2, 4, 9]), "back": np.array([1, 8, 3, 3]), "w": normals(4, 8, 1, 1)}
    check(tmp_path, nodes, {"x": (1, 8, 3, 3)}, weights)
    graph = check(tmp_path, nodes[:2], {"x": (1, 8, 3, 3)}, weights, ("r",))
    assert (kinds(graph), graph.outputs[0].epilogue) == (["Softmax"], None)
    network = load(encoder(5, 8, 2), tmp_path)
    agree(load(onnx.ModelProto.FromString(graph_to_onnx(network.graph)), tmp_path))


def test_a_softmax_inside_the_network_is_computed_and_one_at_its_end_left_to_the_host(tmp_path: Path) -> None:
    nodes = [op("Softmax", "x", "s", axis=-1), op("MatMul", "s w", "z"), op("Softmax", "z", "y", axis=-1)]
    graph = check(tmp_path, nodes, {"x": [1, 4, 6]}, {"w": normals(6, 3)})
    assert only(graph, Softmax).channels == 6
    assert graph.outputs[0].epilogue == "softmax"


def test_a_logarithm_inside_the_network_is_refused_not_what_reads_it(tmp_path: Path) -> None:
    nodes = [op("LogSoftmax", "x", "s", axis=-1), op("MatMul", "s w", "y")]
    with pytest.raises(UnsupportedOp, match="a logarithm inside the network") as refused:
        load(make(nodes, {"x": [1, 4, 6]}, {"w": normals(6, 3)}), tmp_path)
    assert [offender.op for offender in refused.value.offenders] == ["LogSoftmax"]


def test_a_softmax_along_rows_behind_channels(tmp_path: Path) -> None:
    check(tmp_path, [op("Softmax", "x", "s"), op("LeakyRelu", "s", "y")], {"x": [2, 5, 1]}, opset=11)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_both_forms_of_gelu(approximate: str, tmp_path: Path) -> None:
    nodes = [op("MatMul", "x w", "h"), op("Gelu", "h", "y", approximate=approximate)]
    check(tmp_path, nodes, {"x": [1, 4, 6]}, {"w": normals(6, 8)}, opset=20, ir_version=9)


def test_the_error_function_as_exporters_spell_gelu(tmp_path: Path) -> None:
    weights = {"w": normals(6, 8), "root": np.array(np.sqrt(2.0), np.float32), "one": np.array(1.0, np.float32)}
    nodes = [
        op("MatMul", "x w", "h"),
        op("Div", "h root", "d"),
        op("Erf", "d", "e"),
        op("Add", "e one", "f"),
        op("Mul", "h f", "y"),
    ]
    check(tmp_path, nodes, {"x": [1, 4, 6]}, weights)


def test_a_product_and_a_turn_say_what_is_wrong_with_their_operands(tmp_path: Path) -> None:
    graph = agree(load(encoder(tokens=3, channels=4, heads=1), tmp_path))
    assert [node.channels for node in graph.nodes if isinstance(node.operation, Product)] == [3, 4]
    assert [(n.channels, n.width) for n in graph.nodes if isinstance(n.operation, Turn)] == [(3, 4)]


def test_a_class_token_positions_and_a_mask_are_maps_of_their_own(tmp_path: Path) -> None:
    graph = agree(load(encoder(tokens=5, channels=12, heads=3, blocks=2, framed=True), tmp_path))
    shapes = [node.operation.values.shape for node in graph.nodes if isinstance(node.operation, Fixed)]
    assert shapes == [(12, 1, 1), (12, 1, 6), (6, 1, 6)]  # one mask for all heads of all blocks
    assert kinds(graph).count("Pick") == 0


@pytest.mark.parametrize("written", ["Where", "Where far below", "Add", "Trilu"])
def test_masks_as_exporters_write_them(written: str, tmp_path: Path) -> None:
    seen = np.tril(np.ones((5, 5), bool))
    weights = {"w": normals(6, 5), "seen": seen, "low": np.array(-np.inf, np.float32)}
    nodes = [op("MatMul", "x w", "s")]
    if written.startswith("Where"):
        weights["low"] = weights["low"] if written == "Where" else np.array(-1e9, np.float32)
        nodes.append(op("Where", "seen s low", "m"))
    elif written == "Add":
        weights["mask"] = np.where(seen, 0, -1e9).astype(np.float32)
        nodes.append(op("Add", "mask s", "m"))
    else:
        nodes += [op("Shape", "s", "size", start=1), op("Expand", "low size", "full")]
        nodes += [op("Trilu", "full k", "mask", upper=1), op("Add", "s mask", "m")]
        weights["k"] = np.array(1)
    nodes += [op("Softmax", "m", "a", axis=-1), op("MatMul", "a v", "y")]
    weights["v"] = normals(5, 4)
    graph = check(tmp_path, nodes, {"x": [1, 5, 6]}, weights, opset=17)
    assert kinds(graph) == ["Conv", "Fixed", "Eltwise", "Softmax", "Conv"]


def test_a_choice_between_maps_by_a_constant(tmp_path: Path) -> None:
    chosen = np.array([[True, False, True], [False, False, True]])
    nodes = [op("MatMul", "x w", "a"), op("MatMul", "x v", "b"), op("Where", "c a b", "y")]
    check(tmp_path, nodes, {"x": [1, 2, 3]}, {"w": normals(3, 3), "v": normals(3, 3, seed=1), "c": chosen})
    nodes = [op("MatMul", "x w", "a"), op("Where", "none a five", "f"), op("Add", "a f", "y")]
    weights = {"w": normals(3, 3), "none": np.zeros((1, 1), bool), "five": np.array(5, np.float32)}
    assert kinds(check(tmp_path, nodes, {"x": [1, 2, 3]}, weights)) == ["Conv"]
