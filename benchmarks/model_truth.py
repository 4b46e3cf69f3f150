"""How true the model is: the busiest core as the estimate has it, against that of the emitted program.

    python -m benchmarks.model_truth --keep TRUTH.jsonl [--out docs/cost-model.md] [--networks ...] [--solvers ...]

A program's busiest core: what its instructions take by the timeline without waiting, both ends of messages included
(`message_ends_ns`, as in the estimate). With --keep the command goes on where it stopped; the file is of
one compiler.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.sections import table, write_section
from benchmarks.solver_matrix import NETWORKS
from pimcomp.compile import pose
from pimcomp.config import load_arch
from pimcomp.estimate import Estimator
from pimcomp.frontend import load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Program
from pimcomp.isa.table import LOAD, RECV, SEND, STORE
from pimcomp.plan.partition import partition
from pimcomp.plan.rewriting.rewrite import rewrite
from pimcomp.proof.calibrate import data_ranges
from pimcomp.proof.static import verify_program
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline import time_program
from pimcomp.timeline.work import PS_PER_NS, message_ends_ns, stream_of, work_of
from solvers import get_solver

SOLVERS = ("balance", "ga", "cpsat", "auto")


@dataclass(frozen=True, slots=True)
class Row:
    """One program: its busiest core and the model's, ns per image; period_ns of the timeline, per image."""

    network: str
    pipeline: str
    solver: str
    model_ns: float
    program_ns: float
    period_ns: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it."""
        return self.network, self.pipeline, self.solver

    @property
    def ratio(self) -> float:
        """Model over program."""
        return self.model_ns / self.program_ns


def core_work_ns(program: Program, arch: Arch, own_ns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64[cores]: what a round takes of every core's time if nobody waits. own_ns: as in `Timing.busy_ns`."""
    stream = stream_of(program, arch)
    work, size = work_of(stream, arch), stream.size.astype(np.int64)
    core = np.repeat(np.arange(stream.cores), np.diff(stream.core_start))
    away_ns = np.zeros(len(core))
    for unit, end, own in ((SEND, 0, arch.local_read_ns), (RECV, 1, arch.local_write_ns)):
        rows = np.flatnonzero(work.unit == unit)
        ends = (core[rows], stream.peer[rows])
        latency_ns, n = arch.noc_latency_ns[ends if unit == SEND else ends[::-1]], size[rows]
        times = message_ends_ns(
            latency_ns, arch.local_read_ns(n), arch.local_write_ns(n), -(-n // arch.bus_width_bytes)
        )
        away_ns[rows] = times[end] - own(n)
    memory = np.isin(work.unit, (LOAD, STORE))
    away_ns[memory] = (work.leg + work.payload + work.service)[memory] / PS_PER_NS
    return np.asarray(own_ns + np.bincount(core, away_ns, stream.cores))


def rows_of(network: str, arch_name: str, solvers: list[str], known: dict[tuple[str, str, str], Row]) -> Iterator[Row]:
    """The programs of a network that are not known yet."""
    arch, options = load_arch(arch_name), ScheduleOptions()
    for pipeline in Pipeline:
        graph = rewrite(load_network(network, weights="random:0").graph, arch, options, pipeline)
        parts = partition(graph, arch)
        estimator = Estimator.of(graph, arch, parts, ranges=data_ranges(graph, 0))
        scheduler, problem, judges = pose(graph, arch, parts, pipeline, options, 0)
        for solver in solvers:
            if (network, pipeline.value, solver) in known:
                continue
            plan = get_solver(solver).solve(problem, judges, time_limit_s=None, seed=0).plan
            assert plan is not None, network
            program = scheduler.program(plan)
            verify_program(program, arch)
            timing, images = time_program(program, arch), program.images_per_round
            busiest_ns = float(core_work_ns(program, arch, timing.busy_ns).max()) / images
            model_ns = float(estimator.estimate([plan], pipeline, options).busiest_ns[0])
            period_ns = timing.period_ns_per_round / images
            yield Row(network, pipeline.value, solver, model_ns, busiest_ns, period_ns)


def section(rows: list[Row], arch_name: str, networks: list[str], solvers: list[str]) -> str:
    """The tables."""
    off = [abs(row.ratio - 1) for row in rows]
    worst = max(rows, key=lambda row: abs(row.ratio - 1))
    text = [
        f"## Model truth\n\nBusiest core per image on `{arch_name}`, us: model / program (ratio), written by "
        f"`benchmarks/model_truth.py`. {len(rows)} programs: |ratio - 1| is {statistics.median(off):.1%} in the "
        f"median, {max(off):.1%} at worst ({', '.join(worst.key)}).\n"
    ]
    found = {row.key: row for row in rows}
    for pipeline in Pipeline:
        cells = []
        for network in networks:
            own = [found[network, pipeline.value, solver] for solver in solvers]
            texts = [f"{r.model_ns / 1e3:,.0f} / {r.program_ns / 1e3:,.0f} ({r.ratio:.3f})" for r in own]
            cells.append([network, *texts])
        text.append(f"### {pipeline.value}\n\n{table(['network', *solvers], cells)}\n")
    cells = []
    for network in networks:
        own = [found[network, Pipeline.BATCH.value, solver] for solver in solvers]
        cells.append([network, *(f"{r.period_ns / r.program_ns:.2f}" for r in own)])
    text.append(
        "Period of the batch programs over their busiest core (1: it never waits):\n\n"
        + table(["network", *solvers], cells)
        + "\n"
    )
    for solver in solvers:
        ratios = [row.period_ns / row.program_ns for row in rows if row.key[1:] == (Pipeline.BATCH.value, solver)]
        text.append(f"{solver}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f}.")
    return "\n".join(text)


def main() -> None:
    """Compile, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS))
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = options.keep.read_text(encoding="utf-8").splitlines() if options.keep.exists() else []
    known = {row.key: row for row in (Row(**json.loads(line)) for line in lines)}
    for network in options.networks:
        keys = ((network, pipeline.value, solver) for pipeline in Pipeline for solver in options.solvers)
        if all(key in known for key in keys):
            continue
        for row in rows_of(network, options.arch, options.solvers, known):
            known[row.key] = row
            with options.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            print(*row.key, f"{row.ratio:.3f}", flush=True)
    rows = [row for row in known.values() if row.network in options.networks and row.solver in options.solvers]
    body = section(rows, options.arch, options.networks, options.solvers)
    print(body)
    if options.out is not None:
        write_section(options.out, "model truth", body, "Cost model")


if __name__ == "__main__":
    main()
