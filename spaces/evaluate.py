"""One point through the compiler, as far as a fidelity needs: figures, or the reason why there are none."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from pimcomp.compile import compile_network, does_not_fit
from pimcomp.emit.report import make_report
from pimcomp.errors import CapacityError, ConfigError
from pimcomp.estimate import EstimateJudge, Estimator
from pimcomp.estimate.tables import Network, network_of
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition, Unfoldings
from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Solver
from pimcomp.ir.report import Bounds
from pimcomp.plan.bounds import LeastWork, bounds_of, least_work
from pimcomp.plan.judge import ESTIMATE
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewrite import rewrite
from pimcomp.plan.vector_layers import unfold_layer
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver
from spaces.candidate import Candidate, Evaluator, Verdict, judge, point_key
from spaces.chip import chip_of, options_of
from spaces.estimate import estimate
from spaces.metrics import METRIC_FIELDS, OF_THE_CHIP, Metrics, combine, metric
from spaces.space import Fidelity, Limit, Point, Sweep

# Reasons are counted: which core ran out of memory does not make another reason.
_SOME_CORE = re.compile(r" on core \d+")
# Partitions kept per network: a sweep's chips come in few crossbar shapes.
_PARTITIONS = 32

Cut = Callable[[Arch, ScheduleOptions], "Prepared"]


def compile_evaluator(sweep: Sweep) -> Evaluator:
    """The judge that compiles: the networks are loaded once, every point runs as much of the compiler as is needed."""
    graphs = tuple((n.label, load_network(n.model, weights=n.weights).graph) for n in sweep.networks)
    cuts = {label: _remembering(graph) for label, graph in graphs}
    named = {name: get_solver(name) for name in sweep.solvers}

    def figures_of(point: Point, arch: Arch, fidelity: Fidelity) -> tuple[tuple[str, Metrics], ...]:
        solver = named[point.solver]
        if fidelity is Fidelity.COST:
            return tuple((n, _at_cost(g, arch, cuts[n], solver, point, sweep)) for n, g in graphs)
        return tuple((n, _at_timeline(g, arch, solver, point, sweep)) for n, g in graphs)

    works: dict[tuple[int, int], tuple[LeastWork, ...]] = {}

    def bounds_on(arch: Arch) -> tuple[Bounds, ...]:
        shape = (arch.crossbar_rows, arch.weight_cols)
        if shape not in works:
            works[shape] = tuple(least_work(graph, arch) for _, graph in graphs)
        return tuple(bounds_of(work, arch) for work in works[shape])

    return Evaluator(
        evaluate=lambda point, fidelity: evaluate_point(point, fidelity, figures_of, sweep),
        content=lambda point: content_of(point, sweep),
        bound=lambda point: bound_point(point, bounds_on, sweep),
    )


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A network as a chip computes it, cut into array groups, what any program of it does at least, and what an
    estimate starts from."""

    graph: Graph
    partition: Partition
    work: LeastWork
    network: Network


def _remembering(graph: Graph) -> Cut:
    """`rewrite` and `partition` of a network, remembered by what they depend on: the crossbars' shape, how many share a
    core, and which layers go to the vector unit."""
    known: dict[tuple[object, ...], Prepared] = {}
    unfolded: dict[tuple[object, ...], Unfoldings] = {}

    def shape_of(arch: Arch) -> tuple[int, int, int]:
        return arch.crossbar_rows, arch.weight_cols, arch.crossbars_per_core

    def unfold(graph: Graph, index: int, arch: Arch) -> Unfoldings:
        key = (graph.nodes[index].name, *shape_of(arch))
        if key not in unfolded:
            unfolded[key] = unfold_layer(graph, index, arch)
        return unfolded[key]

    def for_chip(arch: Arch, options: ScheduleOptions) -> Prepared:
        rewritten = rewrite(graph, arch, options, unfold)
        key = (*shape_of(arch), options.merge_siblings, rewritten.weighted())
        if key not in known:
            if len(known) == _PARTITIONS:
                known.pop(next(iter(known)))
            parts = partition(rewritten, arch)
            known[key] = Prepared(rewritten, parts, least_work(rewritten, arch, parts), network_of(rewritten, parts))
        return known[key]

    return for_chip


def _at_cost(graph: Graph, arch: Arch, cut: Cut, solver: Solver, point: Point, sweep: Sweep) -> Metrics:
    options = options_of(point)
    prepared = cut(arch, options)
    problem = build_problem(prepared.graph, arch, prepared.partition, point.pipeline)
    estimator = Estimator.of(prepared.graph, arch, prepared.partition, prepared.network)
    judges = {ESTIMATE: EstimateJudge(lambda: estimator, problem, options)}
    outcome = solver.solve(problem, judges, time_limit_s=sweep.time_limit_s, seed=sweep.seed)
    if outcome.plan is None:
        # What would make it fit is the space's own subject.
        raise does_not_fit(graph, arch, problem, outcome, levers=lambda graph, arch: ())
    return estimate(estimator, problem, outcome, options, bounds_of(prepared.work, arch))


def _at_timeline(graph: Graph, arch: Arch, solver: Solver, point: Point, sweep: Sweep) -> Metrics:
    compiled = compile_network(
        graph,
        arch,
        solver,
        pipeline=point.pipeline,
        time_limit_s=sweep.time_limit_s,
        seed=sweep.seed,
        options=options_of(point),
    )
    return figures(compiled)


FiguresOf = Callable[[Point, Arch, Fidelity], tuple[tuple[str, Metrics], ...]]


def evaluate_point(point: Point, fidelity: Fidelity, figures_of: FiguresOf, sweep: Sweep) -> Candidate:
    """Judge a point by the sweep's limits.

    A chip that cannot exist or does not hold a network is an infeasible candidate; any other failure is a defect of
    this program, recorded as such (one bad point must not end a sweep) and never counted as a property of the chip.
    """
    crossbars: int | None = None

    def failed(resource: str, error: Exception | str, excess: float, verdict: Verdict) -> Candidate:
        return Candidate(
            point=point,
            verdict=verdict,
            fidelity=fidelity,
            crossbars=crossbars,
            resource=resource,
            reason=str(error),
            excess=excess,
        )

    try:
        arch = chip_of(sweep, point)
        crossbars = arch.crossbars
        if (refused := _refused_by_size(point, arch, sweep)) is not None:
            return refused
        parts = figures_of(point, arch, fidelity)
    except CapacityError as error:
        shortage = max(error.demand / max(error.supply, 1) - 1.0, 1e-6)
        return failed(_SOME_CORE.sub("", error.resource), error, shortage, Verdict.INFEASIBLE)
    except ConfigError as error:
        return failed("no such chip", error, 1.0, Verdict.INFEASIBLE)
    except Exception as error:  # a defect: kept as data, shown in every report, excluded from every front
        return failed("defect", f"{type(error).__name__}: {error}", 10.0, Verdict.ERROR)
    candidate = Candidate(
        point=point,
        verdict=Verdict.FEASIBLE,
        fidelity=fidelity,
        crossbars=crossbars,
        metrics=combine([figure for _, figure in parts], sweep.combine),
        by_network=parts if len(parts) > 1 else (),
    )
    return judge(candidate, sweep.limits)


def content_of(point: Point, sweep: Sweep) -> str:
    """Digest of what decides a point's figures within a sweep: the chip whatever its name, and the compile choices."""
    try:
        arch = chip_of(sweep, point)
    except ConfigError:
        return point_key(point)
    chip = {f.name: getattr(arch, f.name) for f in dataclasses.fields(arch) if f.name not in ("name", "noc_table")}
    options = dataclasses.asdict(options_of(point))
    table = dataclasses.asdict(arch.noc_table) if arch.noc_table is not None else None
    text = json.dumps([chip, table, options, point.solver, point.pipeline], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def bound_point(point: Point, bounds_of: Callable[[Arch], tuple[Bounds, ...]], sweep: Sweep) -> Candidate | None:
    """What no program of the point can beat. None for a chip that cannot exist: evaluating it says why."""
    try:
        arch = chip_of(sweep, point)
    except ConfigError:
        return None
    if (refused := _refused_by_size(point, arch, sweep)) is not None:
        return refused
    parts = tuple(_ideal(arch, bound) for bound in bounds_of(arch))
    labels = tuple(n.label for n in sweep.networks)
    candidate = Candidate(
        point=point,
        verdict=Verdict.FEASIBLE,
        crossbars=arch.crossbars,
        metrics=combine(parts, sweep.combine),
        by_network=tuple(zip(labels, parts, strict=True)) if len(parts) > 1 else (),
    )
    judged = judge(candidate, tuple(_provable(limit) for limit in sweep.limits))
    if not judged.feasible:
        return dataclasses.replace(judged, metrics=None, by_network=(), reason=f"proven lower bound: {judged.reason}")
    return candidate


def _provable(limit: Limit) -> Limit:
    """The side of a limit that ideal figures can prove broken."""
    if metric(limit.metric).maximize:
        return dataclasses.replace(limit, high=None)
    return limit if limit.metric in OF_THE_CHIP else dataclasses.replace(limit, low=None)


def _ideal(arch: Arch, bound: Bounds) -> Metrics:
    """Figures that no program reaches or beats: proven times, the chip's size, and 0 where nothing is proven."""
    return Metrics(
        latency_ns=bound.latency_ns,
        period_ns=bound.period_ns,
        throughput_per_s=1e9 / bound.period_ns,
        energy_pj=0.0,
        avg_power_mw=0.0,
        crossbars=arch.crossbars,
        crossbars_used=0,
        area_mm2=arch.area_mm2,
        edp_pj_ns=0.0,
        bound_ns=bound.latency_ns,
        bound_period_ns=bound.period_ns,
    )


def _refused_by_size(point: Point, arch: Arch, sweep: Sweep) -> Candidate | None:
    """Limits on the chip alone need no compilation: the infeasible candidate, or None."""
    sized = {"crossbars": arch.crossbars, "area_mm2": arch.area_mm2}
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
    """The figures of a compiled program that a sweep keeps: those of its report."""
    report = make_report(compiled)
    same = {name: getattr(report, name) for name in METRIC_FIELDS if hasattr(report, name)}
    return Metrics(**same, edp_pj_ns=report.energy_pj * report.latency_ns, solver_status=report.status)
