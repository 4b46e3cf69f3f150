"""Constant vectors: where they are said to be is what they should be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.errors import ModelError
from pimcomp.ir.graph import ActivationKind, Conv, Graph, Lrn, Pool, Window
from pimcomp.ir.pooling import counted_range
from pimcomp.schedule.constants import Constants, collect_constants, fit_lrn, is_mean
from tests.schedule.random_networks import random_network

ELEMENT = 2  # bytes
NETWORKS = range(12)


def collected(seed: int) -> tuple[Graph, Constants]:
    graph = random_network(seed)
    return graph, collect_constants(graph, ELEMENT, dict.fromkeys(range(len(graph.nodes)), 4.0))


def vector(constants: Constants, node: int, offset: int, channels: int) -> np.ndarray:
    """One pixel of constants at a byte offset."""
    found = constants.vectors[node][offset // ELEMENT : offset // ELEMENT + channels]
    assert len(found) == channels
    return found


@pytest.mark.parametrize("seed", NETWORKS)
def test_biases_are_where_they_are_said_to_be(seed: int) -> None:
    graph, constants = collected(seed)
    for index, node in enumerate(graph.nodes):
        offset = int(constants.finish.bias[index])
        bias = node.operation.bias if isinstance(node.operation, Conv) else None
        if bias is None or not bias.any():
            assert offset == -1
        else:
            np.testing.assert_array_equal(vector(constants, index, offset, node.channels), bias)


@pytest.mark.parametrize("seed", NETWORKS)
def test_activations_have_their_bounds_and_factors(seed: int) -> None:
    graph, constants = collected(seed)
    f = constants.finish
    for index, node in enumerate(graph.nodes):
        a = node.activation
        bounds = [None if at < 0 else float(constants.clip_values[at]) for at in (f.low[index], f.high[index])]
        if a is None or a.kind in (ActivationKind.RELU, ActivationKind.SIGMOID, ActivationKind.TANH):
            assert bounds == [None, None]
        elif a.kind is ActivationKind.CLIP:
            assert bounds == [None if np.isinf(x) else np.float32(x) for x in (a.low, a.high)]
        elif a.kind is ActivationKind.LEAKY_RELU:
            assert (vector(constants, index, int(f.alpha[index]), node.channels) == np.float32(a.alpha)).all()
        else:
            alpha, beta = (1 / 6, 0.5) if a.kind is ActivationKind.HARD_SWISH else (a.alpha, a.beta)
            assert bounds == [0.0, 1.0]
            assert (vector(constants, index, int(f.alpha[index]), node.channels) == np.float32(alpha)).all()
            assert (vector(constants, index, int(f.beta[index]), node.channels) == np.float32(beta)).all()


def divisor(pool: Pool, height: int, width: int, y: int, x: int) -> int:
    """Elements that count in the average at an output position."""
    (top, bottom), (left, right) = counted_range(pool, height, width)
    w = pool.window
    rows = sum(top <= y * w.stride[0] - w.pads[0] + tap * w.dilation[0] < bottom for tap in range(w.kernel[0]))
    columns = sum(left <= x * w.stride[1] - w.pads[1] + tap * w.dilation[1] < right for tap in range(w.kernel[1]))
    return rows * columns


@pytest.mark.parametrize("seed", NETWORKS)
def test_averages_have_the_reciprocal_of_every_count(seed: int) -> None:
    graph, constants = collected(seed)
    for index, node in enumerate(graph.nodes):
        if not isinstance(node.operation, Pool) or node.operation.method != "avg" or is_mean(graph, index):
            continue
        source = graph.nodes[int(node.inputs[0].sources[0])]
        for y in range(node.height):
            for x in range(node.width):
                n = divisor(node.operation, source.height, source.width, y, x)
                if n > 1:
                    offset = int(constants.vector.divisors[constants.vector.divisor_start[index] + n])
                    assert (vector(constants, index, offset, node.channels) == np.float32(1 / n)).all()


def test_padding_counts_where_it_is_said_to_and_an_overhang_never_does() -> None:
    window = Window(kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))
    pool = Pool(method="avg", window=window, count_padding=True, overhang=(0, 1))
    assert counted_range(pool, 5, 6) == ((-1, 6), (-1, 6))
    assert counted_range(replace(pool, count_padding=False), 5, 6) == ((0, 5), (0, 6))


@given(
    st.sampled_from((3, 5)), st.floats(1e-5, 1e-2), st.floats(0.5, 1.0), st.floats(1.0, 2.0), st.floats(0.5, 300.0)
)  # fmt: skip
def test_the_polynomial_of_lrn_is_within_a_ten_thousandth(
    size: int, alpha: float, beta: float, bias: float, largest: float
) -> None:
    lrn = Lrn(size=size, alpha=alpha, beta=beta, bias=bias)
    s = np.linspace(0.0, largest, 100)
    found = np.polyval(fit_lrn(lrn, largest), s)
    np.testing.assert_allclose(found, (bias + alpha / size * s) ** -beta, rtol=1e-4)


def test_lrn_over_one_channel_is_refused() -> None:
    with pytest.raises(ModelError, match="LRN over 1 channel"):
        fit_lrn(Lrn(size=1, alpha=1e-4, beta=0.75, bias=1.0), 1.0)
