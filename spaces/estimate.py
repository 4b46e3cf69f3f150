"""Figures of a plan without its program: the cost fidelity of a sweep."""

from pimcomp.estimate import Estimator
from pimcomp.ir.plan import MappingProblem, Outcome
from pimcomp.ir.report import Bounds
from pimcomp.schedule import ScheduleOptions
from spaces.metrics import Metrics


def estimate(
    estimator: Estimator, problem: MappingProblem, outcome: Outcome, options: ScheduleOptions, bound: Bounds
) -> Metrics:
    """The figures of a solver's plan (`outcome.plan` is set), estimated. Times are never better than proven bounds."""
    plan, arch = outcome.plan, estimator.arch
    if plan is None:
        raise ValueError("an outcome without a plan has no figures")
    guess = estimator.estimate([plan], problem.pipeline, options)
    latency_ns = max(float(guess.latency_ns[0]), bound.latency_ns)
    period_ns = max(float(guess.period_ns[0]), bound.period_ns)
    energy_pj = float(guess.energy_pj[0])
    return Metrics(
        latency_ns=latency_ns,
        period_ns=period_ns,
        throughput_per_s=1e9 / period_ns,
        energy_pj=energy_pj,
        avg_power_mw=energy_pj * guess.images / latency_ns,
        crossbars=arch.crossbars,
        crossbars_used=plan.crossbars_used(problem),
        area_mm2=arch.area_mm2,
        edp_pj_ns=energy_pj * latency_ns,
        bound_ns=bound.latency_ns,
        bound_period_ns=bound.period_ns,
        gap=1.0 - bound.latency_ns / latency_ns,
        gap_period=1.0 - bound.period_ns / period_ns,
        solver_status=str(outcome.status),
        time_limited=outcome.time_limited,
        cores_used=int(guess.cores_used[0]),
        images_per_round=guess.images,
    )
