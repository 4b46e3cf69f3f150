"""How much each parameter of a space decides each objective, as far as the trials tell."""

import numpy as np
import numpy.typing as npt

from pimdse.report.findings import Findings
from spaces.candidate import objective_costs
from spaces.search.study import Trial
from spaces.space import Fidelity, Scalar

# Values of a parameter are pooled into so many groups of about equal size.
_GROUPS = 8


def importance(findings: Findings) -> dict[str, dict[str, float]]:
    """Objective -> parameter (solver and pipeline included) -> share of the objective's variance, 0 to 1.

    One-way analysis of variance of the objective's logarithm over the values of the parameter alone, corrected for the
    share that chance explains with that many groups (epsilon squared). What parameters decide only together is nobody's
    share. All trials are of the fidelity that the search looked at.
    """
    names = ("solver", "pipeline", *(p.name for p in findings.sweep.parameters))
    trials = _comparable(findings)
    if len(trials) < 3:
        return {}
    cost = np.array([objective_costs(t.candidate, findings.sweep.objectives) for t in trials])
    logs = np.sign(cost) * np.log(np.maximum(np.abs(cost), 1e-12))
    columns = {name: _groups([t.candidate.point.as_dict()[name] for t in trials]) for name in names}
    return {
        objective: {name: _share(logs[:, j], column) for name, column in columns.items()}
        for j, objective in enumerate(findings.sweep.objectives)
    }


def _comparable(findings: Findings) -> list[Trial]:
    searched = [t for t in findings.searched if t.candidate.feasible]
    return [t for t in searched if t.candidate.fidelity is Fidelity(findings.sweep.fidelity)]


def _groups(values: list[Scalar]) -> npt.NDArray[np.int64]:
    """int64[values]: group of each value; numbers are pooled by rank when there are many."""
    distinct = sorted(set(values), key=lambda v: (isinstance(v, str), v))
    rank = {value: i for i, value in enumerate(distinct)}
    codes = np.array([rank[v] for v in values], dtype=np.int64)
    if len(distinct) <= _GROUPS or isinstance(distinct[-1], str):
        return codes
    edges = np.quantile(codes, np.linspace(0, 1, _GROUPS + 1)[1:-1])
    return np.searchsorted(edges, codes, side="right").astype(np.int64)


def _share(values: npt.NDArray[np.float64], groups: npt.NDArray[np.int64]) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    present = np.unique(groups)
    within = sum(float(((values[groups == g] - values[groups == g].mean()) ** 2).sum()) for g in present)
    free = len(values) - len(present)
    if total <= 0 or free <= 0:
        return 0.0
    chance = (len(present) - 1) * within / free
    return round(max(0.0, (total - within - chance) / total), 4)
