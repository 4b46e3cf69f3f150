"""The whole compiler on one screen: network and chip in, verified plan, instruction streams and their timing out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from pimcomp.errors import CapacityError
from pimcomp.estimate import EstimateJudge, Estimator
from pimcomp.frontend.side_by_side import joined_graph, prefix_of
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.compiled import Compiled, Provenance
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Plan, Solver, Status
from pimcomp.ir.report import OrderBounds
from pimcomp.plan.bounds import bounds
from pimcomp.plan.judge import ESTIMATE, PROGRAM
from pimcomp.plan.levers import Levers, capacity_levers, shortage
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.calibrate import data_ranges
from pimcomp.proof.static import verify_plan, verify_program
from pimcomp.schedule import ScheduleOptions, Scheduler
from pimcomp.schedule.side_by_side import side_by_side
from pimcomp.timeline import time_program
from pimcomp.timeline.energy import energy_of, not_counted

Observer = Callable[[str, object], None]  # (stage, its result): dumps, timers and progress hang here


def compile_network(
    graph: Graph,
    arch: Arch,
    solver: Solver,
    *,
    pipeline: Pipeline = Pipeline.ELEMENT,
    time_limit_s: float | None = None,
    seed: int = 0,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
    observe: Observer = lambda stage, result: None,
) -> Compiled:
    """Compile a network for a chip with a solver.

    Raises CapacityError with demand, supply and levers when the network does not fit.
    """
    graph = rewrite(graph, arch, options, pipeline)
    parts = partition(graph, arch)
    observe("partition", parts)

    scheduler, problem, judges = pose(graph, arch, parts, pipeline, options, seed)
    outcome = solver.solve(problem, judges, time_limit_s=time_limit_s, seed=seed)
    observe("solve", outcome)
    if outcome.plan is None:
        raise does_not_fit(graph, arch, problem, outcome)
    verify_plan(problem, outcome.plan)  # never trust a solver

    program, order_bounds = scheduler.program(outcome.plan), scheduler.order_bounds()
    observe("schedule", program)
    verify_program(program, arch)
    observe("verify", program)

    timing = time_program(program, arch)
    energy = energy_of(program, arch, timing.latency_ns)
    observe("timeline", timing)
    return Compiled(
        arch=arch,
        graph=graph,
        partition=parts,
        problem=problem,
        outcome=outcome,
        program=program,
        timing=timing,
        energy=energy,
        bounds=bounds(graph, arch, parts),
        order_bounds=order_bounds,
        images_per_round=program.images_per_round,
        output_round_delay=program.output_round_delay,
        energy_not_counted=not_counted(arch),
        provenance=Provenance(model=graph.name, solver=solver.name, pipeline=pipeline.value, seed=seed),
    )


def compile_side_by_side(arch: Arch, labels: Sequence[str], parts: Sequence[Compiled]) -> Compiled:
    """Networks that were compiled for regions of a chip (`plan/regions.py`), one behind the other, as one on it.

    The plan and the program are verified on the whole chip, and timed there: networks meet at the memory.
    Its images are one of each network; bounds are of all networks together. labels: see `joined_graph`.
    """
    prefixes = [prefix_of(label) for label in labels]
    graph = joined_graph({prefix: part.graph for prefix, part in zip(prefixes, parts, strict=True)})
    partitioned = partition(graph, arch)
    pipeline = parts[0].problem.pipeline
    problem = build_problem(graph, arch, partitioned, pipeline)
    plan = _side_by_side_plan(parts)
    verify_plan(problem, plan)
    program = side_by_side(prefixes, [part.program for part in parts], arch.total_cores)
    verify_program(program, arch)
    timing = time_program(program, arch)
    outcomes = list(zip(labels, (part.outcome for part in parts), strict=True))
    return Compiled(
        arch=arch,
        graph=graph,
        partition=partitioned,
        problem=problem,
        outcome=Outcome(
            status=Status.FEASIBLE,
            plan=plan,
            notes=tuple(f"{label}: {note}" for label, outcome in outcomes for note in outcome.notes),
            time_limited=any(outcome.time_limited for _, outcome in outcomes),
        ),
        program=program,
        timing=timing,
        energy=energy_of(program, arch, timing.latency_ns),
        bounds=bounds(graph, arch, partitioned),
        order_bounds=OrderBounds(*map(max, zip(*(part.order_bounds for part in parts), strict=True))),
        images_per_round=program.images_per_round,
        output_round_delay=program.output_round_delay,
        energy_not_counted=not_counted(arch),
        provenance=replace(parts[0].provenance, model=graph.name, precision=()),
    )


def _side_by_side_plan(parts: Sequence[Compiled]) -> Plan:
    """The plans of the regions, on the cores of the whole chip."""
    plans = [part.plan for part in parts]
    firsts = [0, *accumulate(part.arch.total_cores for part in parts)]
    return Plan(
        option=sum((plan.option for plan in plans), ()),
        replication=sum((plan.replication for plan in plans), ()),
        core_of=tuple(
            cores + np.int32(first) for plan, first in zip(plans, firsts, strict=False) for cores in plan.core_of
        ),
    )


def pose(
    graph: Graph, arch: Arch, parts: Partition, pipeline: Pipeline, options: ScheduleOptions, seed: int
) -> tuple[Scheduler, MappingProblem, Judges]:
    """The scheduler, what solvers decide about a rewritten, partitioned network, and who judges their plans."""
    ranges = data_ranges(graph, seed)
    scheduler = Scheduler(graph, arch, parts, pipeline, options, ranges)
    problem = build_problem(graph, arch, parts, pipeline)
    estimate = EstimateJudge(lambda: Estimator.of(graph, arch, parts, ranges=ranges), problem, options)
    return scheduler, problem, {PROGRAM: scheduler, ESTIMATE: estimate}


def does_not_fit(
    graph: Graph, arch: Arch, problem: MappingProblem, outcome: Outcome, levers: Levers = capacity_levers
) -> CapacityError:
    """The solver's verdict as an error with numbers and what would help."""
    crossbars = sum(min(option.crossbars for option in layer.options) for layer in problem.layers)
    sizes = np.concatenate([layer.options[0].ag_crossbars for layer in problem.layers])
    return shortage(graph, arch, crossbars, sizes, outcome.reason, levers)
