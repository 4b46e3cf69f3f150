"""The timeline against the real simulator on whole networks: writes the ledger docs/accuracy.md.

    python -m benchmarks.accuracy --pimsim PATH_TO_ChipTest --out docs/accuracy.md

Every program is compiled, written and run by the simulator in latency mode, per rob_size; with --period also as 2 and
4 copies in a row, whose difference is the simulator's steady period. Rows appear as they are measured, so an
interrupted run leaves what it has.
"""

import argparse
import gzip
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.emit.pimsim import write_program
from pimcomp.energy import energy_of_stream
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Program
from pimcomp.timeline.timing import simulate, steady_period_ns
from pimcomp.timeline.work import PS_PER_NS, stream_of, work_of
from pimdse.building import build, make_recipe
from pimdse.pimsim import SimulatorReport, find_simulator, run_simulator

NETWORKS = ("squeezenet1_1", "resnet18", "googlenet", "mobilenet_v2")
ROB_SIZES = {"element": (1, 4, 16), "batch": (1,)}
HEADER = (
    "network", "pipeline", "solver", "rob_size", "simulator ns", "timeline ns", "error", "energy error",
    "simulated period ns", "period error", "simulator CPU s", "timeline CPU ms", "ratio",
)  # fmt: skip
# Simulated time over the latency expected.
MARGIN = 1.5
WARM_RUNS = 7


@dataclass(frozen=True, kw_only=True)
class Row:
    """One program on one chip: the simulator's figures and ours."""

    network: str
    pipeline: str
    solver: str
    rob_size: int
    simulator_ns: float
    timeline_ns: float
    simulator_pj: float
    timeline_pj: float
    simulator_period_ns: float | None
    timeline_period_ns: float
    simulator_cpu_s: float
    timeline_cpu_s: float

    @property
    def latency_error(self) -> float:
        """Relative, signed."""
        return self.timeline_ns / self.simulator_ns - 1

    @property
    def energy_error(self) -> float:
        """Relative, signed."""
        return self.timeline_pj / self.simulator_pj - 1

    @property
    def period_error(self) -> float | None:
        """Relative, signed; None where the simulator's period was not measured."""
        return None if self.simulator_period_ns is None else self.timeline_period_ns / self.simulator_period_ns - 1

    @property
    def ratio(self) -> float:
        """Simulator's processor time over ours."""
        return self.simulator_cpu_s / self.timeline_cpu_s

    def cells(self) -> list[str]:
        """In the order of HEADER."""
        measured = self.simulator_period_ns is not None
        return [
            self.network,
            self.pipeline,
            self.solver,
            str(self.rob_size),
            f"{self.simulator_ns:,.0f}",
            f"{self.timeline_ns:,.0f}",
            f"{self.latency_error:+.4%}",
            f"{self.energy_error:+.4%}",
            f"{self.simulator_period_ns:,.0f}" if measured else "",
            f"{self.period_error:+.4%}" if measured else "",
            f"{self.simulator_cpu_s:.1f}",
            f"{self.timeline_cpu_s * 1e3:.2f}",
            f"{self.ratio:,.0f}",
        ]


def measure(
    executable: Path, program: Program, arch: Arch, names: tuple[str, str, str], *, period: bool, timeout_s: float
) -> Row:
    """Time one program both ways on a chip. names: network, pipeline, solver."""
    stream = stream_of(program, arch)
    work = work_of(stream, arch)
    latency_ns = simulate(stream, work, arch, 1).latency_ps / PS_PER_NS
    cpu_s = warm_cpu_s(lambda: simulate(stream, work_of(stream, arch), arch, 1))
    with tempfile.TemporaryDirectory() as folder:
        run = Simulation(executable, Path(folder), program, arch, timeout_s)
        report, simulator_cpu_s = run.copies(1, latency_ns)
        simulator_period_ns = None
        if period:
            two, four = (run.copies(k, k * latency_ns)[0].latency_ns for k in (2, 4))
            simulator_period_ns = (four - two) / 2
    return Row(
        network=names[0],
        pipeline=names[1],
        solver=names[2],
        rob_size=arch.rob_size,
        simulator_ns=report.latency_ns,
        timeline_ns=latency_ns,
        simulator_pj=report.energy_pj,
        timeline_pj=energy_of_stream(stream, arch, latency_ns).total_pj,
        simulator_period_ns=simulator_period_ns,
        timeline_period_ns=steady_period_ns(simulate(stream, work, arch, 4)),
        simulator_cpu_s=simulator_cpu_s,
        timeline_cpu_s=cpu_s,
    )


@dataclass(frozen=True)
class Simulation:
    """Runs of one program by the real simulator in one folder."""

    executable: Path
    folder: Path
    program: Program
    arch: Arch
    timeout_s: float

    def copies(self, count: int, expected_ns: float) -> tuple[SimulatorReport, float]:
        """(report, processor seconds) of every core's list `count` times in a row."""
        path, config = self.folder / "program.gz", self.folder / "config.json"
        if not path.exists():
            write_program(self.program, self.arch, path)
            (self.folder / "network.json").write_bytes(network_json(self.arch))
        source = path
        if count > 1:
            entries = json.loads(gzip.decompress(path.read_bytes()))
            repeated = {name: value if name == "config" else value * count for name, value in entries.items()}
            source = self.folder / "copies.json"
            source.write_text(json.dumps(repeated, separators=(",", ":")))
        config.write_bytes(simulator_config(self.arch, sim_mode=1, sim_time_ms=MARGIN * expected_ns * 1e-6))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        present = frozenset(np.flatnonzero(np.diff(self.program.core_start)).tolist())
        report = run_simulator(self.executable, source, config, cores=present, timeout_s=self.timeout_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return report, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def warm_cpu_s(run: Callable[[], object]) -> float:
    """Smallest processor time of several runs, after one that compiles."""
    run()
    times = []
    for _ in range(WARM_RUNS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measured_rows(executable: Path, options: argparse.Namespace) -> Iterator[Row]:
    """All rows the options ask for."""
    for network, solver, pipeline in product(options.networks, options.solvers, options.pipelines):
        recipe = make_recipe(
            model=network,
            weights="random:0",
            arch=options.arch,
            solver=solver,
            pipeline=pipeline,
            time_limit_s=10.0,
            seed=0,
            options=(),
        )
        program = build(recipe).compiled.program
        for rob_size in options.rob_sizes or ROB_SIZES[pipeline]:
            arch = replace(recipe.arch, rob_size=rob_size)
            names = (network, pipeline, recipe.solver)
            period = options.period and rob_size == 1
            yield measure(executable, program, arch, names, period=period, timeout_s=options.timeout)


def ledger(rows: list[Row], arch: str) -> str:
    """The document."""
    lines = [
        "# Accuracy of the timeline",
        "",
        f"Chip `{arch}`, random weights, latency mode; written by `benchmarks/accuracy.py`. Errors are ours over the "
        "simulator's. The simulator's processor time includes loading the program; the timeline's is warm, from the "
        "program in memory. The remaining error is the order in which the simulator serves events of one instant.",
        "",
        "```",
        "python -m benchmarks.accuracy --pimsim PATH_TO_CHIPTEST --period",
        "```",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---|" * len(HEADER),
        *("| " + " | ".join(row.cells()) + " |" for row in rows),
        "",
        "| figure | rows | median | largest |",
        "|---|---|---|---|",
    ]
    for name, errors in (
        ("latency error", [abs(r.latency_error) for r in rows]),
        ("energy error", [abs(r.energy_error) for r in rows]),
        ("period error", [abs(r.period_error) for r in rows if r.period_error is not None]),
    ):
        if errors:
            lines.append(f"| {name} | {len(errors)} | {statistics.median(errors):.4%} | {max(errors):.4%} |")
    for name, ratios in (
        ("ratio at rob_size 1", [r.ratio for r in rows if r.rob_size == 1]),
        ("ratio above", [r.ratio for r in rows if r.rob_size > 1]),
    ):
        if ratios:
            lines.append(f"| {name} | {len(ratios)} | {statistics.median(ratios):,.0f} | smallest {min(ratios):,.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the ledger."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pimsim", type=Path, help="the simulator's executable (default: environment PIMSIM_NN)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--pipelines", nargs="+", default=tuple(ROB_SIZES), choices=tuple(ROB_SIZES))
    parser.add_argument("--rob-sizes", nargs="+", type=int, help="default: 1, and for element also 4 and 16")
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--solvers", nargs="+", default=("auto", "balance"))
    parser.add_argument("--period", action="store_true", help="also measure the steady period, at rob_size 1")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds per simulation")
    parser.add_argument("--out", type=Path, default=Path("docs/accuracy.md"))
    options = parser.parse_args()
    executable = find_simulator(options.pimsim)
    if executable is None:
        parser.error("no simulator: give --pimsim or set PIMSIM_NN")
    rows: list[Row] = []
    for row in measured_rows(executable, options):
        rows.append(row)
        print(" | ".join(row.cells()), flush=True)
        options.out.write_text(ledger(rows, options.arch), encoding="utf-8")


if __name__ == "__main__":
    main()
