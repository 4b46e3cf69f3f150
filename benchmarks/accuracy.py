"""The timeline and the estimated cost against the real simulator on whole networks: writes docs/accuracy.md.

    python -m benchmarks.accuracy --pimsim PATH_TO_ChipTest --keep LEDGER.json --out docs/accuracy.md

Every program is compiled, written and run by the simulator in latency mode, per rob_size; at rob_size 1 also as 2 and 4
copies in a row, whose difference is the simulator's steady period. --keep FILE holds what is measured: a run that was
interrupted goes on there, and rows that are in it are not measured again.
"""

import argparse
import gzip
import json
import resource
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.sections import table, write_section
from benchmarks.warm import warm_cpu_s
from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.emit.pimsim import write_program
from pimcomp.estimate import Estimator
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Program
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline.energy import energy_of
from pimcomp.timeline.instruction_times import instruction_times
from pimcomp.timeline.timing import runner, steady_period_ns
from pimcomp.timeline.work import PS_PER_NS, stream_of, work_of
from pimdse.compiling.building import build, make_recipe
from pimdse.folder.pimsim import SimulatorReport, find_simulator, run_simulator
from tests.timeline.ties import contests_of

ROB_SIZES = {"element": (1, 4, 16), "batch": (1,)}
# (network, chip, rob_sizes): the project's acceptance set (issue 3).
NETWORKS = ("squeezenet1_1", "resnet18", "googlenet", "mobilenet_v2")
DEFAULT = (
    *((network, "pimcomp_default", pipeline, sizes) for network in NETWORKS for pipeline, sizes in ROB_SIZES.items()),
    *(("resnet18", "pimsim_example", pipeline, (1,)) for pipeline in ROB_SIZES),
)
HEADER = (
    "network", "pipeline", "solver", "rob_size", "chip", "simulator ns", "timeline ns", "error", "energy error", "ties",
    "cost ns", "cost error", "simulated period ns", "period error", "simulator CPU s", "timeline CPU ms", "ratio",
)  # fmt: skip
# Simulated time over the latency expected.
MARGIN = 1.5
WARM_RUNS = 15
SECTION = "ledger"

NOTE = f"""\
Random weights; written by `benchmarks/accuracy.py`. Errors are ours over the simulator's in latency mode. The
period is (time of 4 copies in a row - time of 2) / 2. Ties: requests that reach a core's memory port or the global
memory in the same instant as another (`tests/timeline/ties.py`); the order in which the simulator serves events
of one instant is all that is known to remain. Cost is the estimate of one
pass from the plan alone, before scheduling (`pimcomp/estimate`, rob_size 1). The simulator's
processor time includes loading the program; the timeline's is warm, from the program in memory, the median of
{WARM_RUNS} runs."""

Case = tuple[str, str, str, int, str]  # network, pipeline, solver, rob_size, chip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One program on one chip: the simulator's figures and ours.

    ties: see `timeline.ties`. cost_ns: one pass as estimated from the plan. simulator_period_ns: None where it was not
    measured.
    """

    network: str
    pipeline: str
    solver: str
    rob_size: int
    chip: str
    simulator_ns: float
    timeline_ns: float
    simulator_pj: float
    timeline_pj: float
    ties: int
    cost_ns: float
    simulator_period_ns: float | None
    timeline_period_ns: float
    simulator_cpu_s: float
    timeline_cpu_s: float

    @property
    def case(self) -> Case:
        """What the row is of."""
        return self.network, self.pipeline, self.solver, self.rob_size, self.chip

    @property
    def latency_error(self) -> float:
        """Relative, signed."""
        return self.timeline_ns / self.simulator_ns - 1

    @property
    def energy_error(self) -> float:
        """Relative, signed."""
        return self.timeline_pj / self.simulator_pj - 1

    @property
    def cost_error(self) -> float:
        """Of the estimate, relative to the simulator, signed."""
        return self.cost_ns / self.simulator_ns - 1

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
            self.chip,
            f"{self.simulator_ns:,.0f}",
            f"{self.timeline_ns:,.0f}",
            f"{self.latency_error:+.4%}",
            f"{self.energy_error:+.4%}",
            f"{self.ties:,}",
            f"{self.cost_ns:,.0f}",
            f"{self.cost_error:+.1%}",
            f"{self.simulator_period_ns:,.0f}" if measured else "",
            f"{self.period_error:+.4%}" if measured else "",
            f"{self.simulator_cpu_s:.1f}",
            f"{self.timeline_cpu_s * 1e3:.2f}",
            f"{self.ratio:,.0f}",
        ]


def measure(executable: Path, compiled: Compiled, case: Case, *, period: bool, timeout_s: float) -> Row:
    """Time one program both ways. period: also the simulator's steady period."""
    arch = replace(compiled.arch, rob_size=case[3])
    program = compiled.program
    stream = stream_of(program, arch)
    work = work_of(stream, arch)
    latency_ns = runner(stream, arch)[0](1).latency_ps / PS_PER_NS
    cpu_s = statistics.median(warm_cpu_s(lambda: runner(stream_of(program, arch), arch)[0](1), WARM_RUNS))
    with tempfile.TemporaryDirectory() as folder:
        run = Simulation(executable, Path(folder), program, arch, timeout_s)
        report, simulator_cpu_s = run.copies(1, latency_ns)
        simulator_period_ns = None
        if period:
            two, four = (run.copies(k, k * latency_ns)[0].latency_ns for k in (2, 4))
            simulator_period_ns = (four - two) / 2
    options = ScheduleOptions(images_per_round=program.images_per_round)
    estimator = Estimator.of(compiled.graph, arch, compiled.partition)
    cost = estimator.estimate([compiled.plan], Pipeline(case[1]), options)
    return Row(
        network=case[0],
        pipeline=case[1],
        solver=case[2],
        rob_size=case[3],
        chip=case[4],
        simulator_ns=report.latency_ns,
        timeline_ns=latency_ns,
        simulator_pj=report.energy_pj,
        timeline_pj=energy_of(program, arch, latency_ns).total_pj,
        ties=contests_of(stream, work, instruction_times(stream, work, arch)).total,
        cost_ns=float(cost.latency_ns[0]),
        simulator_period_ns=simulator_period_ns,
        timeline_period_ns=steady_period_ns(runner(stream, arch)[0](4)),
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


def measured_rows(executable: Path, options: argparse.Namespace, kept: dict[Case, Row]) -> Iterator[Row]:
    """All rows the options ask for, in order; those that are kept are not measured again."""
    for (network, chip, pipeline, sizes), solver in product(cases(options), options.solvers):
        recipe = make_recipe(
            model=network,
            weights="random:0",
            arch=chip,
            solver=solver,
            pipeline=pipeline,
            time_limit_s=None,
            seed=0,
            options=(),
        )
        compiled = None
        for rob_size in sizes:
            case = (network, pipeline, recipe.solver, rob_size, chip)
            if case not in kept:
                compiled = compiled or build(recipe).compiled
                period = options.period and rob_size == 1
                kept[case] = measure(executable, compiled, case, period=period, timeout_s=options.timeout)
            yield kept[case]


def cases(options: argparse.Namespace) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """(network, chip, pipeline, rob_sizes) of the default set, or of what is named instead."""
    chosen = DEFAULT
    if options.arch or options.networks:
        names, chip = options.networks or NETWORKS, options.arch or "pimcomp_default"
        chosen = tuple((name, chip, pipeline, ROB_SIZES[pipeline]) for name in names for pipeline in ROB_SIZES)
    sizes = tuple(options.rob_sizes or ())
    return [
        (name, chip, pipeline, sizes or own) for name, chip, pipeline, own in chosen if pipeline in options.pipelines
    ]


def ledger(rows: list[Row]) -> str:
    """The section of the document."""
    return "\n".join(
        [
            NOTE,
            "",
            "```sh",
            "python -m benchmarks.accuracy --pimsim PATH_TO_CHIPTEST --keep LEDGER.json",
            "```",
            "",
            table(HEADER, [row.cells() for row in rows]),
            "",
            table(("figure", "rows", "median", "worst"), summary(rows)),
        ]
    )


def summary(rows: list[Row]) -> list[list[str]]:
    """Median and largest error of each kind, median and smallest ratio at and above rob_size 1."""
    lines = []
    for name, errors in (
        ("latency error", [abs(r.latency_error) for r in rows]),
        ("energy error", [abs(r.energy_error) for r in rows]),
        ("period error", [abs(r.period_error) for r in rows if r.period_error is not None]),
        ("cost error", [abs(r.cost_error) for r in rows]),
    ):
        if errors:
            lines.append([name, str(len(errors)), f"{statistics.median(errors):.4%}", f"{max(errors):.4%}"])
    for name, ratios in (
        ("ratio at rob_size 1", [r.ratio for r in rows if r.rob_size == 1]),
        ("ratio above", [r.ratio for r in rows if r.rob_size > 1]),
    ):
        if ratios:
            lines.append([name, str(len(ratios)), f"{statistics.median(ratios):,.0f}", f"{min(ratios):,.0f}"])
    return lines


def read_kept(path: Path | None) -> dict[Case, Row]:
    """The rows of an earlier run."""
    if path is None or not path.exists():
        return {}
    rows = [Row(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    return {row.case: row for row in rows}


def main() -> None:
    """Measure and write the ledger."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pimsim", type=Path, help="the simulator's executable (default: environment PIMSIM_NN)")
    parser.add_argument("--networks", nargs="+", help=f"instead of the default set (all of {', '.join(NETWORKS)})")
    parser.add_argument("--pipelines", nargs="+", default=tuple(ROB_SIZES), choices=tuple(ROB_SIZES))
    parser.add_argument("--rob-sizes", nargs="+", type=int, help="default: 1, and for element also 4 and 16")
    parser.add_argument("--arch", help="one chip, instead of the default set's")
    parser.add_argument("--solvers", nargs="+", default=("auto",))
    parser.add_argument("--no-period", dest="period", action="store_false", help="do not simulate copies")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds per simulation")
    parser.add_argument("--keep", type=Path, help="file of the measured rows")
    parser.add_argument("--out", type=Path, default=Path("docs/accuracy.md"))
    options = parser.parse_args()
    executable = find_simulator(options.pimsim)
    if executable is None:
        parser.error("no simulator: give --pimsim or set PIMSIM_NN")
    kept = read_kept(options.keep)
    rows: list[Row] = []
    for row in measured_rows(executable, options, kept):
        rows.append(row)
        print(" | ".join(row.cells()), flush=True)
        if options.keep is not None:
            options.keep.write_text(json.dumps([asdict(r) for r in kept.values()], indent=1), encoding="utf-8")
        write_section(options.out, SECTION, ledger(rows), "Accuracy of the timeline")


if __name__ == "__main__":
    main()
