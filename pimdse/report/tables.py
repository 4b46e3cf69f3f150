"""front.csv and trials.csv."""

import csv
import io

from pimdse.report.findings import Findings, parameter_names, parameters
from spaces.candidate import Trial
from spaces.metrics import METRIC_FIELDS, METRICS, OF_THE_CHIP
from spaces.space import Sweep

# What differs between the networks of one chip.
PER_NETWORK = tuple(m.name for m in METRICS if m.name not in OF_THE_CHIP)


def front_csv(findings: Findings) -> str:
    """One line per point of the front, by the first objective; `knee` marks the balanced one."""
    head = ("trial", *parameter_names(findings.sweep), "solver", "pipeline", *METRIC_FIELDS)
    names = (*head, *network_fields(findings.sweep), "knee", "verified")
    knee = findings.knee.number if findings.knee else None
    rows = [{**trial_row(t), "knee": t.number == knee, "verified": verified(findings, t)} for t in findings.front]
    return _csv(names, rows)


def verified(findings: Findings, trial: Trial) -> str:
    """ "yes" if the trial's programs were executed for every network and right, "no" if one was wrong, else nothing."""
    proofs = [findings.proofs.get((trial.number, n.label)) for n in findings.sweep.networks]
    if any(p is not None and p.wrong for p in proofs):
        return "no"
    return "yes" if all(p is not None and p.passed for p in proofs) else ""


def network_fields(sweep: Sweep) -> tuple[str, ...]:
    """Columns of figures per network, where there are several."""
    if len(sweep.networks) == 1:
        return ()
    return tuple(f"{name}@{n.label}" for n in sweep.networks for name in PER_NETWORK)


def trials_csv(findings: Findings) -> str:
    """One line per distinct trial, with its verdict and the reason of those that are not feasible."""
    head = ("trial", "verdict", "fidelity", *parameter_names(findings.sweep), "solver", "pipeline")
    front = {t.number for t in findings.front}
    rows = [{**trial_row(t), "front": t.number in front} for t in findings.trials]
    fields = (*METRIC_FIELDS, *network_fields(findings.sweep))
    return _csv((*head, *fields, "front", "resource", "reason"), rows)


def trial_row(trial: Trial) -> dict[str, object]:
    """A trial as one flat row."""
    candidate = trial.candidate
    figures: dict[str, object] = (
        dict(candidate.metrics.as_dict()) if candidate.metrics else {"crossbars": candidate.crossbars}
    )
    for network, own in candidate.by_network:
        figures |= {f"{name}@{network}": getattr(own, name) for name in PER_NETWORK}
    return {
        "trial": trial.number,
        "verdict": str(candidate.verdict),
        "fidelity": str(candidate.fidelity),
        **parameters(candidate),
        "solver": candidate.point.solver,
        "pipeline": str(candidate.point.pipeline),
        **figures,
        "resource": candidate.resource,
        "reason": candidate.reason,
    }


def _csv(names: tuple[str, ...], rows: list[dict[str, object]]) -> str:
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
