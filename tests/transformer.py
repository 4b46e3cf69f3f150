"""Encoder blocks as exporters write them: nodes and weights for a little ONNX model."""

from typing import Any

import numpy as np
import onnx

from tests.frontend.small_onnx import Array, make, op

OPSET = 20


def encoder(
    tokens: int, channels: int, heads: int, blocks: int = 1, seed: int = 0, *, framed: bool = False
) -> onnx.ModelProto:
    """x [1, tokens, channels] through blocks of attention and a perceptron with GELU, normalised before each.

    framed: a class token ahead of the others, learned positions, and no attention to later tokens.
    """
    rng, tensor = np.random.default_rng(seed), "x"
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    inputs = {"x": [1, tokens, channels]}
    if framed:
        tokens, tensor = tokens + 1, "framed"
        weights["token"] = rng.standard_normal((1, 1, channels)).astype(np.float32)
        weights["positions"] = rng.standard_normal((1, tokens, channels)).astype(np.float32)
        nodes += [op("Concat", "token x", "longer", axis=1), op("Add", "longer positions", tensor)]
    for number in range(blocks):
        found, own, tensor = _block(f"b{number}_", tensor, tokens, channels, heads, rng, framed)
        nodes += found
        weights |= own
    nodes.append(op("Identity", tensor, "y"))
    return make(nodes, inputs, weights, opset=OPSET, ir_version=9)


def _block(
    stem: str, x: str, tokens: int, channels: int, heads: int, rng: np.random.Generator, masked: bool
) -> tuple[list[onnx.NodeProto], dict[str, Array], str]:
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    width = channels // heads

    def weight(name: str, *shape: int) -> str:
        weights[stem + name] = (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        return stem + name

    def fixed(name: str, *values: int) -> str:
        weights[stem + name] = np.array(values, np.int64)
        return stem + name

    def add(operator: str, inputs: str, output: str, **attributes: Any) -> str:
        nodes.append(op(operator, inputs, stem + output, **attributes))
        return stem + output

    y = add("LayerNormalization", f"{x} {weight('g1', channels)} {weight('h1', channels)}", "n1", axis=-1)
    y = add("MatMul", f"{y} {weight('qkv', channels, 3 * channels)}", "p")
    y = add("Add", f"{y} {weight('bias', 3 * channels)}", "pb")
    y = add("Reshape", f"{y} {fixed('split', 1, tokens, 3, heads, width)}", "r")
    y = add("Transpose", y, "t", perm=(2, 0, 3, 1, 4))
    nodes.append(op("Split", y, " ".join(f"{stem}{part}1" for part in "qkv"), axis=0, num_outputs=3))
    axis = fixed("axis", 0)
    q, k, v = (add("Squeeze", f"{stem}{part}1 {axis}", part) for part in "qkv")
    scores = add("MatMul", f"{q} {add('Transpose', k, 'kt', perm=(0, 1, 3, 2))}", "s")
    weights[f"{stem}root"] = np.array(np.sqrt(width), np.float32)
    scores = add("Div", f"{scores} {stem}root", "sd")
    if masked:
        weights[f"{stem}mask"] = np.triu(np.full((tokens, tokens), -np.inf, np.float32), 1)
        scores = add("Add", f"{scores} {stem}mask", "sm")
    shares = add("Softmax", scores, "a", axis=-1)
    y = add("Transpose", add("MatMul", f"{shares} {v}", "o"), "ot", perm=(0, 2, 1, 3))
    y = add("Reshape", f"{y} {fixed('join', 1, tokens, channels)}", "or")
    y = add("MatMul", f"{y} {weight('out', channels, channels)}", "w")
    x = add("Add", f"{x} {y}", "x1")
    y = add("LayerNormalization", f"{x} {weight('g2', channels)} {weight('h2', channels)}", "n2", axis=-1)
    y = add("Gelu", add("MatMul", f"{y} {weight('up', channels, 2 * channels)}", "u"), "g")
    y = add("MatMul", f"{y} {weight('down', 2 * channels, channels)}", "d")
    return nodes, weights, add("Add", f"{x} {y}", "x2")
