"""Fronts, knees and volumes against their definitions.

Covers: /pimcomp/plan/pareto, hypervolume.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.plan.pareto import costs, knee, non_dominated
from spaces.hypervolume import gains, history, hypervolume

_POINTS = st.integers(2, 3).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 6), min_size=n, max_size=n), min_size=1, max_size=12)
)


@given(_POINTS)
def test_front_is_exactly_what_nothing_dominates(points: list[list[int]]) -> None:
    cost = np.array(points, dtype=float)
    front = non_dominated(cost)
    for i, row in enumerate(cost):
        dominated = any(bool((other <= row).all()) and bool((other < row).any()) for other in cost)
        first_of_equals = not any(np.array_equal(cost[j], row) for j in range(i))
        assert front[i] == (not dominated and first_of_equals)


@given(_POINTS)
def test_hypervolume_counts_the_unit_cells_that_a_point_dominates(points: list[list[int]]) -> None:
    cost = np.array(points, dtype=float)
    reference = np.full(cost.shape[1], 6.0)
    cells = np.stack(np.meshgrid(*[np.arange(6)] * cost.shape[1], indexing="ij"), axis=-1).reshape(-1, cost.shape[1])
    dominated = int(np.count_nonzero(np.any(np.all(cost[None, :, :] <= cells[:, None, :], axis=2), axis=1)))
    assert hypervolume(cost, reference) == pytest.approx(dominated)
    assert hypervolume(cost[non_dominated(cost)], reference) == pytest.approx(dominated)


def test_history_never_falls_and_ends_at_the_whole_volume() -> None:
    cost = np.random.default_rng(1).random((20, 2))
    steps = history(cost, np.ones(2))
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(steps))
    assert steps[-1] == pytest.approx(hypervolume(cost, np.ones(2)))


@given(_POINTS)
def test_a_point_gains_what_the_volume_grows_by(points: list[list[int]]) -> None:
    cost, reference = np.array(points, dtype=float), np.full(len(points[0]), 4.5)
    half = len(cost) // 2
    grown = [hypervolume(np.vstack([cost[:half], row]), reference) for row in cost[half:]]
    expected = np.array(grown) - hypervolume(cost[:half], reference)
    assert gains(cost[:half], cost[half:], reference) == pytest.approx(expected)


def test_maximised_objectives_are_turned_around() -> None:
    cost = costs([[1, 10], [2, 20], [2, 10]], [False, True])
    assert non_dominated(cost).tolist() == [True, True, False]


def test_knee_is_the_balanced_point() -> None:
    assert knee(np.array([[1e3, 1e5], [1e4, 1e4 / 2], [1e6, 1e3]])) == 1
    with pytest.raises(ValueError, match="no points"):
        knee(np.empty((0, 2)))
