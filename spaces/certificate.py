"""What is certain, and what is not, about all points of a space beside those that were timed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.plan.pareto import FloatMatrix
from spaces.candidate import Candidate, Verdict, objective_costs
from spaces.estimate_errors import logs, most_favourable
from spaces.metrics import metric
from spaces.whole_space import WholeSpace

Mask = npt.NDArray[np.bool_]
_SAME = 1e-9  # closer figures are equal: shares of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Every point of a space counted once, against the front of what was timed: points = timed + unfit + proven + open.

    timed: have a program with a timeline, or the same content as one that has. unfit: have no program: no such chip, or
    the network does not fit it with this solver. proven: no program of theirs can extend the front, or keep the limits:
    by proven bounds, a timed design is as good in every objective. open: a program better than its estimate could
    extend the front. promising: of these, the ones whose estimates extend it, if they err as favourably as the most
    favourable one that was checked, of the same solver and pipeline. defects: of the open ones, points that were not
    judged because of a defect.
    """

    points: int
    timed: int
    unfit: int
    proven: int
    open: int
    promising: int
    defects: int


def certify(whole: WholeSpace, timed: Sequence[Candidate]) -> Certificate:
    """Count the points of a space. timed: all candidates with a timeline, infeasible ones too."""
    objectives = whole.sweep.objectives
    rows = np.array([whole.place(c.point) for c in timed], np.int64)
    done = np.isin(whole.first, whole.first[rows])
    defect = whole.verdict == tuple(Verdict).index(Verdict.ERROR)
    judged = ~np.isnan(whole.best[objectives[0]])
    unfit = ~judged & ~defect & ~done
    front = np.array([objective_costs(c, objectives) for c in timed if c.feasible]).reshape(-1, len(objectives))
    proven = judged & ~done & (_covered(front, _costs(whole.best, objectives)) | _breaks_limits(whole))
    feasible = whole.verdict == tuple(Verdict).index(Verdict.FEASIBLE)
    open_ = ~(done | unfit | proven)
    hopes = _hopes(whole, timed, rows)
    return Certificate(
        points=len(done),
        timed=int(done.sum()),
        unfit=int(unfit.sum()),
        proven=int(proven.sum()),
        open=int(open_.sum()),
        promising=int((open_ & feasible & ~_covered(logs(front), hopes + _SAME)).sum()),
        defects=int((open_ & defect).sum()),
    )


def _costs(columns: dict[str, npt.NDArray[np.float64]], objectives: Sequence[str]) -> FloatMatrix:
    """float64[points, objectives], less is better."""
    return np.column_stack([-columns[name] if metric(name).maximize else columns[name] for name in objectives])


def _covered(front: FloatMatrix, cost: FloatMatrix) -> Mask:
    """bool[points]: a member of the front is as good in every objective."""
    found = np.zeros(len(cost), np.bool_)
    for member in front:
        found |= (member <= cost).all(axis=1)
    return found


def _breaks_limits(whole: WholeSpace) -> Mask:
    """Points whose best figures break a limit: then all of their programs do."""
    broken = np.zeros(len(whole.verdict), np.bool_)
    for limit in whole.sweep.limits:
        best = whole.best.get(limit.metric)
        if best is not None and metric(limit.metric).maximize:
            broken |= best < (-np.inf if limit.low is None else limit.low)
        elif best is not None:
            broken |= best > (np.inf if limit.high is None else limit.high)
    return broken


def _hopes(whole: WholeSpace, timed: Sequence[Candidate], rows: npt.NDArray[np.int64]) -> FloatMatrix:
    """Logarithms of the estimates, each with the most favourable error of its solver and pipeline (else: of all)."""
    objectives = whole.sweep.objectives
    guesses = logs(_costs(whole.figures, objectives))
    checked = [i for i, c in enumerate(timed) if c.feasible]
    found = logs([objective_costs(timed[i], objectives) for i in checked]).reshape(-1, len(objectives))
    of = whole.kind
    shift = most_favourable(found - guesses[rows[checked]], of[rows[checked]], int(of.max()) + 1)
    return np.asarray(guesses + shift[of], np.float64)
