"""Which stored candidate is the best within limits, and why."""

from pimcomp.errors import ConfigError, PimdseError
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline
from pimdse.units import time_text
from spaces.metrics import METRICS, Metrics, metric
from spaces.search.study import Stored, Trial


def choose(
    stored: Stored, *, objective: str, max_crossbars: int | None, pipeline: str | None, trial: int | None
) -> Trial:
    """The feasible trial best in `objective` within the limits, or the one named by `trial`.

    Ties go to fewer crossbars, then to less latency, then to the earlier trial. Raises ConfigError for unknown names,
    PimdseError if nothing is left, saying what would be.
    """
    if objective not in (m.name for m in METRICS):
        raise ConfigError("--objective", f"expected one of {', '.join(m.name for m in METRICS)}, found {objective!r}")
    if pipeline is not None and pipeline not in tuple(Pipeline):
        raise ConfigError("--pipeline", f"expected {' or '.join(Pipeline)}, found {pipeline!r}")
    feasible = [t for t in stored.trials if t.candidate.feasible and t.duplicate_of is None]
    if trial is not None:
        return _named(stored, trial)
    within = [
        t
        for t in feasible
        if (max_crossbars is None or figures(t).crossbars <= max_crossbars)
        and (pipeline is None or t.candidate.point.pipeline == pipeline)
    ]
    if not within:
        raise PimdseError(_nothing(feasible, max_crossbars, pipeline))
    sign = -1.0 if metric(objective).maximize else 1.0
    return min(
        within,
        key=lambda t: (sign * figures(t).value(objective), figures(t).crossbars, figures(t).latency_ns, t.number),
    )


def figures(trial: Trial) -> Metrics:
    """The figures of a feasible trial."""
    if trial.candidate.metrics is None:
        raise ValueError(f"trial {trial.number} has no figures")
    return trial.candidate.metrics


def _named(stored: Stored, number: int) -> Trial:
    for trial in stored.trials:
        if trial.number == number:
            if trial.candidate.metrics is None:
                raise PimdseError(f"trial {number} is not feasible: {trial.candidate.reason}")
            return trial
    raise PimdseError(f"--trial {number}: no finished trial has this number; there are {len(stored.trials)}")


def _nothing(feasible: list[Trial], max_crossbars: int | None, pipeline: str | None) -> str:
    if not feasible:
        return "no stored candidate is feasible; `pimdse report` shows the reasons"
    smallest = min(feasible, key=lambda t: figures(t).crossbars)
    kinds = sorted({str(t.candidate.point.pipeline) for t in feasible})
    asked = [f"--max-crossbars {max_crossbars}"] if max_crossbars is not None else []
    asked += [f"--pipeline {pipeline}"] if pipeline is not None else []
    return (
        f"no feasible candidate within {' '.join(asked)}: the smallest has {figures(smallest).crossbars} crossbars "
        f"(trial {smallest.number}), pipelines: {', '.join(kinds)}"
    )


def explain(stored: Stored, chosen: Trial, objective: str, *, given: bool) -> str:
    """Why this one, in a sentence."""
    found = figures(chosen)
    point = chosen.candidate.point
    chip = ", ".join(f"{name}={value}" for name, value in point.parameters)
    what = f"trial {chosen.number}: {chip}; {point.solver}, {point.pipeline}"
    if given:
        return what
    feasible = sum(t.candidate.feasible and t.duplicate_of is None for t in stored.trials)
    value = time_text(found.value(objective)) if metric(objective).unit == "ns" else f"{found.value(objective):.6g}"
    return f"{what}; best {metric(objective).title} ({value}) within the limits, of {feasible} feasible candidates"


def changed_figures(compiled: Compiled, chosen: Trial) -> str:
    """How the figures of a new compile differ from the stored ones; empty if they are the same."""
    from spaces.evaluate import figures as figures_of

    stored, now = figures(chosen), figures_of(compiled)
    names = ("latency_ns", "period_ns", "energy_pj", "crossbars_used")
    changed = [(n, stored.value(n), now.value(n)) for n in names if stored.value(n) != now.value(n)]
    return ", ".join(f"{name} {before:.6g}, now {after:.6g}" for name, before, after in changed)
