"""manifest.yaml: how to make the results again. No times, hosts or places."""

import dataclasses
import shlex
from pathlib import PurePath

import yaml

from pimdse.foundation.versions import versions
from pimdse.report.findings import Findings
from spaces.space import Choice, FloatRange, IntRange, Parameter


def portable(path: str) -> str:
    """A path as others can read it: relative ones as they are, absolute ones by their name alone."""
    return PurePath(path).name if PurePath(path).is_absolute() else path


def sweep_command(findings: Findings) -> str:
    """The command line that continues or repeats the sweep."""
    sweep = findings.sweep
    words = ["pimdse", "sweep", portable(sweep.file), "--trials", str(sweep.trials)]
    if not findings.enumeration:  # there they decide nothing
        words += ["--jobs", str(sweep.jobs), "--sampler", sweep.sampler]
    words += ["--seed", str(sweep.seed), "--objectives", ",".join(sweep.objectives)]
    for limit in sweep.limits:
        for sign, number in (("<=", limit.high), (">=", limit.low)):
            exact = repr(number).removesuffix(".0")
            words += ["--limit", f"{limit.metric}{sign}{exact}"] if number is not None else []
    # one network may come from the command line, several only from the file
    return shlex.join(words + (["--model", portable(sweep.networks[0].model)] if len(sweep.networks) == 1 else []))


def manifest_yaml(findings: Findings) -> str:
    """The manifest of a sweep."""
    sweep = findings.sweep
    limited = [t.number for t in findings.trials if t.candidate.metrics and t.candidate.metrics.time_limited]
    content = {
        "command": sweep_command(findings),
        "seed": sweep.seed,
        "versions": versions(),
        "networks": [{"model": portable(n.model), "weights": n.weights or "from the model"} for n in sweep.networks],
        "networks_sha256": findings.content.get("network", ""),
        "settings": {
            "objectives": list(sweep.objectives),
            "solvers": list(sweep.solvers),
            "pipelines": [str(p) for p in sweep.pipelines],
            "limits": {m.metric: {"min": m.low, "max": m.high} for m in sweep.limits},
            "combine": sweep.combine,
            "fidelity": str(sweep.fidelity),
            "timed": sweep.timed,
            "sampler": sweep.sampler,
            "trials": sweep.trials,
            "enumerate": sweep.enumerate,
            **({} if findings.enumeration else {"jobs": sweep.jobs}),
            "time_limit_s": sweep.time_limit_s,
            "space": {p.name: _range(p) for p in sweep.parameters},
        },
        "chip": sweep.arch.described(),
        "results": {
            "enumeration": dataclasses.asdict(findings.enumeration) if findings.enumeration else None,
            "certificate": dataclasses.asdict(findings.certificate) if findings.certificate else None,
            **findings.counts,
            "front": [t.number for t in findings.front],
            "knee": findings.knee.number if findings.knee else None,
            "time_limited": limited,
        },
        "reproducible": _promise(findings, limited),
    }
    return yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)


def _range(parameter: Parameter) -> object:
    match parameter:
        case Choice():
            return list(parameter.values)
        case IntRange():
            return {"low": parameter.low, "high": parameter.high, "step": parameter.step, "log": parameter.log}
        case FloatRange():
            return {"low": parameter.low, "high": parameter.high, "log": parameter.log}


def _promise(findings: Findings, limited: list[int]) -> str:
    if limited:
        return "no: a wall-clock limit decided the plans of the trials listed under time_limited"
    if findings.sweep.jobs > 1 and findings.enumeration is None:
        return "each point: yes; which points are tried depends on the order in which parallel trials finish"
    return "yes"
