"""One small transformer as four exporters write it: the same graph, whatever the spelling."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pimcomp.ir.graph import Graph
from tests.frontend.small_onnx import Array, agree, load, make, op

BLOCKS, TOKENS, WIDTH, HEADS, CLASSES = 2, 16, 32, 2, 5
SIZE = WIDTH // HEADS


class Spelling:
    """The nodes of an exporter that has operators for everything: PyTorch's dynamo with opset 23."""

    opset = 23

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(op(operator, " ".join(inputs), f"t{len(self.nodes)}", **attributes))
        return f"t{len(self.nodes) - 1}"

    def constant(self, values: Any, kind: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values, kind)
        return name

    def drawn(self, *shape: int) -> Array:
        return np.asarray(self.rng.standard_normal(shape) / np.sqrt(shape[0]), np.float32)

    def dense(self, x: str, weights: Array, bias: Array) -> str:
        return self.add("Add", self.add("MatMul", x, self.constant(weights)), self.constant(bias))

    def norm(self, x: str, scale: Array, bias: Array) -> str:
        return self.add("LayerNormalization", x, self.constant(scale), self.constant(bias), axis=-1, epsilon=1e-5)

    def gelu(self, x: str) -> str:
        return self.add("Gelu", x)

    def attention(self, q: str, k: str, v: str) -> str:
        return self.add("Attention", q, k, v, q_num_heads=HEADS, kv_num_heads=HEADS)

    def projected(self, x: str, weights: Array, bias: Array) -> str:
        """Queries, keys or values."""
        return self.dense(x, weights, bias)

    def joined(self, x: str, weights: Array, bias: Array) -> str:
        """What the heads found, as tokens."""
        return self.dense(x, weights, bias)

    def model(self) -> onnx.ModelProto:
        """Blocks that normalise first, a mean over tokens, a classifier. Equal weights in all spellings."""
        x = "x"
        for _ in range(BLOCKS):
            y = self.norm(x, self.drawn(WIDTH), self.drawn(WIDTH))
            parts = [self.projected(y, self.drawn(WIDTH, WIDTH), self.drawn(WIDTH)) for _ in "qkv"]
            y = self.joined(self.attention(*parts), self.drawn(WIDTH, WIDTH), self.drawn(WIDTH))
            x = self.add("Add", x, y)
            y = self.norm(x, self.drawn(WIDTH), self.drawn(WIDTH))
            y = self.gelu(self.dense(y, self.drawn(WIDTH, 64), self.drawn(64)))
            x = self.add("Add", x, self.dense(y, self.drawn(64, WIDTH), self.drawn(WIDTH)))
        self.add("GlobalAveragePool", self.add("Transpose", x, perm=(0, 2, 1)))
        y = self.add("Flatten", f"t{len(self.nodes) - 1}")
        last = [self.constant(self.drawn(*shape)) for shape in ((WIDTH, CLASSES), (CLASSES,))]
        self.nodes.append(op("Gemm", f"{y} {' '.join(last)}", "y"))
        return make(self.nodes, {"x": [1, TOKENS, WIDTH]}, self.weights, opset=self.opset, ir_version=10)


class TorchScript(Spelling):
    """PyTorch's older exporter: shapes computed, LayerNormalization and GELU in single operators."""

    opset = 13

    def norm(self, x: str, scale: Array, bias: Array) -> str:
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", centred, self.constant(2)), axes=[-1])
        root = self.add("Sqrt", self.add("Add", variance, self.constant(1e-5)))
        scaled = self.add("Mul", self.add("Div", centred, root), self.constant(scale))
        return self.add("Add", scaled, self.constant(bias))

    def gelu(self, x: str) -> str:
        error = self.add("Erf", self.add("Div", x, self.constant(2**0.5)))
        return self.add("Mul", self.add("Mul", x, self.add("Add", error, self.constant(1))), self.constant(0.5))

    def _heads(self, x: str) -> str:
        size = self.add("Gather", self.add("Shape", x), self.constant(1, np.int64), axis=0)
        size = self.add("Unsqueeze", size, self.constant([0], np.int64))
        numbers = [self.constant([number], np.int64) for number in (1, HEADS, SIZE)]
        shape = self.add("Concat", numbers[0], size, *numbers[1:], axis=0)
        return self.add("Transpose", self.add("Reshape", x, shape), perm=(0, 2, 1, 3))

    def _scores(self, q: str, k: str) -> str:
        return self.add("MatMul", q, self.add("Transpose", k, perm=(0, 1, 3, 2)))

    def attention(self, q: str, k: str, v: str) -> str:
        scores = self.add("Div", self._scores(self._heads(q), self._heads(k)), self.constant(SIZE**0.5))
        found = self.add("MatMul", self.add("Softmax", scores, axis=-1), self._heads(v))
        found = self.add("Transpose", found, perm=(0, 2, 1, 3))
        return self.add("Reshape", found, self.constant([1, -1, WIDTH], np.int64))


class Optimum(TorchScript):
    """BERT as Hugging Face's Optimum exports it, its mask of ones folded: a mask added, the mean subtracted twice."""

    def norm(self, x: str, scale: Array, bias: Array) -> str:
        centred, again = (self.add("Sub", x, self.add("ReduceMean", x, axes=[-1])) for _ in range(2))
        variance = self.add("ReduceMean", self.add("Mul", again, again), axes=[-1])
        root = self.add("Pow", self.add("Add", variance, self.constant(1e-5)), self.constant(0.5))
        scaled = self.add("Mul", self.constant(scale), self.add("Div", centred, root))
        return self.add("Add", self.constant(bias), scaled)

    def _scores(self, q: str, k: str) -> str:
        ones = self.add("Expand", self.constant([[[[1.0]]]]), self.constant([1, 1, 1, TOKENS], np.int64))
        absent = self.add("Sub", self.constant(1), ones)
        mask = self.add("Mul", absent, self.constant(np.finfo(np.float32).min))
        return self.add("Add", super()._scores(q, k), mask)


class Keras(Spelling):
    """keras through tf2onnx: projections and scores by Einsum, one factor for root and scale in LayerNormalization."""

    opset = 15

    def norm(self, x: str, scale: Array, bias: Array) -> str:
        mean = self.add("ReduceMean", x, axes=[2], keepdims=1)
        centred = self.add("Sub", x, mean)
        variance = self.add("ReduceMean", self.add("Mul", centred, centred), axes=[2], keepdims=1)
        inverse = self.add("Reciprocal", self.add("Sqrt", self.add("Add", variance, self.constant(1e-5))))
        factor = self.add("Mul", inverse, self.constant(scale))
        shift = self.add("Sub", self.constant(bias), self.add("Mul", mean, factor))
        return self.add("Add", self.add("Mul", x, factor), shift)

    def gelu(self, x: str) -> str:
        error = self.add("Erf", self.add("Mul", x, self.constant(0.5**0.5)))
        return self.add("Mul", self.add("Mul", self.constant(0.5), x), self.add("Add", self.constant(1), error))

    def projected(self, x: str, weights: Array, bias: Array) -> str:
        split = self.constant(weights.reshape(WIDTH, HEADS, SIZE))
        return self.add(
            "Add", self.add("Einsum", x, split, equation="abc,cde->abde"), self.constant(bias.reshape(HEADS, SIZE))
        )

    def attention(self, q: str, k: str, v: str) -> str:
        scaled = self.add("Mul", q, self.constant(SIZE**-0.5))
        scores = self.add("Einsum", k, scaled, equation="aecd,abcd->acbe")
        return self.add("Einsum", self.add("Softmax", scores, axis=-1), v, equation="acbe,aecd->abcd")

    def joined(self, x: str, weights: Array, bias: Array) -> str:
        split = self.constant(weights.reshape(HEADS, SIZE, WIDTH))
        return self.add("Add", self.add("Einsum", x, split, equation="abcd,cde->abe"), self.constant(bias))


def content(graph: Graph) -> Counter[object]:
    """What a graph computes, its names, order and weights apart."""
    return Counter(
        (type(node.operation).__name__, node.channels, node.height, node.width, node.activation) for node in graph.nodes
    )


@pytest.mark.parametrize("spelling", [TorchScript, Optimum, Keras])
def test_every_exporter_gives_the_same_graph(spelling: type[Spelling], tmp_path: Path) -> None:
    plain = agree(load(Spelling().model(), tmp_path))
    assert content(agree(load(spelling().model(), tmp_path))) == content(plain)
