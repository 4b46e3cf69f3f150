"""Builds the light transformers under models/: ViT-Tiny, DeiT-Ti, BERT-tiny, BERT-base, GPT-2 small's blocks, Mixer.

    python benchmarks/light_transformers.py models/light

Sizes as in H. Touvron et al. (ICML 2021, table 1: DeiT-Ti), I. Turc et al. (arXiv:1908.08962, table 1), J. Devlin et
al. (NAACL 2019), A. Radford et al. (2019, table 2) and I. Tolstikhin et al. (NeurIPS 2021, table 1). Text enters
as word embeddings. Weights are ConstantOfShape nodes and positions are sinusoids, so a file is some ten kilobytes. The
lines printed are those of models/INDEX.md.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from large_networks import CLASSES, SIDE, Network, index_row
from onnx import numpy_helper

OPSET = 17  # the first with LayerNormalization
LAYER_NORM_EPSILON = 1e-6


class Transformer(Network):
    """A transformer under construction: maps are [1, tokens, width]."""

    def __init__(self, tokens: int, width: int, heads: int = 1, *, causal: bool = False) -> None:
        super().__init__()
        self.tokens, self.width, self.heads, self.causal = tokens, width, heads, causal

    def constant(self, values: Any, kind: npt.DTypeLike = np.int64) -> str:
        """A constant of whole numbers, or of another kind."""
        return self.node("Constant", [], value=numpy_helper.from_array(np.array(values, kind)))

    def number(self, value: float) -> str:
        """A constant of one real number."""
        return self.constant(value, np.float32)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape."""
        return self.node("Reshape", [x, self.constant(shape)])

    def positions(self) -> str:
        """Sinusoids of the token's number, of geometric wave lengths: [tokens, width]."""
        tokens, channels = (
            self.node("Cast", [self.node("Range", [self.constant(0), self.constant(size), self.constant(1)])], to=1)
            for size in (self.tokens, self.width)
        )
        rates = self.node("Exp", [self.node("Mul", [channels, self.number(-math.log(1e4) / self.width)])])
        return self.node("Sin", [self.node("Mul", [self.reshape(tokens, self.tokens, 1), rates])])

    def norm(self, x: str) -> str:
        """LayerNormalization."""
        inputs = [x, self.weights(self.width, value=1.0), self.weights(self.width, value=0.0)]
        return self.node("LayerNormalization", inputs, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def linear(self, x: str, ins: int, outs: int) -> str:
        """A layer applied to every token."""
        return self.node("Add", [self.node("MatMul", [x, self.weights(ins, outs)]), self.weights(outs)])

    def perceptron(self, x: str, width: int, hidden: int) -> str:
        """Two layers with GELU between them, spelled out."""
        x = self.linear(x, width, hidden)
        error = self.node("Erf", [self.node("Div", [x, self.number(math.sqrt(2))])])
        x = self.node("Mul", [self.node("Mul", [x, self.node("Add", [error, self.number(1)])]), self.number(0.5)])
        return self.linear(x, hidden, width)

    def attention(self, x: str) -> str:
        """Every token asks all others, or those up to itself."""
        size = self.width // self.heads
        x = self.reshape(self.linear(x, self.width, 3 * self.width), 1, self.tokens, 3, self.heads, size)
        x = self.node("Transpose", [x], perm=[2, 0, 3, 1, 4])
        q, k, v = (self.node("Gather", [x, self.constant(part)], axis=0) for part in range(3))
        scores = self.node("MatMul", [q, self.node("Transpose", [k], perm=[0, 1, 3, 2])])
        scores = self.node("Mul", [scores, self.number(size**-0.5)])
        if self.causal:
            later = self.node("Trilu", [self.weights(self.tokens, self.tokens, value=-1e9), self.constant(1)], upper=1)
            scores = self.node("Add", [scores, later])
        x = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), v])
        x = self.reshape(self.node("Transpose", [x], perm=[0, 2, 1, 3]), 1, self.tokens, self.width)
        return self.linear(x, self.width, self.width)

    def block(self, x: str) -> str:
        """Attention and a perceptron, normalised before each."""
        x = self.node("Add", [x, self.attention(self.norm(x))])
        return self.node("Add", [x, self.perceptron(self.norm(x), self.width, 4 * self.width)])

    def block_after(self, x: str) -> str:
        """Attention and a perceptron, normalised behind each."""
        x = self.norm(self.node("Add", [x, self.attention(x)]))
        return self.norm(self.node("Add", [x, self.perceptron(x, self.width, 4 * self.width)]))

    def mixing(self, x: str, tokens_hidden: int, hidden: int) -> str:
        """A perceptron over tokens and one over channels."""
        turned = self.node("Transpose", [self.norm(x)], perm=[0, 2, 1])
        mixed = self.node("Transpose", [self.perceptron(turned, self.tokens, tokens_hidden)], perm=[0, 2, 1])
        x = self.node("Add", [x, mixed])
        return self.node("Add", [x, self.perceptron(self.norm(x), self.width, hidden)])

    def patches(self, patch: int) -> str:
        """Patches of an image as tokens."""
        inputs = ["input", self.weights(self.width, 3, patch, patch), self.weights(self.width)]
        x = self.node("Conv", inputs, kernel_shape=[patch] * 2, strides=[patch] * 2)
        return self.node("Transpose", [self.reshape(x, 1, self.width, -1)], perm=[0, 2, 1])

    def first_token(self, x: str) -> str:
        """The first token as a vector."""
        return self.node("Gather", [x, self.constant(0)], axis=1)


def vit_tiny() -> onnx.ModelProto:
    """ViT-Tiny: patches of 16, a class token, 12 blocks."""
    n = Transformer(tokens=197, width=192, heads=3)
    x = n.node("Concat", [n.weights(1, 1, n.width), n.patches(16)], axis=1)
    x = n.node("Add", [x, n.positions()])
    for _ in range(12):
        x = n.block(x)
    x = n.dense(n.first_token(n.norm(x)), n.width, CLASSES)
    return n.model("vit_tiny", x, opset=OPSET)


def deit_tiny() -> onnx.ModelProto:
    """DeiT-Ti distilled: ViT-Tiny with a distillation token and a classifier of its own for it, the mean of both."""
    n = Transformer(tokens=198, width=192, heads=3)
    x = n.node("Concat", [n.weights(1, 1, n.width), n.weights(1, 1, n.width), n.patches(16)], axis=1)
    x = n.node("Add", [x, n.positions()])
    for _ in range(12):
        x = n.block(x)
    x = n.norm(x)
    both = [n.dense(n.node("Gather", [x, n.constant(token)], axis=1), n.width, CLASSES) for token in range(2)]
    return n.model("deit_tiny", n.node("Mul", [n.node("Add", both), n.number(0.5)]), opset=OPSET)


def bert(name: str, width: int, heads: int, blocks: int) -> onnx.ModelProto:
    """A BERT over 128 word embeddings, and a classifier of two classes."""
    n = Transformer(tokens=128, width=width, heads=heads)
    x = n.norm(n.node("Add", ["input", n.positions()]))
    for _ in range(blocks):
        x = n.block_after(x)
    pooled = n.node("Tanh", [n.dense(n.first_token(x), n.width, n.width)])
    return n.model(name, n.dense(pooled, n.width, 2), (1, 128, width), (1, 2), opset=OPSET)


def bert_tiny() -> onnx.ModelProto:
    """BERT-tiny: two blocks."""
    return bert("bert_tiny", 128, 2, 2)


def bert_base() -> onnx.ModelProto:
    """BERT-base: twelve blocks of twelve heads."""
    return bert("bert_base", 768, 12, 12)


def gpt2_small() -> onnx.ModelProto:
    """The twelve blocks of GPT-2 small over 64 word embeddings, each of which sees those before it."""
    n = Transformer(tokens=64, width=768, heads=12, causal=True)
    x = n.node("Add", ["input", n.positions()])
    for _ in range(12):
        x = n.block(x)
    return n.model("gpt2_small", n.norm(x), (1, 64, 768), (1, 64, 768), opset=OPSET)


def mixer_s32() -> onnx.ModelProto:
    """Mixer-S/32: patches of 32, 8 blocks."""
    n = Transformer(tokens=49, width=512)
    x = n.patches(32)
    for _ in range(8):
        x = n.mixing(x, 256, 2048)
    x = n.node("ReduceMean", [n.norm(x)], axes=[1], keepdims=0)
    return n.model("mixer_s32", n.dense(x, n.width, CLASSES), opset=OPSET)


NETWORKS: dict[str, tuple[str, Callable[[], onnx.ModelProto]]] = {
    "bert_base": ("BERT-base: 12 blocks over 128 word embeddings", bert_base),
    "bert_tiny": ("BERT-tiny: 2 blocks over 128 word embeddings", bert_tiny),
    "deit_tiny": ("DeiT-Ti with a distillation token", deit_tiny),
    "gpt2_small": ("GPT-2 small: 12 blocks over 64 word embeddings, causal", gpt2_small),
    "mixer_s32": ("Mixer-S/32", mixer_s32),
    "vit_tiny": (f"ViT-Tiny (DeiT-Ti), patches of 16 of {SIDE} x {SIDE} pixels", vit_tiny),
}


if __name__ == "__main__":
    for name, (summary, build) in NETWORKS.items():
        print(index_row(build(), name, summary, Path(sys.argv[1])))
