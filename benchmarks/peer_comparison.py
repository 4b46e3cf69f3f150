"""PIMCOMP-NN's programs against ours, same network, chip and simulator: writes the table of docs/results.md.

    python -m benchmarks.peer_comparison --models DIR --baseline FILE [--pimsim PATH_TO_ChipTest]

DIR holds the networks as PIMCOMP-NN's JSON files, FILE what its programs score. Every case is compiled with the default
solver, verified from the emitted files and timed by the timeline; with --pimsim the networks of --simulate also run in
the real simulator. --keep FILE holds what is measured: a run that was interrupted goes on there.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from benchmarks.accuracy import Simulation
from benchmarks.peer_rows import Case, Peer, Peers, geometric_mean, peer_mvm_pj, read_peers
from benchmarks.sections import table, write_section
from pimcomp.compile import compile_network
from pimcomp.config import read_arch
from pimcomp.emit.outputs import emit
from pimcomp.errors import PimdseError
from pimcomp.frontend import load_network
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds
from pimcomp.proof.executed import verify_program
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline.energy import static_power_mw
from pimdse.folder.pimsim import find_simulator
from solvers import get_solver

PIPELINES = ("element", "batch")
PLAIN_PROGRAMS = 12  # that the search may order without packing
OPTIONS = ScheduleOptions()
ROUNDS = 3  # of a batch program in the simulator: the difference to one round is two periods
SECTION = "peer comparison"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Our program of one case; times in ns per image. failure: why there is no program.

    latency_ns, period_ns: timeline. bound_ns: proven for the score of any program (plan/bounds.py). model_bound_ns,
    objective_ns: of the solver's cost model. energy_pj: per image.
    plain_ns: score without scatter and window blocks. peer_pj: the least energy of the peer's best program.
    verified: None before verification. simulated_ns: score in the real simulator.
    """

    network: str
    chip: str
    pipeline: str
    failure: str = ""
    images: int = 1
    latency_ns: float = 0.0
    period_ns: float = 0.0
    bound_ns: float = 0.0
    model_bound_ns: float | None = None
    objective_ns: float | None = None
    energy_pj: float = 0.0
    peer_pj: float = 0.0
    peak_bytes: int = 0
    instructions: int = 0
    compile_s: float = 0.0
    plain_ns: float | None = None
    verified: bool | None = None
    verify_reason: str = ""
    simulated_ns: float | None = None
    simulated_energy_pj: float | None = None

    @property
    def case(self) -> Case:
        """(network, chip, pipeline)."""
        return (self.network, self.chip, self.pipeline)

    @property
    def score_ns(self) -> float:
        """What is compared: latency in the element pipeline, period per image in the batch pipeline."""
        return self.latency_ns if self.pipeline == "element" else self.period_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How to measure: folder of the networks, simulator (or None), whether to verify."""

    models: Path
    simulator: Path | None
    simulate: tuple[str, ...]
    verify: bool
    timeout_s: float


def measure(row: Row, peer: Peer, job: Job) -> Row:
    """The row with whatever it lacks filled in."""
    network = load_network(job.models / f"{row.network}.json", weights="random:0")
    arch, _ = read_arch(row.chip)
    started = time.process_time()
    try:
        compiled = compile_case(network, arch, row.pipeline, "auto", {}, OPTIONS)
    except PimdseError as error:
        return replace(row, failure=str(error))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        emit(compiled, out)
        row = timed(row, compiled, time.process_time() - started)
        row = replace(row, peer_pj=peer_pj(network, arch, peer.cores, peer.score_ns(row.pipeline)))
        if row.plain_ns is None:
            row = replace(row, plain_ns=plain_score_ns(network, arch, row.pipeline))
        if job.verify and row.verified is None:
            report = verify_program(out, network, images=1)
            row = replace(row, verified=report.passed, verify_reason=report.reason)
    if wants_simulation(row, job):
        row = simulated(row, compiled, job)
    return row


def compile_case(
    network: LoadedNetwork,
    arch: Arch,
    pipeline: str,
    solver: str,
    settings: dict[str, int | float | bool | str],
    options: ScheduleOptions,
) -> Compiled:
    """One program of a case."""
    chosen = get_solver(solver, settings)
    return compile_network(network.graph, arch, chosen, pipeline=Pipeline(pipeline), options=options)


def plain_score_ns(network: LoadedNetwork, arch: Arch, pipeline: str) -> float | None:
    """Score without packing: one window per MVM, no scatter, every layer by itself and on crossbars; None if that does
    not fit."""
    options = replace(OPTIONS, merge_siblings=False, stack_rows=False, vector_depthwise=False)
    settings = {"scatter": False, "widest_block": 1, "most": PLAIN_PROGRAMS}
    try:
        compiled = compile_case(network, arch, pipeline, "lns", settings, options)
    except PimdseError:
        return None
    return compiled.latency_ns if pipeline == "element" else compiled.period_ns


def timed(row: Row, compiled: Compiled, compile_s: float) -> Row:
    """The row with the figures of a compiled program."""
    images, arch = compiled.program.images_per_round, compiled.arch
    least = bounds(compiled.graph, arch, compiled.partition)
    return replace(
        row,
        images=images,
        latency_ns=compiled.latency_ns,
        period_ns=compiled.period_ns,
        bound_ns=least.latency_ns if row.pipeline == "element" else least.period_ns,
        model_bound_ns=compiled.outcome.bound_ns,
        objective_ns=compiled.outcome.objective_ns,
        energy_pj=compiled.energy_pj,
        peak_bytes=int(compiled.program.local_peak_bytes.max()),
        instructions=len(compiled.program.table.op),
        compile_s=compile_s,
    )


def peer_pj(network: LoadedNetwork, arch: Arch, cores: int, score_ns: float) -> float:
    """The least that PIMCOMP-NN's program can take: its MVMs, and static power while it runs."""
    return peer_mvm_pj(network.graph, arch) + static_power_mw(arch, cores) * score_ns


def simulated(row: Row, compiled: Compiled, job: Job) -> Row:
    """The row with the real simulator's figures."""
    assert job.simulator is not None
    with tempfile.TemporaryDirectory() as folder:
        run = Simulation(job.simulator, Path(folder), compiled.program, compiled.arch, job.timeout_s)
        report, _ = run.copies(1, compiled.timing.latency_ns)
        score_ns = report.latency_ns
        if row.pipeline == "batch":
            several, _ = run.copies(ROUNDS, ROUNDS * compiled.timing.latency_ns)
            score_ns = (several.latency_ns - report.latency_ns) / (ROUNDS - 1) / row.images
    return replace(row, simulated_ns=score_ns, simulated_energy_pj=report.energy_pj / row.images)


def wants_simulation(row: Row, job: Job) -> bool:
    """Whether the simulator's figures are asked for and missing."""
    chosen = not job.simulate or row.network in job.simulate
    return job.simulator is not None and chosen and row.simulated_ns is None


def is_complete(row: Row, job: Job) -> bool:
    """Whether nothing is left to measure."""
    if row.failure:
        return True
    return row.latency_ns > 0 and (row.verified is not None or not job.verify) and not wants_simulation(row, job)


HEADER = (
    "network", "chip", "theirs us", "ours us", "ratio", "ratio, plain", "heuristics us", "ratio to them",
    "simulator us", "bound us", "gap", "plan's gap", "energy uJ", "theirs uJ at least", "peak kB",
    "verified", "compile s",
)  # fmt: skip


def cells(row: Row, peers: Peers) -> list[str]:
    """One line of the table, in the order of HEADER."""
    theirs, heuristic = peers.best[row.case].score_ns(row.pipeline), peers.heuristic.get(row.case)
    simple_ns = heuristic.score_ns(row.pipeline) if heuristic else 0.0
    start = [row.network, row.chip, f"{theirs / 1e3:,.0f} ({peers.best[row.case].replication})"]
    if row.failure:
        return [*start, f"failed: {row.failure.splitlines()[0]}", *[""] * (len(HEADER) - len(start) - 1)]
    model = row.model_bound_ns
    return [
        *start,
        f"{row.score_ns / 1e3:,.0f}",
        f"{theirs / row.score_ns:.1f}",
        "" if row.plain_ns is None else f"{theirs / row.plain_ns:.1f}",
        f"{simple_ns / 1e3:,.0f} ({heuristic.replication})" if heuristic else "none completes",
        f"{simple_ns / row.score_ns:.1f}" if heuristic else "",
        "" if row.simulated_ns is None else f"{row.simulated_ns / 1e3:,.0f}",
        f"{row.bound_ns / 1e3:,.0f}",
        f"{1 - row.bound_ns / row.score_ns:.0%}",
        "" if model is None or not row.objective_ns else f"{1 - model / row.objective_ns:.0%}",
        f"{row.energy_pj / 1e6:,.0f}",
        f"{row.peer_pj / 1e6:,.0f}",
        f"{row.peak_bytes / 1e3:,.0f}",
        {True: "yes", False: f"NO: {row.verify_reason}", None: "not run"}[row.verified],
        f"{row.compile_s:.1f}",
    ]


def means(rows: Sequence[Row], peers: Peers) -> list[list[str]]:
    """Geometric means per chip and pipeline, in the order of MEANS_HEADER."""
    lines = []
    for chip in dict.fromkeys(r.chip for r in rows):
        for pipeline in PIPELINES:
            chosen = [r for r in rows if r.chip == chip and r.pipeline == pipeline and not r.failure]
            if not chosen:
                continue
            ratios = [peers.best[r.case].score_ns(pipeline) / r.score_ns for r in chosen]
            plain = [peers.best[r.case].score_ns(pipeline) / r.plain_ns for r in chosen if r.plain_ns]
            simple = [
                peers.heuristic[r.case].score_ns(pipeline) / r.score_ns for r in chosen if r.case in peers.heuristic
            ]
            lines.append(
                [
                    chip,
                    pipeline,
                    str(len(chosen)),
                    f"**{geometric_mean(ratios):.1f}**",
                    f"{min(ratios):.1f}",
                    f"{geometric_mean(plain):.1f}" + _of(plain, chosen),
                    f"{geometric_mean(simple):.1f}" + _of(simple, chosen),
                    f"{geometric_mean(r.energy_pj / r.peer_pj for r in chosen):.2f}",
                    f"{sum(r.verified is True for r in chosen)} of {len(chosen)}",
                ]
            )
    return lines


def _of(found: Sequence[float], chosen: Sequence[Row]) -> str:
    return f" ({len(found)} rows)" if len(found) < len(chosen) else ""


MEANS_HEADER = (
    "chip", "pipeline", "networks", "ratio", "smallest ratio", "ratio, plain", "ratio to heuristics",
    "energy over theirs, at most", "verified",
)  # fmt: skip

INTRODUCTION = """\
## Against PIMCOMP-NN

Same networks (PIMCOMP-NN's own JSON files; LRN is dropped on both sides), same chips, `rob_size` 1. Theirs is the best
program that completes, of its genetic algorithm (GA: as it ships, unseeded, up to four runs per network, the best run)
and of its heuristics balance, W0H0 and uniform; "heuristics" is without the GA. Its files were changed only as far as
today's simulator needs to load them, and timed by a reimplementation of the simulator's timing at `rob_size` 1 (0.002 %
from the simulator itself on squeezenet). Element: latency of one image. Batch: steady period per image.

- PIMCOMP-NN uses no packing: one window per MVM, no scattering convolutions, no window blocks, every layer by itself,
  depthwise layers expanded to dense ones. "Ratio, plain" is ours with all of these off (solver `lns` with `scatter`
  off, `widest_block` 1 and {programs} programs; `merge_siblings`, `stack_rows` and `vector_depthwise` off; depthwise
  layers block-diagonal). Neither side uses a bias row or ReLU in the MVM.
- PIMCOMP-NN's batch programs omit pooling, additions and concatenation; ours contain all of it. Element programs
  contain everything on both sides.
- Ours us: the timeline; simulator us: pimsim-nn itself, for the rows that were simulated (batch: the difference
  between {rounds} rounds and one, per image).
- Bound: proven for every program of the network on the chip (`plan/bounds.py`); gap: 1 - bound / ours. Plan's gap:
  the same for the solver's cost model, its bound over all plans against the plan's objective; the model leaves out
  most messages and waiting, and the program takes longer than it says.
- Energy: per image. PIMCOMP-NN's energy was not recorded; "at least" is its MVMs (each window enters one replica's
  crossbars once) and static power of the cores it uses during its time, without network, memory and vector units.
- Peak: most local memory that a core uses. One image enters per round of a batch program.
- Verified: the emitted files were executed with random weights and compared with ONNX Runtime, every element of every
  output, tolerance 1e-4 of the range.
- Compile: processor seconds from the loaded network to written files, numba's cache filled.

```sh
python -m benchmarks.peer_comparison --models PIMCOMP_MODELS --baseline PEER_BASELINE.json --pimsim PATH_TO_CHIPTEST
```
"""


def section(rows: Sequence[Row], peers: Peers) -> str:
    """The whole section of the page."""
    parts = [INTRODUCTION.format(rounds=ROUNDS, programs=PLAIN_PROGRAMS)]
    parts.append("### Geometric means\n\n" + table(MEANS_HEADER, means(rows, peers)))
    for pipeline in PIPELINES:
        chosen = sorted((r for r in rows if r.pipeline == pipeline), key=lambda r: r.chip)
        if chosen:
            parts.append(f"### {pipeline.capitalize()} pipeline\n\n" + table(HEADER, [cells(r, peers) for r in chosen]))
    return "\n\n".join(parts)


def read_rows(path: Path | None) -> dict[Case, Row]:
    """Rows kept by an earlier run."""
    if path is None or not path.exists():
        return {}
    names = {f.name for f in fields(Row)}
    kept = (Row(**{k: v for k, v in entry.items() if k in names}) for entry in json.loads(path.read_text()))
    return {row.case: row for row in kept}


def main() -> None:
    """Measure and write."""
    options = parse()
    simulator = find_simulator(options.pimsim)
    job = Job(
        models=options.models,
        simulator=simulator,
        simulate=tuple(options.simulate),
        verify=not options.no_verify,
        timeout_s=options.timeout,
    )
    peers = read_peers(options.baseline)
    rows = read_rows(options.keep)
    for pipeline in options.pipeline or PIPELINES:
        for case, peer in peers.best.items():
            if case[2] != pipeline or (options.networks and case[0] not in options.networks):
                continue
            row = rows.get(case, Row(network=case[0], chip=case[1], pipeline=case[2]))
            if not is_complete(row, job):
                rows[case] = measure(row, peer, job)
                print(" | ".join([pipeline, *cells(rows[case], peers)]), flush=True)
            write(options, [rows[c] for c in peers.best if c in rows], peers)


def write(options: argparse.Namespace, rows: list[Row], peers: Peers) -> None:
    """Both files, as far as the measurement has come."""
    if options.keep is not None:
        options.keep.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    write_section(options.out, SECTION, section(rows, peers), "Results")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PIMCOMP-NN's networks, NAME.json")
    parser.add_argument("--baseline", type=Path, required=True, help="what PIMCOMP-NN's programs score")
    parser.add_argument("--pimsim", type=Path, help="the simulator's executable (default: environment PIMSIM_NN)")
    parser.add_argument("--simulate", nargs="*", default=(), help="networks to simulate (default: all)")
    parser.add_argument("--pipeline", nargs="+", choices=PIPELINES)
    parser.add_argument("--networks", nargs="+", help="default: all of the baseline")
    parser.add_argument("--no-verify", action="store_true")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds per simulation")
    parser.add_argument("--keep", type=Path, help="file of the measured rows")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
