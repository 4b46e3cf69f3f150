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
    front, steps = cost[:0], [0.0]
    for row in cost:
        if (front <= row).all(axis=1).any():
            steps.append(steps[-1])
        else:
            front = np.vstack([front[~(row <= front).all(axis=1)], row])
            steps.append(hypervolume(front, reference))
    return steps[1:]


def gains(cost: FloatMatrix, others: FloatMatrix, reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64[others]: by how much each of `others` alone would raise the hypervolume of `cost`; 2 or 3 objectives.

    Slab by slab of the last objective: what a point gains is the area up to the reference that no member covers.
    """
    points = np.minimum(np.vstack([cost, others]), reference)
    if points.shape[1] == 2:
        points, reference = np.insert(points, 2, 0.0, axis=1), np.append(reference, 1.0)
    axes = [np.unique(np.append(column, edge)) for column, edge in zip(points.T, reference, strict=True)]
    x, y, z = (np.searchsorted(axis, column) for axis, column in zip(axes, points.T, strict=True))
    cells = np.multiply.outer(*(np.diff(axis, append=axis[-1]) for axis in axes[:2]))
    own, found = len(cost), np.zeros(len(others))
    for slab, thickness in enumerate(np.diff(axes[2])):
        covered, below = np.zeros(cells.shape, np.bool_), z <= slab
        covered[x[:own][below[:own]], y[:own][below[:own]]] = True
        covered = np.logical_or.accumulate(np.logical_or.accumulate(covered, axis=0), axis=1)
        free = np.where(covered, 0.0, cells)[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
        found += np.where(below[own:], thickness * free[x[own:], y[own:]], 0.0)
    return found
