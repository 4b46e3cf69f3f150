"""Attention in instructions: emitted programs compute softmax, normalisation and products as exactly as stated.

Covers: emission/reader.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from pimcomp.config import load_arch
from pimcomp.errors import CapacityError
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Graph,
    Input,
    Node,
    Normalise,
    Operation,
    Output,
    Softmax,
    whole,
)
from pimcomp.ir.plan import Pipeline
from pimcomp.schedule import ScheduleOptions
from pimcomp.schedule.constants import ERF_TERMS, root_terms
from solvers import get_solver
from tests.frontend.small_onnx import load
from tests.schedule.execute import compiled_files, largest_error
from tests.schedule.random_networks import random_chip
from tests.schedule.random_plans import RandomPlan
from tests.seeds import seeds
from tests.transformer import encoder

SHAPES = ((5, 8, 2), (3, 6, 1), (7, 12, 3), (1, 4, 2), (9, 10, 5))  # tokens, channels, heads


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", seeds(2, 10))
def test_random_plans_of_encoder_blocks_compute_what_they_mean(seed: int, pipeline: Pipeline, tmp_path: Path) -> None:
    tokens, channels, heads = SHAPES[seed % len(SHAPES)]
    graph = load(encoder(tokens, channels, heads, seed=seed, framed=seed % 2 == 1), tmp_path).graph
    try:
        compiled = compiled_files(graph, random_chip(seed), RandomPlan(), pipeline, ScheduleOptions(), tmp_path)
    except CapacityError:
        pytest.skip("the random plan does not fit the random chip")
    assert largest_error(graph, tmp_path, compiled.program.images_per_round) < 1e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 16, 197])
def test_a_softmax_is_right_to_single_precision(channels: int, tmp_path: Path) -> None:
    assert _error(Softmax(), channels, tmp_path) < 3e-6


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("channels", [2, 5, 192])
def test_a_normalisation_is_right_to_single_precision(channels: int, centred: bool, tmp_path: Path) -> None:
    assert _error(Normalise(1e-5, centred=centred), channels, tmp_path) < 1e-5


def _error(operation: Operation, channels: int, folder: Path) -> float:
    shape = (1, channels, 2, 3)
    nodes = (
        Node(name="x", operation=Input(shape), inputs=(), channels=channels, height=2, width=3),
        Node(name="y", operation=operation, inputs=(whole(0, channels),), channels=channels, height=2, width=3),
    )
    graph = Graph(name="one", nodes=nodes, outputs=(Output(name="out", view=whole(1, channels), onnx_shape=shape),))
    compiled_files(graph, load_arch("isaac"), get_solver("balance"), Pipeline.ELEMENT, ScheduleOptions(), folder)
    return largest_error(graph, folder, 1)


def test_the_error_function_is_as_exact_as_stated_for_any_argument() -> None:
    x = np.concatenate([np.linspace(0, 6, 20001), np.geomspace(6, 1e3, 1000)])
    found = np.tanh(x * np.polyval(ERF_TERMS, x * x))
    exact = np.array([math.erf(value) for value in x])
    assert np.abs(found - exact).max() < 2.9e-6
    assert np.abs(x * math.sqrt(0.5) * (found - exact)).max() < 5.9e-6
    assert Activation(kind=ActivationKind.GELU).alpha == 0.0  # the terms belong to the kind, not to a node


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 1e-1])
def test_a_root_is_right_for_any_spread_of_a_pixel_up_to_a_tenth_above_the_largest_known(epsilon: float) -> None:
    channels, largest = 6, 4.0
    (scale, offset, three_halves, factor), steps = root_terms(Normalise(epsilon, centred=True), channels, largest)
    mean_square = np.concatenate([[0.0], np.geomspace(1e-14, 1.1 * largest, 500)])
    w = (np.float32(scale) * (channels * mean_square).astype(np.float32) + np.float32(offset)).astype(np.float32)
    y = np.full_like(w, three_halves)
    for _ in range(steps - 1):
        y = y * (np.float32(three_halves) - w * y * y)
    exact = 1 / np.sqrt(mean_square + epsilon)
    assert np.abs(y * np.float32(factor) / exact - 1).max() < 1e-6
