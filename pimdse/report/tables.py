"""front.csv and trials.csv."""

import csv
import io

from pimdse.report.findings import Findings, parameter_names, parameters
from spaces.metrics import METRIC_FIELDS
from spaces.search.study import Trial

Row = dict[str, object]


def front_csv(findings: Findings) -> str:
    """One line per point of the front, by the first objective; `knee` marks the balanced one."""
    names = ("trial", *parameter_names(findings.sweep), "solver", "pipeline", *METRIC_FIELDS, "knee")
    knee = findings.knee.number if findings.knee else None
    return _csv(names, [{**trial_row(t), "knee": t.number == knee} for t in findings.front])


def trials_csv(findings: Findings) -> str:
    """One line per distinct trial, with its verdict and the reason of those that are not feasible."""
    head = ("trial", "verdict", *parameter_names(findings.sweep), "solver", "pipeline")
    front = {t.number for t in findings.front}
    rows = [{**trial_row(t), "front": t.number in front} for t in findings.trials]
    return _csv((*head, *METRIC_FIELDS, "front", "resource", "reason"), rows)


def trial_row(trial: Trial) -> Row:
    """A trial as one flat row."""
    candidate = trial.candidate
    figures: Row = dict(candidate.metrics.as_dict()) if candidate.metrics else {"crossbars": candidate.crossbars}
    return {
        "trial": trial.number,
        "verdict": str(candidate.verdict),
        **parameters(candidate),
        "solver": candidate.point.solver,
        "pipeline": str(candidate.point.pipeline),
        **figures,
        "resource": candidate.resource,
        "reason": candidate.reason,
    }


def _csv(names: tuple[str, ...], rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row.get(name)) for name in names})
    return text.getvalue()


def _cell(value: object) -> object:
    """Shortest text that reads back as the same number; truth in lower case, nothing for None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return "" if value is None else value
