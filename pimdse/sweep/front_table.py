"""The front of a sweep in the terminal."""

from pathlib import Path

from rich.console import Console

from pimdse.display.output import plain, wide_table
from pimdse.display.units import figure_text
from pimdse.report.findings import Findings, parameter_names, parameters
from spaces.metrics import metric

_MAX_ROWS = 20
_FIGURES = ("latency_ns", "period_ns", "energy_pj", "avg_power_mw", "crossbars")  # and the objectives


def front_table(console: Console, findings: Findings, summary: str, folder: Path) -> None:
    """Summary, the front's points, the reasons of the infeasible ones, and what to do next."""
    plain(console, summary)
    if findings.front:
        header, rows = front_rows(findings)
        wide_table(console, header, rows, numeric=[h for h in header if h not in ("pipeline", "solver")])
    if len(findings.front) > _MAX_ROWS:
        plain(console, f"{len(findings.front) - _MAX_ROWS} more are in front.csv", "dim")
    for resource, count, example in findings.reasons:
        plain(console, f"{count} x {resource}: {example}", "dim")
    plain(console, f"report: {folder / 'report.html'}   next: pimdse pick {folder}")


def front_rows(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """Headings, and the first designs of the front as people read them."""
    names, figures = parameter_names(findings.sweep), list(dict.fromkeys([*_FIGURES, *findings.sweep.objectives]))
    header = ["trial", "pipeline", "solver", *(metric(f).short for f in figures), *(n.replace("_", " ") for n in names)]
    header += ["segments", "reload"] if findings.sweep.segments else []
    knee = findings.knee.number if findings.knee else None
    rows = []
    for trial in findings.front[:_MAX_ROWS]:
        candidate, values = trial.candidate, parameters(trial.candidate)
        chosen = [f"{trial.number}{' *' if trial.number == knee else ''}", str(candidate.point.pipeline)]
        shown = [_text(candidate.value(name), metric(name).unit) for name in figures]
        rows.append([*chosen, candidate.point.solver, *shown, *(str(values[n]) for n in names)])
        if findings.sweep.segments and (found := candidate.metrics) is not None:
            rows[-1] += [f"{found.segments}", figure_text(found.reload_ns, "ns")]
    return header, rows


def _text(figure: float, unit: str) -> str:
    return f"{figure:,.0f}" if unit == "crossbars" else figure_text(figure, unit)
