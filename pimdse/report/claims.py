"""Which claim a sweep supports: whether a better point may exist, and how many cannot be better."""

import numpy as np

from pimdse.report.findings import Findings
from spaces.metrics import metric
from spaces.space import Fidelity


def claims(findings: Findings) -> tuple[str, ...]:
    """Some sentences: what holds by the estimate, what is proven, what stays open. Empty without a front."""
    sweep, found = findings.sweep, findings.certificate
    if not findings.front:
        return ()
    if found is None:
        return (_of_a_sample(findings),)
    spent = sum(t.candidate.fidelity is Fidelity.TIMELINE for t in findings.trials)
    if not found.promising:
        first = (
            "No point of this space is better by the estimate, even if it errs as favourably as at best in the "
            f"{spent:,} that were timed."
        )
    else:
        left = f"{_points(found.promising)} may be better if the estimate errs as favourably as it did at best"
        first = (
            f"All {spent:,} timelines are spent, and {left}: a larger `timed` goes on."
            if spent >= sweep.timed
            else f"{left}: the sweep is not finished, or they were not kept as trials (a larger --trials does)."
        )
    unfit = f"{found.unfit:,} hold no program; " if found.unfit else ""
    out = f"{found.proven:,}" if found.proven else "none"
    second = (
        f"Proven bounds rule out {out} of the {found.points:,} points, whatever their programs; {unfit}"
        f"for the other {found.open:,} only the estimate speaks."
    )
    unknown = " and ".join(metric(name).title for name in sweep.objectives if _nothing_proven(findings, name))
    if unknown:
        second += f" No bound is proven for {unknown}."
    defects = f"{_points(found.defects)} ended in a defect and are not judged." if found.defects else ""
    return tuple(text for text in (f"{first}{_errors(findings)}", second, defects) if text)


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count:,} points"


def _errors(findings: Findings) -> str:
    """How far the estimate was off, as a further sentence where it can be said."""
    name = findings.sweep.objectives[0]
    guess = {t.number: t.candidate.value(name) for t in findings.searched if t.candidate.feasible}
    errors = [100 * (t.candidate.value(name) / guess[t.number] - 1) for t in findings.timed if guess.get(t.number)]
    if not errors or not any(errors):
        return ""
    return f" A program's {metric(name).title} was {min(errors):+.0f} to {max(errors):+.0f} % off its estimate."


def _nothing_proven(findings: Findings, name: str) -> bool:
    best = findings.whole.best[name] if findings.whole is not None else np.zeros(1)
    return bool(not (np.isfinite(best) & (best != 0)).any())


def _of_a_sample(findings: Findings) -> str:
    sweep, looked_at = findings.sweep, len(findings.trials) + findings.duplicates
    if sweep.size is None:
        return f"{_points(looked_at)} of a continuous space were looked at: others may be better."
    if looked_at >= sweep.size and sweep.fidelity is Fidelity.TIMELINE and not findings.errors:
        return f"All {sweep.size:,} points of the space were compiled: no other is better with these solvers."
    return f"{_points(looked_at)} of {sweep.size:,} were looked at: others may be better."
