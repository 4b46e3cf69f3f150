"""How far the plans of the batch pipeline are from what is proven possible, in the cost model, within a time limit.

    python -m benchmarks.solver_gaps [--time-limit 60] [--networks ...] [--solvers ...] [--out PAGE]

The gap of a network is between the best plan and the best bound of the named solvers; seconds are processor time.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sections import table, write_section
from benchmarks.solver_matrix import NETWORKS
from benchmarks.timed_plans import load_instance
from pimcomp.ir.plan import MappingProblem, Pipeline
from pimcomp.plan.cost import plan_cost
from pimcomp.proof.static import verify_plan
from solvers import get_solver
from solvers.exact.relaxation import configurations, period_relaxation

SECTION = "model gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A solver's plan (period in the cost model) and bound, ns; processor seconds."""

    solver: str
    cost_ns: float
    bound_ns: float
    seconds: float


def found(problem: MappingProblem, name: str, time_limit_s: float) -> Found:
    """Solve, verify and price."""
    solver = get_solver(name)
    started = time.process_time()
    outcome = solver.solve(problem, {}, time_limit_s=time_limit_s, seed=0)
    seconds = time.process_time() - started
    assert outcome.plan is not None, outcome.reason
    verify_plan(problem, outcome.plan)
    cost_ns = plan_cost(problem, outcome.plan).period_ns
    return Found(solver=name, cost_ns=cost_ns, bound_ns=outcome.bound_ns or 0.0, seconds=seconds)


def row(name: str, problem: MappingProblem, results: list[Found]) -> list[str]:
    """One line of the table."""
    aggregate_ns = period_relaxation(problem, configurations(problem))[0]
    bound_ns = max(r.bound_ns for r in results)
    best = min(results, key=lambda r: (r.cost_ns, r.seconds))
    exact = next((r.cost_ns for r in results if r.solver == "exact"), float("nan"))
    return [
        name,
        f"{exact / 1e3:,.1f}",
        f"{best.cost_ns / 1e3:,.1f} ({best.solver})",
        f"{aggregate_ns / 1e3:,.1f}",
        f"{bound_ns / 1e3:,.1f}",
        f"{100 * (1 - bound_ns / best.cost_ns):.1f} %",
        ", ".join(f"{r.solver} {r.seconds:.1f}" for r in results),
    ]


def main() -> None:
    """Measure, print and, with --out, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="shipped names or files")
    parser.add_argument("--solvers", nargs="+", default=["exact", "cpsat"])
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="page whose section on model gaps is replaced")
    options = parser.parse_args()
    rows = []
    for name in options.networks:
        problem = load_instance(name, options.arch).problem(Pipeline.BATCH)
        rows.append(row(name, problem, [found(problem, s, options.time_limit) for s in options.solvers]))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    header = ["network", "exact us", "best us", "aggregate bound us", "bound us", "model gap", "processor s"]
    body = (
        f"## Model gap, batch pipeline\n\nPeriod in the cost model (plan/cost.py) on `{options.arch}`, "
        f"`--time-limit {options.time_limit:g}`: the best plan against the best proven bound. The aggregate bound "
        "counts crossbars and work over the whole chip, the other one knows how cores fill (docs/solvers.md).\n\n"
        + table(header, rows)
        + "\n\n```\npython -m benchmarks.solver_gaps --out docs/results.md\n```"
    )
    print(body)
    if options.out is not None:
        write_section(options.out, SECTION, body, "Results")


if __name__ == "__main__":
    main()
