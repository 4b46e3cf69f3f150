"""One network on one chip by several solvers and both pipelines: what each promises, proves, and really gives."""

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pimcomp.compile import does_not_fit, pose
from pimcomp.emit.report import make_report
from pimcomp.errors import CapacityError
from pimcomp.frontend import LoadedNetwork
from pimcomp.ir.plan import Outcome, Pipeline
from pimcomp.plan.cost import plan_cost
from pimcomp.plan.partition import partition
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.static import verify_plan
from pimdse.compiling.building import Built, Observe, Recipe, StoredPlan, build, write
from pimdse.folder.pimsim import cores_at_work, simulate_folder
from solvers import get_solver

SIMULATOR_TIMEOUT_S = 7200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One solver in one pipeline; figures are of one image. None: not available.

    cost_ns: the plan in the cost model (plan/cost.py), latency (element) or period (batch). model_bound_ns: no plan
    at all is below that there. gap_model = 1 - model_bound_ns / cost_ns. latency_ns, period_ns: the emitted program.
    bound_ns, bound_period_ns, gap, gap_period: as in report.json, for any program. simulator_ns: what pimsim-nn says,
    latency (element) or period (batch). missing: why there is no plan or no program, with what would help. solve_s,
    compile_s: processor time of the solver, and of scheduling, verification and timing.
    """

    solver: str
    pipeline: str
    status: str
    crossbars_used: int | None = None
    cost_ns: float | None = None
    model_bound_ns: float | None = None
    gap_model: float | None = None
    latency_ns: float | None = None
    period_ns: float | None = None
    simulator_ns: float | None = None
    bound_ns: float | None = None
    gap: float | None = None
    bound_period_ns: float | None = None
    gap_period: float | None = None
    energy_pj: float | None = None
    time_limited: bool = False
    missing: str = ""
    solve_s: float = 0.0
    compile_s: float = 0.0

    @property
    def timeline_ns(self) -> float | None:
        """What the pipeline is for, of the emitted program: latency (element) or period (batch)."""
        return self.latency_ns if self.pipeline == "element" else self.period_ns

    @property
    def timeline_bound_ns(self) -> float | None:
        """No program has less."""
        return self.bound_ns if self.pipeline == "element" else self.bound_period_ns

    @property
    def timeline_gap(self) -> float | None:
        """1 - timeline_bound_ns / timeline_ns."""
        return self.gap if self.pipeline == "element" else self.gap_period


# What the report of a program says.
_OF_THE_PROGRAM = ("latency_ns", "period_ns", "bound_ns", "gap", "bound_period_ns", "gap_period", "energy_pj")


def compared(
    network: LoadedNetwork,
    recipe: Recipe,
    names: Sequence[str],
    executable: Path | None = None,
    observe: Observe = lambda stage, result: None,
) -> list[Row]:
    """A row for each solver, with gaps to the best bound of them all; the recipe says the rest.

    executable: of a simulator that runs every program, too.
    """
    rows = []
    for name in names:
        own = dataclasses.replace(recipe, solver=name)
        row, outcome = planned(network, own)
        observe(f"{name}, {recipe.pipeline}: plan", row)
        rows.append(programmed(network, own, row, outcome, executable))
        observe(f"{name}, {recipe.pipeline}", rows[-1])
    return with_model_gaps(rows)


def planned(network: LoadedNetwork, recipe: Recipe) -> tuple[Row, Outcome]:
    """The recipe's solver's answer, its plan verified; `model_bound_ns` is what this solver itself proved.

    Raises InvariantError for a plan that breaks a rule.
    """
    graph = rewrite(network.graph, recipe.arch, recipe.options, recipe.pipeline)
    parts = partition(graph, recipe.arch)
    _, problem, judges = pose(graph, recipe.arch, parts, recipe.pipeline, recipe.options, recipe.seed)
    solver = get_solver(recipe.solver)  # loads its libraries
    started = time.process_time()
    outcome = solver.solve(problem, judges, time_limit_s=recipe.time_limit_s, seed=recipe.seed)
    row = Row(
        solver=recipe.solver,
        pipeline=str(recipe.pipeline),
        status=str(outcome.status),
        model_bound_ns=outcome.bound_ns,
        time_limited=outcome.time_limited,
        solve_s=time.process_time() - started,
    )
    if outcome.plan is None:
        return dataclasses.replace(row, missing=str(does_not_fit(graph, recipe.arch, problem, outcome))), outcome
    verify_plan(problem, outcome.plan)
    cost_ns = plan_cost(problem, outcome.plan).objective_ns(recipe.pipeline)
    row = dataclasses.replace(row, cost_ns=cost_ns, crossbars_used=outcome.plan.crossbars_used(problem))
    return row, outcome


def programmed(
    network: LoadedNetwork, recipe: Recipe, row: Row, outcome: Outcome, executable: Path | None = None
) -> Row:
    """The row with the figures of the plan's verified program, from the timeline and, if given, from the simulator."""
    if outcome.plan is None:
        return row
    started = time.process_time()
    try:
        built = build(recipe, solver=StoredPlan(recipe.solver, outcome), source=network)
    except CapacityError as error:
        return dataclasses.replace(row, missing=str(error), compile_s=time.process_time() - started)
    report = make_report(built.compiled)
    figures = {name: getattr(report, name) for name in _OF_THE_PROGRAM}
    row = dataclasses.replace(row, **figures, compile_s=time.process_time() - started)
    return dataclasses.replace(row, simulator_ns=_simulated_ns(built, executable)) if executable else row


def _simulated_ns(built: Built, executable: Path) -> float:
    """What the simulator says about an image: its latency, or its period in steady state."""
    with tempfile.TemporaryDirectory() as name:
        folder, report = Path(name), write(built, Path(name))
        cores = None if built.recipe.pipeline is Pipeline.BATCH else cores_at_work(built.compiled.program.core_start)
        said, _ = simulate_folder(
            executable, folder, cores=cores, latency_ns=report.latency_ns, timeout_s=SIMULATOR_TIMEOUT_S
        )
    return said.latency_ns / (1 if cores else report.images_per_round)


def with_model_gaps(rows: Sequence[Row], proven_ns: float | None = None) -> list[Row]:
    """Rows of one pipeline, each with the best bound that any of them (or the caller) proved for the common model."""
    bounds = [bound for bound in (proven_ns, *(row.model_bound_ns for row in rows)) if bound is not None]
    if not bounds:
        return list(rows)
    best = max(bounds)
    return [
        dataclasses.replace(
            row, model_bound_ns=best, gap_model=None if row.cost_ns is None else max(0.0, 1.0 - best / row.cost_ns)
        )
        for row in rows
    ]
