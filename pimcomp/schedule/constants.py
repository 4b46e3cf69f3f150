"""Constant vectors of a node (bias, reciprocals, activation and LRN coefficients) and its clip bounds."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from pimcomp.errors import ModelError
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    FloatArray,
    Graph,
    Input,
    Lrn,
    Pick,
    Pool,
    Standalone,
    averaged,
)
from pimcomp.schedule.emission import finish as emit_finish
from pimcomp.schedule.emission.finish import Finish
from pimcomp.schedule.emission.vector import VectorConstants

CODES = {
    ActivationKind.RELU: emit_finish.RELU,
    ActivationKind.CLIP: emit_finish.CLIP,
    ActivationKind.LEAKY_RELU: emit_finish.LEAKY,
    ActivationKind.SIGMOID: emit_finish.SIGMOID,
    ActivationKind.TANH: emit_finish.TANH,
    ActivationKind.HARD_SIGMOID: emit_finish.HARD_SIGMOID,
    ActivationKind.HARD_SWISH: emit_finish.HARD_SWISH,
}


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """Per node: `vectors[node]` float32 values to be loaded once per core that needs them (empty: none).

    finish, vector: offsets of constants in them. clip_values float32: bounds of vrsu/vrsl by index.
    """

    vectors: tuple[FloatArray, ...]
    finish: Finish
    vector: VectorConstants
    clip_values: FloatArray


def collect_constants(graph: Graph, element_bytes: int, lrn_ranges: dict[int, float]) -> Constants:
    """Lay out every node's constants. lrn_ranges: per LRN node the largest sum of squares its fit must cover."""
    channels = np.array([node.channels for node in graph.nodes], dtype=np.int64)
    bias, low_of, high_of, alpha_of, beta_of = (np.full_like(channels, -1) for _ in range(5))
    code, coefficients, terms, weights = (np.zeros_like(channels) for _ in range(4))
    vectors: list[FloatArray] = []
    divisor_start, divisors = [0], []
    clips: list[float] = []
    for index, node in enumerate(graph.nodes):
        values: list[FloatArray] = []

        def add(vector: FloatArray, into: list[FloatArray] = values) -> int:
            offset = sum(len(v) for v in into) * element_bytes
            into.append(vector.astype(np.float32))
            return offset

        table = np.zeros(1, dtype=np.int64)
        match operation := node.operation:
            case Conv():
                if operation.bias is not None and np.any(operation.bias):
                    bias[index] = add(operation.bias)
                if operation.vector:
                    weights[index] = add(operation.weights[:, 0].transpose(1, 2, 0).ravel())
            case Pool():
                needed = _divisors(graph, index, operation)
                table = np.zeros(max(needed, default=0) + 1, dtype=np.int64)
                for n in needed:
                    table[n] = add(np.full(node.channels, 1.0 / n))
            case Lrn():
                offsets = [add(np.full(node.channels, c)) for c in fit_lrn(operation, lrn_ranges[index])]
                coefficients[index], terms[index] = offsets[0], len(offsets)
            case Input() | Eltwise() | Standalone() | Crop() | Pick():
                pass
            case _:
                assert_never(operation)
        divisors.append(table)
        divisor_start.append(divisor_start[-1] + len(table))
        if node.activation is not None:
            code[index] = CODES[node.activation.kind]
            low, high, alpha, beta = _activation_constants(node.activation)
            for column, bound in ((low_of, low), (high_of, high)):
                if bound is not None:
                    column[index] = len(clips)
                    clips.append(bound)
            for column, factor in ((alpha_of, alpha), (beta_of, beta)):
                if factor is not None:
                    column[index] = add(np.full(node.channels, factor))
        vectors.append(np.concatenate(values) if values else np.zeros(0, np.float32))
    finish = Finish(channels, bias, code, low_of, high_of, alpha_of, beta_of)
    reciprocals = (np.array(divisor_start, dtype=np.int64), np.concatenate([*divisors, np.zeros(1, np.int64)]))
    vector = VectorConstants(*reciprocals, coefficients, terms, weights)
    return Constants(tuple(vectors), finish, vector, np.array(clips, dtype=np.float32))


def _activation_constants(a: Activation) -> tuple[float | None, float | None, float | None, float | None]:
    """Clip bounds and constant factors (low, high, alpha, beta) an activation needs."""
    if a.kind is ActivationKind.CLIP:
        return (a.low if np.isfinite(a.low) else None, a.high if np.isfinite(a.high) else None, None, None)
    if a.kind is ActivationKind.LEAKY_RELU:
        return None, None, a.alpha, None
    if a.kind is ActivationKind.HARD_SIGMOID:
        return 0.0, 1.0, a.alpha, a.beta
    if a.kind is ActivationKind.HARD_SWISH:
        return 0.0, 1.0, 1.0 / 6.0, 0.5
    return None, None, None, None


def is_mean(graph: Graph, index: int) -> bool:
    """Whether a pooling node averages one whole map, which `vavg` does directly."""
    node = graph.nodes[index]
    if not isinstance(node.operation, Pool) or node.operation.method != "avg":
        return False
    source = graph.nodes[int(node.inputs[0].sources[0])]
    return (
        node.operation.window.kernel == (source.height, source.width)
        and not any(node.operation.window.pads)
        and node.height == node.width == 1
        and min(source.height, source.width) > 1  # one row or column: additions are cheaper
    )


def _divisors(graph: Graph, index: int, pool: Pool) -> list[int]:
    """Numbers of elements (other than 1) that some position of an averaging node averages."""
    node = graph.nodes[index]
    if pool.method != "avg" or is_mean(graph, index):
        return []
    source = graph.nodes[int(node.inputs[0].sources[0])]
    rows, columns = averaged(pool, (node.height, node.width), (source.height, source.width))
    return sorted({int(n) for n in np.outer(np.unique(rows), np.unique(columns)).ravel()} - {0, 1})


def fit_lrn(lrn: Lrn, largest: float) -> list[float]:
    """Coefficients, highest power first, of a polynomial for (bias + alpha / size * s) ** -beta on [0, largest].

    Chebyshev nodes; the degree grows until the relative error is below 1e-5 (at most 12).
    """
    if lrn.size < 2:
        raise ModelError(f"LRN over {lrn.size} channel(s): expected a size of at least 2")
    scale = max(largest, 1e-6)
    probe = np.linspace(0.0, scale, 2001)

    def exact(s: np.ndarray) -> np.ndarray:
        return np.asarray((lrn.bias + lrn.alpha / lrn.size * s) ** -lrn.beta)

    for degree in range(1, 13):
        nodes = (np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)) + 1) / 2
        fitted = np.polyfit(nodes, exact(nodes * scale), degree)
        error = np.max(np.abs(np.polyval(fitted, probe / scale) / exact(probe) - 1))
        if error < 1e-5:
            break
    return [float(c / scale ** (degree - k)) for k, c in enumerate(fitted)]
