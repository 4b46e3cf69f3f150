"""What changes when one parameter of a design does: estimates of its neighbours, where a space was judged whole."""

import math
from collections.abc import Sequence

from pimdse.report.findings import Findings
from spaces.space import Scalar

_MOST_VALUES = 25  # of a parameter, the design's own among them
_DERIVED = ("throughput_per_s", "edp_pj_ns")
_DIGITS = 5  # that are worth their bytes


def whatif(findings: Findings) -> dict[str, object] | None:
    """For the page: names of metrics, and by timed trial and parameter one row per value: the value, the trial of that
    point (None: not kept) and its estimates (None: there is no plan, or it breaks a limit). None without a whole space.
    """
    whole = findings.whole
    if whole is None:
        return None
    names = [name for name in whole.figures if name not in _DERIVED]
    trial_at = {whole.place(t.candidate.point): t.number for t in findings.trials}

    def row(value: Scalar, at: int) -> list[object]:
        figures = [_short(float(whole.figures[name][at])) if whole.verdict[at] == 0 else None for name in names]
        return [value, trial_at.get(at), *figures]

    rows = {}
    for trial in findings.timed:
        own = trial.candidate.point.as_dict()
        around = whole.neighbours(trial.candidate.point)
        rows[str(trial.number)] = {
            name: [row(value, at) for value, at in _some(values, own[name])]
            for name, values in around.items()
            if len(values) > 1
        }
    return {"metrics": names, "rows": rows}


def _some(values: Sequence[tuple[Scalar, int]], own: Scalar) -> list[tuple[Scalar, int]]:
    """Evenly spread values, the first, the last and the own one always among them."""
    step = (len(values) - 1) / (_MOST_VALUES - 1)
    places = {round(i * step) for i in range(_MOST_VALUES)} if step > 1 else set(range(len(values)))
    return [pair for i, pair in enumerate(values) if i in places or pair[0] == own]


def _short(figure: float) -> float | int | None:
    if math.isnan(figure):
        return None
    short = float(f"{figure:.{_DIGITS}g}")
    return int(short) if short.is_integer() else short
