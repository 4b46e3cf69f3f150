"""Seeded weights for networks that come without any: scaled by fan-in, so that values neither vanish nor explode."""

from dataclasses import replace

import numpy as np

from pimcomp.errors import ConfigError
from pimcomp.ir.graph import ActivationKind, Conv, Graph, Node

_HALVING = (ActivationKind.RELU, ActivationKind.CLIP, ActivationKind.LEAKY_RELU, ActivationKind.HARD_SWISH)
BIAS_DEVIATION = 0.1  # against inputs of deviation 1: visible in the result, without drowning the weights


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
    shape = conv.weights.shape
    gain = 2.0 if node.activation is not None and node.activation.kind in _HALVING else 1.0
    weights = rng.standard_normal(shape, dtype=np.float32)
    weights *= np.float32(np.sqrt(gain / np.prod(shape[1:], dtype=np.float64)))
    bias = None
    if conv.bias is not None:
        bias = rng.standard_normal((shape[0],), dtype=np.float32)
        bias *= np.float32(BIAS_DEVIATION)
    return replace(node, operation=replace(conv, weights=weights, bias=bias))


def parse_weights_option(text: str) -> int:
    """The seed of an option `random:SEED`.

    Raises ConfigError for anything else.
    """
    kind, colon, seed = text.partition(":")
    if kind != "random" or not colon or not (seed.isascii() and seed.isdigit()):
        raise ConfigError("--weights", f"expected random:SEED with a non-negative integer, found {text!r}")
    return int(seed)
