"""One point through the compiler, as far as a fidelity needs: figures, or the reason why there are none."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

from pimcomp.compile import compile_network, does_not_fit
from pimcomp.emit.report import make_report
from pimcomp.errors import CapacityError, ConfigError
from pimcomp.estimate import EstimateJudge, Estimator
from pimcomp.estimate.tables import Network, network_of
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition, Unfoldings
from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Reads, Solver
from pimcomp.ir.report import Bounds
from pimcomp.plan.bounds import LeastWork, bounds, bounds_of, least_work
from pimcomp.plan.judge import ESTIMATE
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.plan.rewriting.vector_layers import unfold_layer
from pimcomp.proof.trained import find_test_set
from pimcomp.schedule import ScheduleOptions
from solvers import get_solver
from spaces.accuracy import accuracy_by
from spaces.candidate import Candidate, Evaluator, Verdict, judge, point_key
from spaces.chip import at_precision, chip_of, options_of
from spaces.estimate import estimate
from spaces.inside import Inside, inside_of
from spaces.metrics import ACCURACY, METRIC_FIELDS, OF_THE_CHIP, Metrics, combine, metric, metrics_on
from spaces.proof import Proof, execute, with_accuracy
from spaces.segmented import compiled_segments, estimated, execute_segments, summed
from spaces.space import PRECISION, Fidelity, Limit, Parameters, Point, Scalar, Sweep
from spaces.space import Network as SweptNetwork

# Reasons are counted: which core ran out of memory does not make another reason.
_SOME_CORE = re.compile(r" on core \d+")
# What is kept per network: partitions (a sweep's chips come in few crossbar shapes), chips, and plans that chips share.
# Points are looked at in an order in which equal ones follow each other.
_PARTITIONS, _CHIPS, _PLANS = 32, 4, 64


class Precise(NamedTuple):
    """A network with bits of its own for some layers, as its figures need it."""

    label: str
    network: LoadedNetwork
    at_cost: "Callable[[Arch, Point, Solver], Metrics]"
    accuracy: Callable[[Arch], float]


def compile_evaluator(sweep: Sweep) -> Evaluator:
    """The judge that compiles: the networks are loaded once, every point runs as much of the compiler as is needed."""
    networks = tuple((n, load_network(n.model, weights=n.weights)) for n in sweep.networks)
    named = {name: get_solver(name) for name in sweep.solvers}
    chip = lru_cache(_CHIPS)(lambda parameters: chip_of(sweep, parameters))
    known: dict[Scalar | None, tuple[Precise, ...]] = {}

    def precise(point: Point, arch: Arch) -> tuple[Precise, ...]:
        """The networks with a point's precision, which its chip can have."""
        precision = dict(point.parameters).get(PRECISION)
        if precision not in known:
            own = [(n, at_precision(sweep, w, point.parameters, arch)) for n, w in networks]
            known[precision] = tuple(_precise(sweep, n, w) for n, w in own)
        return known[precision]

    def figures_of(point: Point, arch: Arch, fidelity: Fidelity) -> tuple[Part, ...]:
        parts = []
        for own in precise(point, arch):
            try:
                part = whole(point, arch, fidelity, own)
            except CapacityError:
                if not (sweep.segments and arch.row_write_ns):
                    raise
                part = _in_segments(own, arch, named[point.solver], point, fidelity, sweep)
            if sweep.judges(ACCURACY):
                part = part._replace(metrics=replace(part.metrics, accuracy=own.accuracy(arch)))
            if part.proof is not None:
                part = part._replace(proof=with_accuracy(part.proof, own.network.graph, partial(own.accuracy, arch)))
            parts.append(part)
        return tuple(parts)

    def whole(point: Point, arch: Arch, fidelity: Fidelity, own: Precise) -> Part:
        if fidelity is Fidelity.COST:
            return Part(own.label, own.at_cost(arch, point, named[point.solver]))
        program = _compiled(own.network.graph, arch, named[point.solver], point, sweep)
        proof = execute(program, own.network, own.label) if fidelity is Fidelity.EXECUTED else None
        return Part(own.label, figures(program), inside_of(program, own.label), proof)

    works: dict[tuple[object, ...], tuple[LeastWork, ...]] = {}

    def bounds_on(arch: Arch, point: Point) -> tuple[Bounds, ...]:
        own = precise(point, arch)
        shape = (dict(point.parameters).get(PRECISION), *_crossbars(arch))
        found = _remembered(works, shape, lambda: tuple(least_work(p.network.graph, arch) for p in own), _PARTITIONS)
        return tuple(bounds_of(work, arch) for work in found)

    return Evaluator(
        evaluate=lambda point, fidelity: evaluate_point(point, fidelity, chip, figures_of, sweep),
        content=content_by(chip),
        bound=lambda point: bound_point(point, chip, bounds_on, sweep),
    )


def _in_segments(own: Precise, arch: Arch, solver: Solver, point: Point, fidelity: Fidelity, sweep: Sweep) -> "Part":
    """A network that does not fit the chip, as programs that follow each other. Raises CapacityError."""
    graph = own.network.graph
    bound = bounds(graph, arch)
    if fidelity is Fidelity.COST:
        return Part(own.label, estimated(graph, arch, point, bound))
    programs = compiled_segments(graph, arch, solver, point, sweep)
    proof = execute_segments(programs, own.network, own.label) if fidelity is Fidelity.EXECUTED else None
    return Part(own.label, summed(programs, arch, bound, figures), proof=proof)


def _precise(sweep: Sweep, named: SweptNetwork, network: LoadedNetwork) -> Precise:
    accuracy = accuracy_by(network, lambda: find_test_set(named.model, network, weights=named.weights))
    return Precise(named.label, network, planned(network.graph, sweep.time_limit_s, sweep.seed), accuracy)


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A network as a chip computes it, cut into array groups, what any program of it does at least, and what an
    estimate starts from."""

    graph: Graph
    partition: Partition
    work: LeastWork
    network: Network


@brief
@dataclass(frozen=True, slots=True, eq=False)
class OnChip:
    """A network on a chip: what solvers and estimates of all pipelines share."""

    shape: tuple[object, ...]
    problem: MappingProblem
    estimator: Estimator
    bounds: Bounds


def planned(graph: Graph, time_limit_s: float | None = None, seed: int = 0) -> Callable[[Arch, Point, Solver], Metrics]:
    """Figures of a network at cost fidelity, with memories of what points have in common.

    `rewrite` and `partition` are remembered by what they depend on: the crossbars' shape, how many share a core, and
    which layers go to the vector unit or have their rows stacked; plans by what their solver says it reads.
    """
    unfolded: dict[tuple[object, ...], Unfoldings] = {}
    parts: dict[tuple[object, ...], Prepared] = {}
    chips: dict[tuple[Parameters, Pipeline], OnChip] = {}
    outcomes: dict[tuple[object, ...], Outcome] = {}

    def unfold(graph: Graph, index: int, arch: Arch) -> Unfoldings:
        node = graph.nodes[index]
        key = (node.name, node.channels, *_crossbars(arch))
        return _remembered(unfolded, key, lambda: unfold_layer(graph, index, arch), _PARTITIONS * len(graph.nodes))

    def prepare(rewritten: Graph, arch: Arch) -> Prepared:
        found = partition(rewritten, arch)
        return Prepared(rewritten, found, least_work(rewritten, arch, found), network_of(rewritten, found, {}))

    def on_chip(arch: Arch, options: ScheduleOptions, pipeline: Pipeline) -> OnChip:
        rewritten = rewrite(graph, arch, options, pipeline, unfold)
        layers = tuple((index, rewritten.nodes[index].channels) for index in rewritten.weighted())
        key = (*_crossbars(arch), options.merge_siblings, layers)
        found = _remembered(parts, key, lambda: prepare(rewritten, arch), _PARTITIONS)
        return OnChip(
            shape=(*key, arch.total_cores),
            problem=build_problem(found.graph, arch, found.partition, pipeline),
            estimator=Estimator.of(found.graph, arch, found.partition, found.network),
            bounds=bounds_of(found.work, arch),
        )

    def figures_at_cost(arch: Arch, point: Point, solver: Solver) -> Metrics:
        options = options_of(point.parameters)
        chip = (point.parameters, point.pipeline)
        here = _remembered(chips, chip, lambda: on_chip(arch, options, point.pipeline), _CHIPS)
        problem = here.problem
        judges = {ESTIMATE: EstimateJudge(lambda: here.estimator, problem, options)}
        key = _what_it_reads(point, solver, here)
        outcome = _remembered(
            outcomes,
            key,
            lambda: solver.solve(problem, judges, time_limit_s=time_limit_s, seed=seed),
            _PLANS,
        )
        if outcome.plan is None:
            # What would make it fit is the space's own subject.
            raise does_not_fit(graph, arch, problem, outcome, levers=lambda graph, arch: ())
        return estimate(here.estimator, problem, outcome, options, here.bounds)

    return figures_at_cost


def _crossbars(arch: Arch) -> tuple[int, int, int, int]:
    return arch.crossbar_rows, arch.weight_cols, arch.cell_bits, arch.crossbars_per_core


def _what_it_reads(point: Point, solver: Solver, here: OnChip) -> tuple[object, ...]:
    """What a solver's plan for a point depends on."""
    match getattr(solver, "reads", Reads.ALL):
        case Reads.SHAPES:
            return point.solver, *here.shape
        case Reads.COSTS:
            return point.solver, point.parameters, *here.shape
        case _:
            return point.solver, point.parameters, point.pipeline


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def _remembered(known: dict[Key, Value], key: Key, make: Callable[[], Value], most: int) -> Value:
    """The value of a key, made when it is not known; the oldest of more than `most` is forgotten."""
    if key not in known:
        value = make()
        if len(known) == most:
            known.pop(next(iter(known)))
        known[key] = value
    return known[key]


def _compiled(graph: Graph, arch: Arch, solver: Solver, point: Point, sweep: Sweep) -> Compiled:
    return compile_network(
        graph,
        arch,
        solver,
        pipeline=point.pipeline,
        time_limit_s=sweep.time_limit_s,
        seed=sweep.seed,
        options=options_of(point.parameters),
    )


class Part(NamedTuple):
    """What is known of one network on a chip, by its label."""

    label: str
    metrics: Metrics
    inside: Inside | None = None
    proof: Proof | None = None


ChipOf = Callable[[Parameters], Arch]
FiguresOf = Callable[[Point, Arch, Fidelity], tuple[Part, ...]]


def evaluate_point(point: Point, fidelity: Fidelity, chip: ChipOf, figures_of: FiguresOf, sweep: Sweep) -> Candidate:
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
        arch = chip(point.parameters)
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
        metrics=combine([part.metrics for part in parts], sweep.combine),
        by_network=tuple((part.label, part.metrics) for part in parts) if len(parts) > 1 else (),
        inside=tuple(part.inside for part in parts if part.inside is not None),
        proofs=tuple(part.proof for part in parts if part.proof is not None),
    )
    return judge(candidate, sweep.limits)


def content_by(chip: ChipOf) -> Callable[[Point], str]:
    """What decides a point's figures within a sweep, as text: the chip whatever its name, and the compile choices."""

    @lru_cache(_CHIPS)
    def digest(parameters: Parameters) -> str:
        arch = chip(parameters)
        values = arch.described() | {"name": ""}
        table = asdict(arch.noc_table) if arch.noc_table is not None else None
        precision = dict(parameters).get(PRECISION)
        text = json.dumps([values, table, precision, asdict(options_of(parameters))], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def content(point: Point) -> str:
        try:
            return f"{digest(point.parameters)} {point.solver} {point.pipeline}"
        except ConfigError:
            return point_key(point)

    return content


def bound_point(
    point: Point, chip: ChipOf, bounds_of: Callable[[Arch, Point], tuple[Bounds, ...]], sweep: Sweep
) -> Candidate | None:
    """What no program of the point can beat. None for a chip that cannot exist: evaluating it says why."""
    try:
        arch = chip(point.parameters)
    except ConfigError:
        return None
    if (refused := _refused_by_size(point, arch, sweep)) is not None:
        return refused
    parts = tuple(_ideal(arch, bound) for bound in bounds_of(arch, point))
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
        return replace(judged, metrics=None, by_network=(), reason=f"proven lower bound: {judged.reason}")
    return candidate


def _provable(limit: Limit) -> Limit:
    """The side of a limit that ideal figures can prove broken."""
    if metric(limit.metric).maximize:
        return replace(limit, high=None)
    return limit if limit.metric in OF_THE_CHIP else replace(limit, low=None)


def _ideal(arch: Arch, bound: Bounds) -> Metrics:
    """Figures that no program reaches or beats: proven times, the chip's size, and 0 where nothing is proven."""
    found = metrics_on(arch, bound, latency_ns=bound.latency_ns, period_ns=bound.period_ns, energy_pj=0.0)
    return replace(found, accuracy=math.inf, gap=None, gap_period=None)


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
