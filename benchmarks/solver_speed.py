"""Processor time of the fast solvers: medians of several runs after a first one that fills numba's cache.

python -m benchmarks.solver_speed [--runs 7] [--out docs/results.md]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.sections import table, write_section
from pimcomp.config import read_arch
from pimcomp.frontend import load_network
from pimcomp.ir.plan import MappingProblem, Pipeline
from pimcomp.plan.partition import partition
from pimcomp.plan.problem import build_problem
from solvers import get_solver
from solvers.exact.relaxation import configurations, period_relaxation
from solvers.population.nsga2 import Nsga2

SECTION = "solver speed"


def problem_of(network: str, arch: str, pipeline: Pipeline) -> MappingProblem:
    """The mapping problem of a shipped network."""
    graph, chip = load_network(network, weights="random:0").graph, read_arch(arch)[0]
    return build_problem(graph, chip, partition(graph, chip), pipeline)


def median_s(work: Callable[[], object], runs: int) -> float:
    """Median processor seconds of `runs` calls after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times)


def relaxed(problem: MappingProblem) -> None:
    """exact's bound and relaxed choice, proof included."""
    period_relaxation(problem, configurations(problem))


def solved(problem: MappingProblem, solver: str) -> Callable[[], object]:
    """A whole solve: choice, mapping to cores, cost."""
    return lambda: get_solver(solver).solve(problem, {}, time_limit_s=None, seed=0)


def main() -> None:
    """Measure, print and, with --out, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, help="page whose section on solver speed is replaced")
    options = parser.parse_args()
    rows = []

    def line(what: str, aim: str, seconds: float) -> None:
        rows.append([what, aim, f"{1e3 * seconds:.1f} ms"])
        print(" | ".join(rows[-1]), flush=True)

    batch, element = (problem_of("resnet50", options.arch, p) for p in (Pipeline.BATCH, Pipeline.ELEMENT))
    line("exact, resnet50, batch: relaxation with proof", "20 ms", median_s(lambda: relaxed(batch), options.runs))
    for problem in (element, batch):
        for solver in ("balance", "uniform", "W0H0", "exact", "stream"):
            what = f"{solver} with mapping, resnet50, {problem.pipeline}"
            line(what, "500 ms per candidate", median_s(solved(problem, solver), options.runs))
    for pipeline in Pipeline:
        problem = problem_of("resnet18", options.arch, pipeline)
        search = Nsga2(front_size=1)
        seconds = median_s(lambda p=problem, s=search: s.front(p, time_limit_s=None, seed=0), options.runs)  # type: ignore[misc]
        rate = search.evaluations / seconds
        rows.append([f"nsga2, resnet18, {pipeline}", "2,000 evaluations/s", f"{rate:,.0f} evaluations/s"])
        print(" | ".join(rows[-1]), flush=True)
    body = (
        f"## Speed of the solvers\n\nProcessor time on `{options.arch}`, medians of {options.runs} runs with numba's "
        "cache filled, one core of a shared machine. nsga2: whole search, seeds and operators included.\n\n"
        + table(["what", "aim", "measured"], rows)
        + "\n\n```\npython -m benchmarks.solver_speed --out docs/results.md\n```"
    )
    if options.out is not None:
        write_section(options.out, SECTION, body, "Results")


if __name__ == "__main__":
    main()
