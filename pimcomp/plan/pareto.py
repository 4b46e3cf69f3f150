"""Which points no other point beats: the front, and its knee."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float64]


def costs(values: Sequence[Sequence[float]], maximize: Sequence[bool]) -> FloatMatrix:
    """float64[points, objectives] with every objective turned so that less is better."""
    sign = np.where(np.asarray(maximize, dtype=bool), -1.0, 1.0)
    return np.asarray(values, dtype=np.float64).reshape(-1, len(sign)) * sign


def non_dominated(cost: FloatMatrix) -> npt.NDArray[np.bool_]:
    """bool[points]: no point is as good in all objectives and better in one. Of equal points the first is kept."""
    front, members = np.zeros(len(cost), dtype=bool), np.empty_like(cost)
    size = 0
    for i in np.lexsort(cost.T[::-1]):  # what beats or equals a point comes before it
        if not (members[:size] <= cost[i]).all(axis=1).any():
            members[size], front[i] = cost[i], True
            size += 1
    return front


def knee(cost: FloatMatrix) -> int:
    """Index of the point of a front closest to its ideal corner, objectives scaled to the front's range.

    Latencies and crossbar counts span decades, so distances are taken between logarithms; objectives that are not
    positive (maximised ones) are scaled linearly. Raises ValueError for an empty front.
    """
    if not len(cost):
        raise ValueError("no points")
    scaled = np.empty_like(cost)
    for j, column in enumerate(cost.T):
        c = np.log(column) if (column > 0).all() else column
        spread = c.max() - c.min()
        scaled[:, j] = (c - c.min()) / spread if spread > 0 else 0.0
    return int(np.argmin((scaled**2).sum(axis=1)))
