"""How far estimates were off where a timeline was made: what the others may hope for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.plan.pareto import FloatMatrix


def logs(cost: FloatMatrix | Sequence[Sequence[float]]) -> FloatMatrix:
    """Objectives span decades; maximised ones come negated."""
    values = np.asarray(cost, np.float64)
    return np.asarray(np.sign(values) * np.log(np.maximum(np.abs(values), 1e-12)), np.float64)


def most_favourable(errors: FloatMatrix, kind: npt.NDArray[np.int64], kinds: int) -> FloatMatrix:
    """float64[kinds, objectives]: the least error of each kind; of all where a kind has none; 0 where there is none.

    errors: log(timeline / estimate), float64[checked, objectives]. kind: int64[checked], of solver and pipeline.
    """
    if not len(errors):
        return np.zeros((kinds, errors.shape[1]))
    own = [errors[kind == k] for k in range(kinds)]
    return np.array([(rows if len(rows) else errors).min(axis=0) for rows in own])
