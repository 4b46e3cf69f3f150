"""Figures of a plan without its program: the cost fidelity of a sweep."""

from dataclasses import replace

from pimcomp.estimate import Estimator
from pimcomp.ir.plan import MappingProblem, Outcome
from pimcomp.ir.report import Bounds
from pimcomp.schedule import ScheduleOptions
from spaces.metrics import Metrics, metrics_on


def estimate(
    estimator: Estimator, problem: MappingProblem, outcome: Outcome, options: ScheduleOptions, bound: Bounds
) -> Metrics:
    """The figures of a solver's plan (`outcome.plan` is set), estimated. Times are never better than proven bounds."""
    plan, arch = outcome.plan, estimator.arch
    if plan is None:
        raise ValueError("an outcome without a plan has no figures")
    guess = estimator.estimate([plan], problem.pipeline, options)
    found = metrics_on(
        arch,
        bound,
        latency_ns=max(float(guess.latency_ns[0]), bound.latency_ns),
        period_ns=max(float(guess.period_ns[0]), bound.period_ns),
        energy_pj=float(guess.energy_pj[0]),
        images=guess.images,
        used=plan.crossbars_used(problem),
    )
    return replace(
        found,
        solver_status=str(outcome.status),
        time_limited=outcome.time_limited,
        cores_used=int(guess.cores_used[0]),
    )
