"""Seeded weights for networks that come without any: scaled by fan-in, so that values neither vanish nor explode."""

import math
from dataclasses import replace

import numpy as np

from pimcomp.errors import ConfigError
from pimcomp.ir.graph import ActivationKind, Conv, FloatArray, Graph, Node

_HALVING = (ActivationKind.RELU, ActivationKind.CLIP, ActivationKind.LEAKY_RELU, ActivationKind.HARD_SWISH)


def random_weights(graph: Graph, seed: int) -> Graph:
    """The graph with fresh weights in every Conv, and a fresh bias wherever there is one.

    Weights are normal with variance gain / fan-in, gain 2 in front of activations that drop about half of the signal
    (He et al., ICCV 2015) and 1 otherwise. They depend on the seed and the layer's rank among the weighted layers only.
    """
    nodes = list(graph.nodes)
    for rank, index in enumerate(graph.weighted()):
        nodes[index] = _weighted(nodes[index], np.random.default_rng([seed, rank]))
    return replace(graph, nodes=tuple(nodes), notes=(*graph.notes, f"weights and biases are random, seed {seed}"))


def _weighted(node: Node, rng: np.random.Generator) -> Node:
    conv = node.operation
    if not isinstance(conv, Conv):
        return node
    halved = node.activation is not None and node.activation.kind in _HALVING
    weights = draw_weights(rng, conv.weights.shape, conv.weights[0].size, halved=halved)
    bias = None if conv.bias is None else draw_bias(rng, conv.bias.shape)
    return replace(node, operation=replace(conv, weights=weights, bias=bias))


def draw_weights(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, *, halved: bool) -> FloatArray:
    """float32[shape], normal with variance 1 / fan_in; 2 / fan_in where what follows drops half of the signal."""
    weights = rng.standard_normal(shape, dtype=np.float32)
    weights *= np.float32(math.sqrt((2.0 if halved else 1.0) / max(1, fan_in)))
    return weights


def draw_bias(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """float32[shape], normal with deviation 0.1: beside inputs of deviation 1 visible, without drowning weights."""
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1)


def parse_weights_option(text: str) -> int:
    """The seed of an option `random:SEED`.

    Raises ConfigError for anything else.
    """
    kind, colon, seed = text.partition(":")
    if kind != "random" or not colon or not (seed.isascii() and seed.isdigit()):
        raise ConfigError("--weights", f"expected random:SEED with a non-negative integer, found {text!r}")
    return int(seed)
