"""Figures of a plan without its program: the cost fidelity of a sweep."""

from dataclasses import dataclass

from pimcomp.bounds import Bounds
from pimcomp.cost import plan_cost
from pimcomp.energy import mvm_crossbar_pj, static_power_mw
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import MappingProblem, Outcome, Plan
from spaces.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Estimated times of one plan."""

    latency_ns: float
    period_ns: float


def estimated_times(problem: MappingProblem, plan: Plan) -> Times:
    """Latency and period of a plan: the one place that decides which closed form the sweep looks at."""
    cost = plan_cost(problem, plan)
    return Times(latency_ns=cost.latency_ns, period_ns=cost.period_ns)


def estimate(problem: MappingProblem, outcome: Outcome, arch: Arch, bound: Bounds) -> Metrics:
    """The figures of a solver's plan (`outcome.plan` is set). Never better than the proven bounds.

    Energy: the crossbars' MVMs with their memory accesses, and static power over the latency; what is left out (vector
    work, transfers) follows the same plan.
    """
    plan = outcome.plan
    if plan is None:
        raise ValueError("an outcome without a plan has no figures")
    times = estimated_times(problem, plan)
    latency_ns, period_ns = max(times.latency_ns, bound.latency_ns), max(times.period_ns, bound.period_ns)
    cores = len({int(core) for mapped in plan.core_of for core in mapped.ravel()})
    energy_pj = _mvm_pj(problem, plan, arch) + static_power_mw(arch, cores) * latency_ns
    return Metrics(
        latency_ns=latency_ns,
        period_ns=period_ns,
        throughput_per_s=1e9 / period_ns,
        energy_pj=energy_pj,
        avg_power_mw=energy_pj / latency_ns,
        crossbars=arch.crossbars,
        crossbars_used=plan.crossbars_used(problem),
        area_mm2=arch.area_mm2,
        edp_pj_ns=energy_pj * latency_ns,
        bound_ns=bound.latency_ns,
        bound_period_ns=bound.period_ns,
        gap=1.0 - bound.latency_ns / latency_ns,
        solver_status=str(outcome.status),
        time_limited=outcome.time_limited,
        cores_used=cores,
    )


def _mvm_pj(problem: MappingProblem, plan: Plan, arch: Arch) -> float:
    """Energy of all MVMs of one image: their crossbars, and the beats they read and write in local memory."""
    width, b = arch.local_width_bytes, arch.element_bytes
    read_pj = -(-8 * arch.crossbar_rows * b // width) * arch.local_read_pj  # the factor 8 is the simulator's
    crossbar_pj = mvm_crossbar_pj(arch)
    total = 0.0
    for layer, chosen in zip(problem.layers, plan.option, strict=True):
        option = layer.options[chosen]
        beats = -(-option.ag_crossbars.astype(int) * arch.weight_cols * b // width)
        one = option.crossbars * crossbar_pj + len(beats) * read_pj + int(beats.sum()) * arch.local_write_pj
        total += option.firings * one
    return total
