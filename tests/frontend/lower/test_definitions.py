"""Operators that are lowered as their definition mean what ONNX Runtime says: attention as one operator, fused ones."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pimcomp.errors import UnsupportedOp
from pimcomp.ir.graph import Graph, Product
from tests.frontend.small_onnx import Array, agree, check, kinds, load, make, normals, op
from tests.seeds import seeds

FUSED = "com.microsoft"


def fused(folder: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], weights: dict[str, Array]) -> Graph:
    """As `check`, with ONNX Runtime's operators."""
    model = make(nodes, inputs, weights, opset=17)
    model.opset_import.append(onnx.helper.make_opsetid(FUSED, 1))
    return agree(load(model, folder))


@pytest.mark.parametrize("seed", seeds(4, 16))
def test_attention_of_any_form(seed: int, tmp_path: Path) -> None:
    """Heads of keys shared, other widths of values, masks of numbers and truth values, four axes or three."""
    rng = np.random.default_rng(seed)
    tokens, size, width = (int(n) for n in rng.integers(2, 6, 3))
    shared, groups = (int(n) for n in rng.integers(1, 4, 2))
    heads = shared * groups
    weights: dict[str, Array] = {
        "wq": normals(5, heads * size, seed=seed),
        "wk": normals(5, groups * size, seed=seed + 1),
        "wv": normals(5, groups * width, seed=seed + 2),
    }
    given = "q k v"
    attributes: dict[str, Any] = {"is_causal": int(rng.integers(2))}
    if rng.random() < 0.5:
        attributes["scale"] = float(rng.uniform(0.1, 1))
    if rng.random() < 0.5:
        seen = rng.random((tokens, tokens)) < 0.6
        np.fill_diagonal(seen, True)
        weights["mask"] = seen if rng.random() < 0.5 else np.where(seen, 0, -1e9).astype(np.float32)
        given += " mask"
    nodes = [op("MatMul", f"x w{part}", part) for part in "qkv"]
    if rng.random() < 0.5:
        nodes.append(op("Attention", given, "y", q_num_heads=heads, kv_num_heads=groups, **attributes))
    else:
        for part, (count, each) in zip("qkv", ((heads, size), (groups, size), (groups, width)), strict=True):
            weights[f"s{part}"] = np.array([1, tokens, count, each])
            nodes.append(op("Reshape", f"{part} s{part}", f"{part}r"))
            nodes.append(op("Transpose", f"{part}r", f"{part}t", perm=(0, 2, 1, 3)))
        given = " ".join(f"{name}t" if name in "qkv" else name for name in given.split())
        nodes.append(op("Attention", given, "y", **attributes))
    graph = check(tmp_path, nodes, {"x": [1, tokens, 5]}, weights, opset=23, ir_version=10)
    assert kinds(graph).count("Product") == 2 * heads


@pytest.mark.parametrize("operator", ["Attention", "MultiHeadAttention"])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_of_onnx_runtime(operator: str, bias: bool, tmp_path: Path) -> None:
    weights = {"w": normals(6, 24), "bias": normals(24), "added": normals(1, 2, 5, 5)}
    if operator == "Attention":
        nodes = [op(operator, "x w bias _ _ added", "y", domain=FUSED, num_heads=2, unidirectional=int(not bias))]
    else:
        nodes = [
            op("MatMul", "x w", "p"),
            op("Split", "p", "q k v", axis=2),
            op(operator, f"q k v {'bias' if bias else '_'} _ added", "y", domain=FUSED, num_heads=2, scale=0.4),
        ]
    graph = fused(tmp_path, nodes, {"x": [1, 5, 6]}, weights)
    assert sum(isinstance(node.operation, Product) for node in graph.nodes) == 4


def test_fused_operators_of_onnx_runtime(tmp_path: Path) -> None:
    weights = {"w": normals(6, 8), "v": normals(8, 6), "b": normals(8), "g": normals(6), "h": normals(6, seed=1)}
    weights |= {"c": normals(6, seed=2), "one": np.ones(6, np.float32)}
    nodes = [
        op("SimplifiedLayerNormalization", "x g", "n", axis=-1, epsilon=1e-3),
        op("MatMul", "n w", "m"),
        op("BiasGelu", "m b", "a", domain=FUSED),
        op("QuickGelu", "a", "k", domain=FUSED, alpha=1.5),
        op("FastGelu", "k b", "f", domain=FUSED),
        op("Gelu", "f", "e", domain=FUSED),
        op("MatMul", "e v", "o"),
        op("SkipLayerNormalization", "o n g h c", "s _ _ sum", domain=FUSED, epsilon=1e-3),
        op("Add", "s sum", "t"),
        op("SkipSimplifiedLayerNormalization", "t n one", "y", domain=FUSED),
    ]
    nodes[7].output[1:3] = ["", ""]
    graph = fused(tmp_path, nodes, {"x": [1, 4, 6]}, weights)
    assert kinds(graph).count("Normalise") == 3


def test_a_map_is_cut_and_padded_around_its_centre(tmp_path: Path) -> None:
    nodes = [op("Relu", "x", "a"), op("CenterCropPad", "a size", "y", axes=[-2, -1])]
    check(tmp_path, nodes, {"x": [1, 3, 7, 4]}, {"size": np.array([4, 9])}, opset=18)


def test_what_a_definition_does_not_say_is_refused(tmp_path: Path) -> None:
    weights = {"w": normals(6, 18), "b": normals(18), "m": np.array([3], np.int32)}
    nodes = [op("Attention", "x w b m", "y", domain=FUSED, num_heads=2, do_rotary=1)]
    with pytest.raises(UnsupportedOp, match="do_rotary, input 'mask' of Attention"):
        fused(tmp_path, nodes, {"x": [1, 4, 6]}, weights)


@pytest.mark.parametrize("seed", seeds(6, 40))
def test_a_product_by_its_equation(seed: int, tmp_path: Path) -> None:
    """Letters of both operands and the result, of one and the result, of both alone; a constant or another map."""
    rng = np.random.default_rng(seed)
    sizes = {"t": int(rng.integers(2, 6)), "u": int(rng.integers(2, 6))} | {k: int(rng.integers(2, 5)) for k in "hkd"}
    heads = rng.random() < 0.6
    weights: dict[str, Array] = {"w": normals(3, sizes["h"] * sizes["k"]), "v": normals(3, sizes["h"] * sizes["k"])}
    weights |= {"s": np.array([1, 0, sizes["h"], sizes["k"]])}
    nodes = [op("MatMul", "x w", "p"), op("Reshape", "p s", "a")]
    inputs = {"x": [1, sizes["t"], 3]}
    if rng.random() < 0.5:
        inputs["z"] = [1, sizes["u"], 3]
        nodes += [op("MatMul", "z v", "q"), op("Reshape", "q s", "b")]
        left, right, result = "bthk", "buhk", "bhtu" if rng.random() < 0.5 else "bhut"
    else:
        left, right = "bthk", "hkd" if heads else "khd"
        weights["b"] = normals(*(sizes[letter] for letter in right))
        result = "btd" if heads else "bdt"
    terms = f"{left},{right}" if rng.random() < 0.5 else f"{right},{left}"
    operands = "a b" if terms.startswith(left) else "b a"
    nodes.append(op("Einsum", operands, "y", equation=f"{terms} -> {result}"))
    check(tmp_path, nodes, inputs, weights)


@pytest.mark.parametrize("equation", ["bii,bij->bij", "bij->bji", "bij,bjk->bj", "...ij,...jk->...ik"])
def test_an_equation_of_another_kind_is_refused(equation: str, tmp_path: Path) -> None:
    operands = "a a" if "," in equation else "a"
    nodes = [op("Relu", "x", "a"), op("Einsum", operands, "y", equation=equation)]
    with pytest.raises(UnsupportedOp, match="the equation"):
        load(make(nodes, {"x": [1, 4, 4]}), tmp_path)
