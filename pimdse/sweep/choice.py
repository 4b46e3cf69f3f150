"""Which stored candidate is the best within limits, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pimcomp.errors import ConfigError, PimdseError, check_name
from pimcomp.ir.plan import Pipeline
from pimdse.display.units import figure_text
from pimdse.report.findings import Findings, front_and_knee
from pimdse.sweep.words import full_name, read_limit
from spaces.candidate import Trial
from spaces.metrics import Metrics, metric
from spaces.space import Fidelity, Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to pick: a trial by its number, the knee, or the best in `objective`; limits hold for the last two."""

    objective: str = "latency_ns"
    limits: tuple[Limit, ...] = ()
    pipeline: str | None = None
    knee: bool = False
    trial: int | None = None


def make_wish(
    *,
    objective: str | None,
    limits: Sequence[str] = (),
    max_crossbars: int | None = None,
    pipeline: str | None = None,
    knee: bool = False,
    trial: int | None = None,
) -> Wish:
    """Check the command line's words. Raises ConfigError naming the option."""
    if sum((objective is not None, knee, trial is not None)) > 1:
        raise ConfigError("--objective, --knee, --trial", "expected one of them, found more")
    if pipeline is not None:
        check_name("--pipeline", pipeline, Pipeline)
    sized = (Limit(metric="crossbars", high=max_crossbars),) if max_crossbars is not None else ()
    return Wish(
        objective=full_name(objective or "latency_ns", "--objective"),
        limits=(*sized, *map(read_limit, limits)),
        pipeline=pipeline,
        knee=knee,
        trial=trial,
    )


def choose(findings: Findings, wish: Wish) -> Trial:
    """The trial the wish describes, among those whose figures are those of a program.

    Ties go to fewer crossbars, then to less latency, then to the earlier trial. Raises PimdseError if nothing is left,
    saying what would be.
    """
    if wish.trial is not None:
        return _named(findings, wish.trial)
    within = [t for t in findings.timed if keeps(t, wish)]
    if not within:
        raise PimdseError(_nothing(findings, wish))
    if all(math.isnan(t.candidate.value(wish.objective)) for t in within):
        raise PimdseError(f"{metric(wish.objective).title}: not known of any candidate; choose by another --objective")
    if wish.knee:
        return _knee(findings, within)
    sign = -1.0 if metric(wish.objective).maximize else 1.0
    return min(
        within,
        key=lambda t: (
            sign * t.candidate.value(wish.objective),
            figures(t).crossbars,
            figures(t).latency_ns,
            t.number,
        ),
    )


def keeps(trial: Trial, wish: Wish) -> bool:
    """Whether a trial keeps the wish's limits."""
    fits = all(limit.excess(trial.candidate.value(limit.metric)) <= 0 for limit in wish.limits)
    return fits and wish.pipeline in (None, str(trial.candidate.point.pipeline))


def _knee(findings: Findings, within: list[Trial]) -> Trial:
    """The knee of the front of what is left."""
    _, knee = front_and_knee(findings.sweep, within)
    assert knee is not None  # there is at least one
    return knee


def figures(trial: Trial) -> Metrics:
    """The figures of a feasible trial."""
    if trial.candidate.metrics is None:
        raise ValueError(f"trial {trial.number} has no figures")
    return trial.candidate.metrics


def _named(findings: Findings, number: int) -> Trial:
    for trial in findings.trials:
        if trial.number == number:
            if trial.candidate.metrics is None:
                raise PimdseError(f"trial {number} is not feasible: {trial.candidate.reason}")
            return trial
    raise PimdseError(f"--trial {number}: no finished trial has this number; there are {len(findings.trials)}")


def _nothing(findings: Findings, wish: Wish) -> str:
    feasible = findings.timed
    if not feasible:
        return "no stored candidate is feasible; `pimdse report` shows the reasons"
    asked = [str(limit) for limit in wish.limits] + ([f"pipeline {wish.pipeline}"] if wish.pipeline else [])
    nearest = []
    for limit in wish.limits:
        alone = Wish(limits=(limit,), pipeline=wish.pipeline)
        if all(math.isnan(t.candidate.value(limit.metric)) for t in feasible):
            nearest.append(f"{metric(limit.metric).title} is not known of any candidate")
        elif not any(keeps(t, alone) for t in feasible):
            best = min(feasible, key=lambda t: limit.excess(t.candidate.value(limit.metric)))
            figure = _text(best, limit.metric)
            nearest.append(f"the nearest to {limit} has {metric(limit.metric).short} {figure} (trial {best.number})")
    kinds = sorted({str(t.candidate.point.pipeline) for t in feasible})
    together = "each limit can be kept, but not all together" if len(wish.limits) > 1 else "none is left"
    return f"no candidate within {', '.join(asked)}: {'; '.join(nearest) or together}; pipelines: {', '.join(kinds)}"


def explain(findings: Findings, chosen: Trial, wish: Wish) -> str:
    """Why this one, and what the next best alternatives would be, in a few sentences."""
    point = chosen.candidate.point
    chip = ", ".join(f"{name}={value}" for name, value in point.parameters)
    what = f"trial {chosen.number}: {chip}; {point.solver}, {point.pipeline}"
    if wish.trial is not None:
        estimate = "; its figures are estimates so far" if chosen.candidate.fidelity is Fidelity.COST else ""
        return f"{what}; asked for by its number{estimate}"
    within = [t for t in findings.timed if keeps(t, wish)]
    asked = f" within {', '.join(str(limit) for limit in wish.limits)}" if wish.limits else ""
    if wish.knee:
        why = "closest to the best of every objective at once"
    else:
        why = f"best {metric(wish.objective).title} ({_text(chosen, wish.objective)})"
    parts = [f"{what}; {why}{asked}, of {len(within)} candidates with a program ({len(findings.timed)} without limits)"]
    if (next_best := _next_best(within, chosen, wish)) is not None:
        size = f"{figures(next_best).crossbars:,} crossbars"
        parts.append(f"Next: trial {next_best.number} with {_text(next_best, wish.objective)} and {size}")
    free = replace(wish, limits=(), pipeline=None)
    if wish.limits and (unlimited := choose(findings, free)).number != chosen.number:
        size = f"{figures(unlimited).crossbars:,} crossbars"
        parts.append(f"Without limits: trial {unlimited.number} with {_text(unlimited, wish.objective)} and {size}")
    return ". ".join(parts)


def _next_best(within: list[Trial], chosen: Trial, wish: Wish) -> Trial | None:
    rest = [t for t in within if t.number != chosen.number]
    sign = -1.0 if metric(wish.objective).maximize else 1.0
    key = lambda t: (sign * t.candidate.value(wish.objective), t.number)  # noqa: E731
    return None if wish.knee else min(rest, key=key, default=None)


def _text(trial: Trial, name: str) -> str:
    return figure_text(trial.candidate.value(name), metric(name).unit)


def changed_figures(now: Metrics, stored: Metrics) -> str:
    """How the figures of a new compile differ from the stored ones; empty if they are the same."""
    names = ("latency_ns", "period_ns", "energy_pj", "crossbars_used")
    changed = [(n, stored.value(n), now.value(n)) for n in names if stored.value(n) != now.value(n)]
    return ", ".join(f"{name} {before:.6g}, now {after:.6g}" for name, before, after in changed)
