"""The volume a front dominates up to a reference point: one number for how good a front is (larger is better)."""

import numpy as np
import numpy.typing as npt

from pimcomp.plan.pareto import FloatMatrix


def hypervolume(cost: FloatMatrix, reference: npt.NDArray[np.float64]) -> float:
    """Volume dominated by `cost` float64[points, objectives] (less is better) below `reference`; exact for 1 to 3.

    Points that do not beat the reference in every objective contribute nothing.
    """
    points = cost[(cost < reference).all(axis=1)]
    if not len(points):
        return 0.0
    match cost.shape[1]:
        case 1:
            return float(reference[0] - points[:, 0].min())
        case 2:
            return _area(points, reference)
        case 3:
            return _volume(points, reference)
        case n:
            raise ValueError(f"hypervolume of {n} objectives is not provided")


def _area(points: FloatMatrix, reference: npt.NDArray[np.float64]) -> float:
    """Sum of the strips between consecutive points, from left to right."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    lowest = np.minimum.accumulate(ordered[:, 1])
    widths = np.diff(np.append(ordered[:, 0], reference[0]))
    return float((widths * (reference[1] - lowest)).sum())


def _volume(points: FloatMatrix, reference: npt.NDArray[np.float64]) -> float:
    """Sum of slabs between consecutive third coordinates: thickness times the area dominated so far."""
    ordered = points[np.argsort(points[:, 2], kind="stable")]
    thickness = np.diff(np.append(ordered[:, 2], reference[2]))
    return float(sum(_area(ordered[: i + 1, :2], reference[:2]) * t for i, t in enumerate(thickness) if t > 0))


def history(cost: FloatMatrix, reference: npt.NDArray[np.float64]) -> list[float]:
    """Hypervolume after each of the points, in their order."""
    return [hypervolume(cost[: i + 1], reference) for i in range(len(cost))]
