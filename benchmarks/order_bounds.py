"""How far programs are from what no order of their own actions can beat; writes a section of docs/scheduling.md.

    python -m benchmarks.order_bounds                       # 12 networks, both pipelines, solver stream: minutes
    python -m benchmarks.order_bounds --solver auto         # plans of the default solver: half an hour

Element: latency of one image against the one-machine bound, the largest over cores and memory server of what their
actions take, with the longest paths before and behind them. Batch: period per image against the busiest of these.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.sections import table, write_section
from benchmarks.solver_matrix import NETWORKS
from pimcomp.compile import pose
from pimcomp.config import load_arch
from pimcomp.frontend import load_network
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.partition import partition
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.static import verify_program
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline import time_program
from solvers import get_solver

HEADER = ("network", "program us", "bound us", "program / bound", "scheduling CPU s")


def row(network: str, arch_name: str, solver: str, pipeline: Pipeline) -> tuple[tuple[str, ...], float]:
    """One program: cells, and how many times its bound it takes."""
    arch, options = load_arch(arch_name), ScheduleOptions()
    graph = rewrite(load_network(network, weights="random:0").graph, arch, options, pipeline)
    scheduler, problem, judges = pose(graph, arch, partition(graph, arch), pipeline, options, 0)
    plan = get_solver(solver).solve(problem, judges, time_limit_s=None, seed=0).plan
    assert plan is not None, network
    begun = time.process_time()
    program = scheduler.program(plan)
    spent_s = time.process_time() - begun
    verify_program(program, arch)
    timing, least = time_program(program, arch), scheduler.order_bounds()
    element = pipeline is Pipeline.ELEMENT
    found = timing.latency_ns if element else timing.period_ns_per_round / program.images_per_round
    bound = least.latency_ns if element else least.period_ns
    cells = (network, f"{found / 1e3:,.0f}", f"{bound / 1e3:,.0f}", f"{found / bound:.2f}", f"{spent_s:.1f}")
    return cells, found / bound


def sections(networks: list[str], arch_name: str, solver: str) -> Iterator[str]:
    """A table per pipeline."""
    for pipeline in Pipeline:
        rows, ratios = [], []
        for network in networks:
            cells, ratio = row(network, arch_name, solver, pipeline)
            print(pipeline.value, " | ".join(cells), flush=True)
            rows.append(cells)
            ratios.append(ratio)
        yield f"### {pipeline.value}, solver {solver}, {arch_name}\n\n{table(HEADER, rows)}\n"
        yield f"Median {statistics.median(ratios):.2f}, largest {max(ratios):.2f}.\n"


def main() -> None:
    """Compile, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--solver", default="stream")
    parser.add_argument("--out", type=Path, default=Path("docs/scheduling.md"))
    options = parser.parse_args()
    body = "\n".join(sections(list(options.networks), options.arch, options.solver))
    write_section(options.out, f"bounds of orders, {options.solver}", body, "Scheduling")


if __name__ == "__main__":
    main()
