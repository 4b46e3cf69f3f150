"""One point through the whole compiler: figures, or the reason why there are none."""

import re

from pimcomp.bounds import bounds
from pimcomp.compile import compile_network
from pimcomp.errors import CapacityError, ConfigError
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Solver
from solvers import get_solver
from spaces.candidate import Candidate, Evaluate, Verdict, judge
from spaces.chip import apply
from spaces.metrics import Metrics
from spaces.space import Point, Sweep

# Reasons are counted: which core ran out of memory does not make another reason.
_SOME_CORE = re.compile(r" on core \d+")


def compile_evaluator(sweep: Sweep) -> Evaluate:
    """The judge that compiles: the network is loaded once, every point runs `compile_network`."""
    graph = load_network(sweep.model, weights=sweep.weights).graph
    named = {name: get_solver(name) for name in sweep.solvers}

    def evaluate(point: Point) -> Candidate:
        return evaluate_point(point, graph=graph, solver=named[point.solver], sweep=sweep)

    return evaluate


def evaluate_point(point: Point, *, graph: Graph, solver: Solver, sweep: Sweep) -> Candidate:
    """Compile `graph` for the point's chip and judge the result by the sweep's limits.

    A chip that cannot exist or does not hold the network is an infeasible candidate; any other failure is a defect of
    this program, recorded as such (one bad point must not end a sweep) and never counted as a property of the chip.
    """
    try:
        arch = apply(sweep.arch, point.parameters)
    except ConfigError as error:
        return Candidate(
            point=point, verdict=Verdict.INFEASIBLE, resource="no such chip", reason=str(error), excess=1.0
        )
    if (refused := _refused_by_size(point, arch, sweep)) is not None:
        return refused
    try:
        compiled = compile_network(
            graph, arch, solver, pipeline=point.pipeline, time_limit_s=sweep.time_limit_s, seed=sweep.seed
        )
    except CapacityError as error:
        shortage = error.demand / max(error.supply, 1) - 1.0
        return Candidate(
            point=point,
            verdict=Verdict.INFEASIBLE,
            crossbars=arch.crossbars,
            resource=_SOME_CORE.sub("", error.resource),
            reason=str(error),
            excess=max(shortage, 1e-6),
        )
    except ConfigError as error:
        return Candidate(
            point=point,
            verdict=Verdict.INFEASIBLE,
            crossbars=arch.crossbars,
            resource="no such chip",
            reason=str(error),
            excess=1.0,
        )
    except Exception as error:  # a defect: kept as data, shown in every report, excluded from every front
        reason = f"{type(error).__name__}: {error}"
        return Candidate(
            point=point, verdict=Verdict.ERROR, crossbars=arch.crossbars, resource="defect", reason=reason, excess=10.0
        )
    candidate = Candidate(point=point, verdict=Verdict.FEASIBLE, crossbars=arch.crossbars, metrics=figures(compiled))
    return judge(candidate, sweep.limits)


def _refused_by_size(point: Point, arch: Arch, sweep: Sweep) -> Candidate | None:
    """Limits on the chip alone need no compilation: the infeasible candidate, or None."""
    sized = {"crossbars": float(arch.crossbars), "area_mm2": arch.area_mm2}
    for limit in sweep.limits:
        if (value := sized.get(limit.metric)) is not None and (excess := limit.excess(value)) > 0:
            return Candidate(
                point=point,
                verdict=Verdict.INFEASIBLE,
                crossbars=arch.crossbars,
                resource=f"limit: {limit}",
                reason=f"{limit.metric} = {value:g} breaks {limit}",
                excess=excess,
            )
    return None


def figures(compiled: Compiled) -> Metrics:
    """The figures of a compiled program, per image.

    A batch program that delivers a round's outputs d rounds later needs one pass plus d periods for an image.
    """
    program, timing = compiled.program, compiled.timing
    images = program.images_per_round
    latency_ns = timing.latency_ns + program.output_round_delay * timing.period_ns
    energy_pj = compiled.energy.total_pj / images
    bound_ns = bounds(compiled.graph, compiled.arch).latency_ns
    return Metrics(
        latency_ns=latency_ns,
        period_ns=timing.period_ns / images,
        throughput_per_s=images * 1e9 / timing.period_ns,
        energy_pj=energy_pj,
        avg_power_mw=compiled.energy.total_pj / timing.latency_ns,
        crossbars=compiled.arch.crossbars,
        crossbars_used=compiled.plan.crossbars_used(compiled.problem),
        area_mm2=compiled.arch.area_mm2,
        edp_pj_ns=energy_pj * latency_ns,
        bound_ns=bound_ns,
        gap=1.0 - bound_ns / latency_ns if latency_ns else 0.0,
        solver_status=str(compiled.outcome.status),
        time_limited=compiled.outcome.time_limited,
        instructions=program.instructions,
        cores_used=int((program.core_start[1:] > program.core_start[:-1]).sum()),
        images_per_round=images,
        local_peak_bytes=int(program.local_peak_bytes.max(initial=0)),
    )
