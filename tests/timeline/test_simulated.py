"""Compiled programs against what both simulators said of them when they were stored (tests/data/README.md)."""

import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pimcomp.config import load_arch
from pimcomp.emit.decode import decode_program
from pimcomp.ir.arch import Arch
from pimcomp.isa.listing import Listing
from pimcomp.timeline.energy import energy_of_stream
from pimcomp.timeline.file_stream import stream_of_file
from pimcomp.timeline.timing import time_stream
from pimcomp.timeline.work import Instructions, work_of
from pimdse.folder.pimsim import SimulatorReport, steady_state
from tests.seeds import sampled
from tests.timeline.rounds import count_stream_rounds

FILES = sorted((Path(__file__).parent.parent / "data" / "simulated").glob("*.json.xz"))
SIMULATORS = ("upstream", "heaplab")


@dataclass(frozen=True)
class Stored:
    """A program as both modes' configurations read it, and the run's figures."""

    stream: Instructions
    listing: Listing
    arch: Arch
    run: dict[str, Any]


def stored(path: Path, rob_size: int, folder: Path) -> Stored:
    entry = json.loads(lzma.decompress(path.read_bytes()))
    run = next(r for r in entry["runs"] if r["rob_size"] == rob_size)
    for name, value in (
        ("program", entry["program"]),
        ("network", entry["network"]),
        ("config", run["latency_config"]),
    ):
        (folder / f"{name}.json").write_text(json.dumps(value))
    arch = load_arch(folder / "config.json")
    decoded = decode_program(folder / "program.json")
    return Stored(stream_of_file(decoded, arch)[0], decoded.listing, arch, run)


PROGRAMS = [(f, rob) for f in FILES for rob in (1, 4, 16)]


def named(case: object) -> str | None:
    return case.name.partition(".")[0] if isinstance(case, Path) else None


def test_there_are_both_pipelines_and_chips() -> None:
    names = " ".join(f.name for f in FILES)
    assert all(word in names for word in ("element", "batch", "isaac", "pimsim_example"))
    assert sum(f.stat().st_size for f in FILES) < 300_000


@pytest.mark.parametrize(("path", "rob_size"), sampled(PROGRAMS, 2), ids=named)
def test_latency_and_energy(path: Path, rob_size: int, tmp_path: Path) -> None:
    case = stored(path, rob_size, tmp_path)
    latency_ns = time_stream(case.stream, case.arch, rounds=1).latency_ns
    energy = energy_of_stream(case.stream, case.arch, latency_ns, case.listing)
    assert energy.front_end_pj > 0
    for simulator in SIMULATORS:
        said = case.run["latency"][simulator]
        # The simulators differ from each other by as much: the order of events of one instant.
        assert latency_ns == pytest.approx(said["latency_ns"], rel=1e-3)
        assert latency_ns * said["avg_power_mw"] == pytest.approx(energy.total_pj, rel=1e-3)
        # What does not depend on the latency is exact; above rob_size 1 how long an entry is held in the decoder does.
        exact = 1e-9 if rob_size == 1 else 1e-5
        static_pj = energy.static_pj * said["latency_ns"] / latency_ns
        assert energy.total_pj - energy.static_pj + static_pj == pytest.approx(said["energy_pj"], rel=exact)


@pytest.mark.parametrize(("path", "rob_size"), sampled(PROGRAMS, 4), ids=named)
def test_both_counts_of_rounds_are_exact(path: Path, rob_size: int, tmp_path: Path) -> None:
    case = stored(path, rob_size, tmp_path)
    simulated_ns = case.run["throughput_config"]["sim_config"]["sim_time"] * 1e6
    rounds = count_stream_rounds(case.stream, work_of(case.stream, case.arch), case.arch, simulated_ns)
    said = case.run["throughput"]
    assert rounds.upstream == pytest.approx(simulated_ns / said["upstream"]["latency_ns"], rel=1e-8)
    assert rounds.heaplab == round(simulated_ns / said["heaplab"]["latency_ns"])


@pytest.mark.parametrize("path", [pytest.param(f, id=f.name.partition(".")[0]) for f in FILES])
def test_steady_period_is_the_slowest_cores_rounds(path: Path, tmp_path: Path) -> None:
    case = stored(path, 1, tmp_path)
    timing = time_stream(case.stream, case.arch)
    simulated_ns = case.run["throughput_config"]["sim_config"]["sim_time"] * 1e6
    steady = steady_state(
        SimulatorReport(**case.run["throughput"]["heaplab"]), simulated_ns=simulated_ns, latency_ns=timing.latency_ns
    )
    assert timing.period_ns_per_round == pytest.approx(steady.period_ns_per_round, rel=steady.resolution)
