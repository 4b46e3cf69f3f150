"""The front of a sweep in the terminal."""

from pathlib import Path

from rich.console import Console

from pimdse.display.output import plain, wide_table
from pimdse.display.units import energy_text, power_text, time_text
from pimdse.report.findings import Findings, parameter_names, parameters
from spaces.search.study import Trial

_MAX_ROWS = 20


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
    names = parameter_names(findings.sweep)
    columns = [n.replace("_", " ") for n in names]
    header = ["trial", "pipeline", "solver", "latency", "period", "energy", "power", "crossbars", *columns]
    return header, [_row(t, findings, names) for t in findings.front[:_MAX_ROWS]]


def _row(trial: Trial, findings: Findings, names: tuple[str, ...]) -> list[str]:
    candidate = trial.candidate
    figures = candidate.metrics
    if figures is None:
        raise ValueError(f"trial {trial.number} of the front has no figures")
    mark = " *" if findings.knee and trial.number == findings.knee.number else ""
    values = parameters(candidate)
    return [
        f"{trial.number}{mark}",
        str(candidate.point.pipeline),
        candidate.point.solver,
        time_text(figures.latency_ns),
        time_text(figures.period_ns),
        energy_text(figures.energy_pj),
        power_text(figures.avg_power_mw),
        f"{figures.crossbars:,}",
        *(str(values[n]) for n in names),
    ]
