"""Runs the real simulator on a compiled folder and reads its report; tells a stall from a result.

pimsim-nn exits with status 0 even when cores wait for each other forever, so a report alone proves nothing: every core
with instructions must also have said that it finished.
"""

import math
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from pimcomp.errors import OutputError, SimulatorError
from pimcomp.foundation.file_kind import BOM
from pimcomp.ir.program import LongArray
from pimdse.folder.compiled import PROGRAMS

ENVIRONMENT = "PIMSIM_NN"
_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_FIGURE = re.compile(
    r"^\s*-\s*(?P<name>latency|average latency|average power|average energy):\s*(?P<value>\S+)\s*(?P<unit>\S*)", re.M
)
_FINISHED = re.compile(r"^core:\s*(\d+)\s+finish", re.M)
_ERROR = re.compile(r"^.*(?:Error:|terminate called|what\(\):).*$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorReport:
    """What pimsim-nn printed: latency_ns and energy_pj are of one pass of a round's images, in throughput mode means
    over the rounds it counted."""

    latency_ns: float
    avg_power_mw: float
    energy_pj: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyState:
    """What a throughput run says about one round of images: its period is known to within `resolution` (relative)."""

    rounds: float
    period_ns_per_round: float
    resolution: float
    avg_power_mw: float
    energy_pj_per_round: float


def steady_state(report: SimulatorReport, *, simulated_ns: float, latency_ns: float) -> SteadyState:
    """The period behind a throughput report's means, which include the wait for the first round.

    simulated_ns: sim_time of the configuration. latency_ns: when the first round ends. The simulator counts whole
    rounds: behind the first one, between rounds - 1 and rounds periods have passed; the middle is taken. The energy of
    a round is the power times the period: the printed one pays for the round that was cut off, too.

    Raises SimulatorError if fewer than two rounds were counted.
    """
    rounds = simulated_ns / report.latency_ns
    if rounds < 1.5 or simulated_ns <= latency_ns:  # upstream prints means over cores: no whole numbers
        raise SimulatorError(
            f"the simulation stalled: {rounds:.3g} rounds in {simulated_ns / 1e6:g} ms, or sim_time in "
            "config_throughput.json is too short"
        )
    passed = rounds - 0.5
    period_ns = (simulated_ns - latency_ns) / passed
    return SteadyState(
        rounds=rounds,
        period_ns_per_round=period_ns,
        resolution=0.5 / passed,
        avg_power_mw=report.avg_power_mw,
        energy_pj_per_round=report.avg_power_mw * period_ns,
    )


def cores_at_work(core_start: LongArray) -> frozenset[int]:
    """The cores with instructions; core_start: int64[cores + 1], where each one's list begins."""
    return frozenset(np.flatnonzero(np.diff(core_start)).tolist())


def find_simulator(path: Path | None) -> Path | None:
    """The simulator's executable: `path`, else the environment's PIMSIM_NN, else None.

    Raises SimulatorError if one is named that cannot be run.
    """
    named = str(path) if path is not None else os.environ.get(ENVIRONMENT, "")
    if not named:
        return None
    found = shutil.which(named)
    if found is None:
        origin = "--pimsim" if path is not None else ENVIRONMENT
        raise SimulatorError(f"{origin}: {named} is not an executable file; expected pimsim-nn's ChipTest")
    return Path(found).resolve()


def run_simulator(
    executable: Path, program: Path, config: Path, *, cores: frozenset[int] | None, timeout_s: float
) -> SimulatorReport:
    """Run `executable PROGRAM CONFIG` and return its figures.

    cores: those that must finish (latency mode); None where cores repeat forever (throughput mode). Raises
    SimulatorError when it fails, stalls, takes too long or prints no usable report.
    """
    command = [str(executable), str(program.resolve()), str(config.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise SimulatorError(f"{executable.name}: no result within {timeout_s:g} s (--timeout)") from None
    except OSError as error:
        raise SimulatorError(f"{executable}: cannot be run: {error.strerror}") from None
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        said = _ERROR.findall(text + "\n" + done.stderr.decode(errors="replace"))
        status = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        raise SimulatorError(f"{executable.name} failed ({status}){': ' + said[-1].strip() if said else ''}")
    return read_report(text, cores)


def simulate_folder(
    executable: Path, folder: Path, *, cores: frozenset[int] | None, latency_ns: float, timeout_s: float
) -> tuple[SimulatorReport, SteadyState | None]:
    """What the simulator says of a compiled folder: one pass, or with cores=None one round in steady state.

    latency_ns: our prediction of a pass. Raises SimulatorError, and OutputError for a damaged configuration.
    """
    program = next((path for name in PROGRAMS if (path := folder / name).is_file()), folder / PROGRAMS[0])
    config = folder / ("config.json" if cores is not None else "config_throughput.json")
    report = run_simulator(executable, program, config, cores=cores, timeout_s=timeout_s)
    if cores is not None:
        return report, None
    steady = steady_state(report, simulated_ns=_simulated_ns(config), latency_ns=latency_ns)
    round_ns, round_pj = steady.period_ns_per_round, steady.energy_pj_per_round
    return SimulatorReport(latency_ns=round_ns, avg_power_mw=steady.avg_power_mw, energy_pj=round_pj), steady


def _simulated_ns(file: Path) -> float:
    """sim_time of a simulator configuration. Raises OutputError if that is not there."""
    try:
        return float(orjson.loads(file.read_bytes().removeprefix(BOM))["sim_config"]["sim_time"]) * 1e6
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{file}: sim_config.sim_time: expected a number of milliseconds") from None


def read_report(text: str, cores: frozenset[int] | None) -> SimulatorReport:
    """The figures of a simulator's output. Raises SimulatorError for a missing report or a stalled simulation."""
    if "Simulation Report" not in text:
        raise SimulatorError("the simulator printed no report")
    if cores is not None and (waiting := sorted(cores - {int(c) for c in _FINISHED.findall(text)})):
        shown = ", ".join(map(str, waiting[:8])) + (", ..." if len(waiting) > 8 else "")
        raise SimulatorError(
            f"the simulation stalled: {len(waiting)} of {len(cores)} cores never finished (core {shown}): they wait "
            "for each other, or sim_time in config.json is too short"
        )
    figures = {m["name"]: (_number(m["value"]), m["unit"]) for m in _FIGURE.finditer(text)}
    time_name = "latency" if cores is not None else "average latency"
    missing = [name for name in (time_name, "average power", "average energy") if name not in figures]
    if missing:
        raise SimulatorError(f"the simulator's report has no {', no '.join(missing)}")
    value, unit = figures[time_name]
    report = SimulatorReport(
        latency_ns=value * _NS.get(unit, math.nan),
        avg_power_mw=figures["average power"][0],
        energy_pj=figures["average energy"][0],
    )
    if not (math.isfinite(report.latency_ns) and report.latency_ns > 0 and math.isfinite(report.avg_power_mw)):
        raise SimulatorError(f"the simulation stalled: it reports {time_name} {value:g} {unit}")
    return report


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
