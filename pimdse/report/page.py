"""report.html: the interactive page. One file, no network: the libraries that draw and the data are inside."""

import html
import json
import re
from dataclasses import asdict
from importlib.resources import files

from pimcomp.timeline.energy import not_counted
from pimdse.compiling.summary import not_counted_text
from pimdse.display.units import SCALES, figure_text, time_text
from pimdse.foundation.versions import versions
from pimdse.report.claims import claims
from pimdse.report.findings import Findings
from pimdse.report.manifest import portable, sweep_command
from pimdse.report.tables import trial_row
from pimdse.report.whatif import whatif
from spaces.candidate import Trial
from spaces.metrics import METRICS, Metric, metric
from spaces.search.importance import importance
from spaces.space import Fidelity

_LIBRARIES = ("d3", "plot")


def report_html(findings: Findings, folder_name: str) -> str:
    """The page; `folder_name` is the results folder as commands should name it."""
    parts = {
        "STYLE": _part("page.css"),
        "TITLE": html.escape(f"{findings.sweep.name}: {portable(findings.sweep.model)}"),
        "SUMMARY": html.escape(re.sub(r"(?<=\d )u(?=[sJW]\b)", "µ", summary_sentence(findings))),
        "CLAIMS": "".join(f"<li>{_with_code(claim)}</li>" for claim in claims(findings)),
        "DATA": _script_json(page_data(findings, folder_name)),
        "LIBRARIES": "".join(
            f"/*\n{_part(f'vendor/{x}.LICENSE')}*/\n{_part(f'vendor/{x}.min.js')}" for x in _LIBRARIES
        ),
        "SCRIPT": "".join(_part(f"{x}.js") for x in ("page", "charts", "inside", "compare", "export")) + "start();\n",
    }
    return re.sub("__([A-Z]+)__", lambda place: parts[place[1]], _part("page.html"))


def _with_code(text: str) -> str:
    return re.sub("`(.*?)`", r"<code>\1</code>", html.escape(text))


def _part(name: str) -> str:
    return files("pimdse.report").joinpath(name).read_text(encoding="utf-8")


def page_data(findings: Findings, folder_name: str) -> dict[str, object]:
    """Everything the page shows, as plain values."""
    sweep = findings.sweep
    front = [t.number for t in findings.front]
    return {
        "trials": [trial_row(t) for t in findings.trials],
        "front": front,
        "knee": findings.knee.number if findings.knee else None,
        "published": findings.published.number if findings.published else None,
        "objectives": list(sweep.objectives),
        "parameters": sorted(p.name for p in sweep.parameters),
        "solvers": list(sweep.solvers),
        "pipelines": [str(p) for p in sweep.pipelines],
        "metrics": [asdict(m) for m in _metrics(findings)],
        "fidelity": str(sweep.fidelity),
        "timed": [t.number for t in findings.timed],
        "skipped": len(findings.skipped),
        "importance": importance(sweep, findings.comparable),
        "proofs": [{"trial": number, **asdict(proof)} for (number, _), proof in findings.proofs.items()],
        "inside": [{"trial": t.number, **asdict(i)} for t in _looked_into(findings) for i in t.candidate.inside],
        "whatif": whatif(findings),
        "scales": SCALES,
        "reasons": findings.reason_rows,
        "hypervolume": list(findings.hypervolume),
        "duplicates": findings.duplicates,
        "enumeration": asdict(findings.enumeration) if findings.enumeration else None,
        "command": sweep_command(findings),
        "folder": folder_name,
        "versions": versions(),
        "network": findings.content.get("network", ""),
        "chip": sweep.arch.name,
    }


def _looked_into(findings: Findings) -> list[Trial]:
    """The front, and the chip as published."""
    own = [findings.published] if findings.published is not None else []
    return sorted({t.number: t for t in (*findings.front, *own)}.values(), key=lambda t: t.number)


def _metrics(findings: Findings) -> list[Metric]:
    """Metrics that have figures: all of them, and those objectives that are of one network."""
    known = [t.candidate.metrics for t in findings.timed if t.candidate.metrics]
    wanted = findings.sweep.objectives
    found = [m for m in METRICS if m.name in wanted or any(figures.value(m.name) > 0 for figures in known)]
    return found + [metric(name) for name in wanted if "@" in name]


def summary_sentence(findings: Findings) -> str:
    """The outcome in one or two sentences."""
    sweep = findings.sweep
    count = f"{len(findings.feasible)} of {len(findings.trials)} candidates are feasible"
    if (whole := findings.enumeration) is not None:
        count = f"All {whole.points:,} points of the space are estimated and {whole.feasible:,} are feasible"
    if sweep.fidelity is Fidelity.COST:
        count += f", the best {len(findings.timed)} are timed"
    best, knee = findings.best(sweep.objectives[0]), findings.knee
    if best is None or knee is None or best.candidate.metrics is None or knee.candidate.metrics is None:
        return f"{count}: there is no front. The reasons are listed below."
    first = metric(sweep.objectives[0])
    figure = best.candidate.value(first.name)
    shown = figure_text(figure, first.unit)
    return (
        f"{count}, {len(findings.front)} of them on the Pareto front. Best {first.title}: {shown} with "
        f"{best.candidate.metrics.crossbars:,} crossbars (trial {best.number}); the knee is trial {knee.number}: "
        f"{time_text(knee.candidate.metrics.latency_ns)} with {knee.candidate.metrics.crossbars:,} crossbars."
        f"{_proven(findings)}{_without(findings)}"
    )


def _without(findings: Findings) -> str:
    """What the energies leave out on some chip of the sweep."""
    chips = (findings.sweep.arch, *findings.sweep.other_chips)
    text = not_counted_text(tuple(dict.fromkeys(part for chip in chips for part in not_counted(chip))))
    return f" {text[0].upper()}{text[1:]}." if text else ""


def _proven(findings: Findings) -> str:
    wrong = sorted({n for (n, _), proof in findings.proofs.items() if proof.wrong})
    unknown = sorted({n for (n, _), proof in findings.proofs.items() if not proof.executed} - set(wrong))
    right = sorted({n for (n, _), proof in findings.proofs.items() if proof.passed} - {*wrong, *unknown})
    parts = [f" Executed and right: trial {', '.join(map(str, right))}."] if right else []
    parts += [f" Executed and WRONG: trial {', '.join(map(str, wrong))}."] if wrong else []
    for number, why in ((n, p.reason) for (n, _), p in findings.proofs.items() if n in unknown and not p.executed):
        parts.append(f" Not executed: trial {number} ({why.rstrip('.')}).")
    return "".join(parts)


def _script_json(data: dict[str, object]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":"), sort_keys=True, allow_nan=False).replace("</", "<\\/")
