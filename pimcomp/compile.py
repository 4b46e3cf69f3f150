"""The whole compiler on one screen: network and chip in, verified plan, instruction streams and their timing out."""

from collections.abc import Callable
from dataclasses import dataclass

from pimcomp.energy import energy_of
from pimcomp.errors import CapacityError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import Partition
from pimcomp.ir.graph import Graph
from pimcomp.ir.plan import MappingProblem, Outcome, Pipeline, Plan, Solver
from pimcomp.ir.program import Program
from pimcomp.ir.report import Energy, Timing
from pimcomp.ir.verify import verify_plan, verify_program
from pimcomp.partition import partition
from pimcomp.problem import build_problem
from pimcomp.schedule import ScheduleOptions, schedule
from pimcomp.timeline import time_program

Observer = Callable[[str, object], None]  # (stage, its result): dumps, timers and progress hang here


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compiled:
    """Everything a compilation produced."""

    graph: Graph
    arch: Arch
    pipeline: Pipeline
    partition: Partition
    problem: MappingProblem
    outcome: Outcome
    plan: Plan
    program: Program
    timing: Timing
    energy: Energy


def compile_network(
    graph: Graph,
    arch: Arch,
    solver: Solver,
    *,
    pipeline: Pipeline = Pipeline.ELEMENT,
    time_limit_s: float = 10.0,
    seed: int = 0,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
    lrn_ranges: dict[int, float] | None = None,
    observe: Observer = lambda stage, result: None,
) -> Compiled:
    """Compile a network for a chip with a solver.

    lrn_ranges: per LRN node the largest sum of squares in its window (from calibration); only networks with LRN need it.

    Raises CapacityError with demand, supply and levers when the network does not fit.
    """
    parts = partition(graph, arch)
    observe("partition", parts)

    problem = build_problem(graph, arch, parts, pipeline)
    outcome = solver.solve(problem, time_limit_s=time_limit_s, seed=seed)
    observe("solve", outcome)
    if outcome.plan is None:
        raise does_not_fit(problem, outcome)
    verify_plan(problem, outcome.plan)  # never trust a solver

    program = schedule(graph, arch, parts, outcome.plan, pipeline, options, lrn_ranges or {})
    observe("schedule", program)
    verify_program(program, arch)
    observe("verify", program)

    timing = time_program(program, arch)
    energy = energy_of(program, arch, timing.latency_ns)
    observe("timeline", timing)
    return Compiled(
        graph=graph,
        arch=arch,
        pipeline=pipeline,
        partition=parts,
        problem=problem,
        outcome=outcome,
        plan=outcome.plan,
        program=program,
        timing=timing,
        energy=energy,
    )


def does_not_fit(problem: MappingProblem, outcome: Outcome) -> CapacityError:
    """The solver's verdict as an error with numbers."""
    demand = sum(min(option.crossbars for option in layer.options) for layer in problem.layers)
    return CapacityError("crossbars", demand, problem.crossbars, (outcome.reason,), where=problem.name)
