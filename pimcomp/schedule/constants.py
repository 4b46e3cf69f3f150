"""Constant vectors of a node (bias, reciprocals, activation and LRN coefficients) and its clip bounds."""

import math
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
    Fixed,
    FloatArray,
    Graph,
    Input,
    Lrn,
    Node,
    Normalise,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
)
from pimcomp.ir.pooling import averaged
from pimcomp.schedule.emission import finish as emit_finish
from pimcomp.schedule.emission.finish import Finish
from pimcomp.schedule.emission.reader import VectorConstants

CODES = {
    ActivationKind.RELU: emit_finish.RELU,
    ActivationKind.CLIP: emit_finish.CLIP,
    ActivationKind.LEAKY_RELU: emit_finish.LEAKY,
    ActivationKind.SIGMOID: emit_finish.SIGMOID,
    ActivationKind.TANH: emit_finish.TANH,
    ActivationKind.HARD_SIGMOID: emit_finish.HARD_SIGMOID,
    ActivationKind.HARD_SWISH: emit_finish.HARD_SWISH,
    ActivationKind.ERF: emit_finish.ERF,
    ActivationKind.GELU: emit_finish.GELU,
}

# erf(x) = tanh(x * p(x * x)), coefficients of p with the highest power first, fitted so that the largest error of GELU
# is least: erf is off by at most 2.9e-6, GELU by 5.9e-6 (for any x: the highest power is positive).
ERF_TERMS = (
    3.2244266499801487e-05, -0.000415139481645857, -0.0004968207661798351, 0.10293292855845051, 1.1283581682814243
)  # fmt: skip


ITERATED_PIXELS = 8  # of a softmax or a normalisation at a time: every core that needs them loads so many constants


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """Per node: `vectors[node]` float32 values to be loaded once per core that needs them (empty: none).

    finish, vector: offsets of constants in them. clip_values float32: bounds of vrsu/vrsl by index.
    """

    vectors: tuple[FloatArray, ...]
    finish: Finish
    vector: VectorConstants
    clip_values: FloatArray


def collect_constants(graph: Graph, element_bytes: int, ranges: dict[int, float]) -> Constants:
    """Lay out every node's constants. ranges: see `proof/calibrate.py`."""
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
            case Lrn() | Softmax() | Normalise():
                parts, terms[index] = _iteration(node, operation, ranges.get(index, 0.0))
                coefficients[index] = add(np.concatenate(parts))
            case Input() | Fixed() | Eltwise() | Standalone() | Crop() | Pick() | Product() | Turn():
                pass
            case _:
                assert_never(operation)
        divisors.append(table)
        divisor_start.append(divisor_start[-1] + len(table))
        if node.activation is not None:
            code[index] = CODES[node.activation.kind]
            low, high, alpha, beta = _activation_constants(node.activation, node.channels)
            for column, bound in ((low_of, low), (high_of, high)):
                if bound is not None:
                    column[index] = len(clips)
                    clips.append(bound)
            for column, factors in ((alpha_of, alpha), (beta_of, beta)):
                if factors is not None:
                    column[index] = add(factors)
        vectors.append(np.concatenate(values) if values else np.zeros(0, np.float32))
    finish = Finish(channels, bias, code, low_of, high_of, alpha_of, beta_of, len(ERF_TERMS))
    reciprocals = (np.array(divisor_start, dtype=np.int64), np.concatenate([*divisors, np.zeros(1, np.int64)]))
    vector = VectorConstants(*reciprocals, coefficients, terms, weights)
    return Constants(tuple(vectors), finish, vector, np.array(clips, dtype=np.float32))


def _iteration(node: Node, operation: Lrn | Softmax | Normalise, largest: float) -> tuple[list[FloatArray], int]:
    """The constants of a polynomial or an iteration, and how many terms or steps it has. largest: of the data."""
    match operation:
        case Lrn():
            fitted = fit_lrn(operation, largest)
            return [np.full(node.channels, c, np.float32) for c in fitted], len(fitted)
        case Softmax():
            factors, steps = [1.0, 1.0 / node.channels], softmax_steps(node.channels)
        case Normalise():
            factors, steps = root_terms(operation, node.channels, largest)
        case _:
            assert_never(operation)
    return [np.full(min(node.width, ITERATED_PIXELS), factor, np.float32) for factor in factors], steps


def _activation_constants(
    a: Activation, channels: int
) -> tuple[float | None, float | None, FloatArray | None, FloatArray | None]:
    """Clip bounds and constant vectors (low, high, alpha, beta) an activation needs."""

    def pixel(value: float) -> FloatArray:
        return np.full(channels, value, np.float32)

    match a.kind:
        case ActivationKind.CLIP:
            return (a.low if np.isfinite(a.low) else None, a.high if np.isfinite(a.high) else None, None, None)
        case ActivationKind.LEAKY_RELU:
            return None, None, pixel(a.alpha), None
        case ActivationKind.HARD_SIGMOID:
            return 0.0, 1.0, pixel(a.alpha), pixel(a.beta)
        case ActivationKind.HARD_SWISH:
            return 0.0, 1.0, pixel(1.0 / 6.0), pixel(0.5)
        case ActivationKind.ERF | ActivationKind.GELU:
            terms = np.array(ERF_TERMS)
            if a.kind is ActivationKind.GELU:  # x / 2 * (1 + erf(x / sqrt(2))), and (1 + tanh(y)) / 2 = sigmoid(2 y)
                terms *= 2.0 * math.sqrt(0.5) ** np.arange(2 * len(terms) - 1, 0, -2)
            return None, None, terms.astype(np.float32), None
        case ActivationKind.RELU | ActivationKind.SIGMOID | ActivationKind.TANH:
            return None, None, None, None
        case _:
            assert_never(a.kind)


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


def softmax_steps(channels: int) -> int:
    """How many factors 1 + e^(2^k), e = 1 - mean, make the reciprocal of a mean between 1 / channels and 1.

    What is left is e^(2^steps) <= exp(-2^steps / channels), below 1e-8.
    """
    return max(1, math.ceil(math.log2(18.5 * channels)))


def root_terms(operation: Normalise, channels: int, largest: float) -> tuple[list[float], int]:
    """Newton's iteration y <- y (1.5 - w y y) for the reciprocal root of 2 w, from y = 1.5: constants and steps.

    w is half of a mean square (plus epsilon) over the largest one. Constants: what makes w of a sum of squares, what
    is added, 1.5, and what makes the result of y. largest: mean square. The result is exact up to a tenth above it, and
    down to none at all: y grows by nearly 1.5 a step until it is near, then its error squares.
    """
    largest = max(largest, 1e-12) + operation.epsilon
    least = max(operation.epsilon / largest, 1e-12)
    steps = math.ceil(math.log(1 / math.sqrt(least)) / math.log(1.45)) + 5
    return [0.5 / (channels * largest), 0.5 * operation.epsilon / largest, 1.5, 1 / math.sqrt(largest)], steps


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
