"""`pimdse simulate`: our prediction beside the real simulator's answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimcomp.errors import OutputError
from pimdse.commands.arguments import Folder
from pimdse.output import output_of, wide_table

if TYPE_CHECKING:
    from pimdse.compiled_folder import CompiledFolder
    from pimdse.pimsim import SimulatorReport

_EPILOG = """[bold]Examples[/bold]

pimdse simulate results/compile/squeezenet1_1-pimcomp_default-element

pimdse simulate out/my --pimsim ~/pimsim-nn/build/ChipTest

PIMSIM_NN=~/pimsim-nn/build/ChipTest pimdse simulate out/my --mode throughput"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", epilog=_EPILOG, rich_help_panel="One network")(simulate)


def simulate(
    context: typer.Context,
    folder: Folder,
    pimsim: Annotated[
        Path | None,
        typer.Option("--pimsim", metavar="PATH", help="pimsim-nn's executable; default: the environment's PIMSIM_NN."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", metavar="latency|throughput", help="Default: latency for element, throughput for batch."
        ),
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", metavar="S", min=1, help="Longest wait for it.")] = 7200,
) -> None:
    """Show a compiled folder's latency or throughput, power and energy, and what pimsim-nn says about them."""
    from pimcomp.errors import ConfigError
    from pimdse.compiled_folder import read_compiled_folder
    from pimdse.pimsim import SimulatorReport, find_simulator, steady_state

    if mode not in ("", "latency", "throughput"):
        raise ConfigError("--mode", f"expected latency or throughput, found {mode!r}")
    output = output_of(context)
    compiled = read_compiled_folder(folder)
    chosen = mode or ("throughput" if compiled.pipeline == "batch" else "latency")
    executable = find_simulator(pimsim)
    theirs, steady = None, None
    if executable is not None:
        with output.stages(f"{executable.name} simulates {folder}"):
            theirs = _ask(executable, compiled, chosen, timeout)
        if chosen == "throughput":
            steady = steady_state(theirs, simulated_ns=_simulated_ns(compiled), latency_ns=compiled.latency_ns)
            theirs = SimulatorReport(
                latency_ns=steady.period_ns, avg_power_mw=steady.avg_power_mw, energy_pj=steady.energy_pj
            )
    figures = _comparison(compiled, theirs, chosen)
    data: dict[str, object] = {"folder": str(folder), "mode": chosen, "ours": {f.name: f.ours for f in figures}}
    if theirs is not None:
        data["theirs"] = {f.name: f.theirs for f in figures}
        data["relative_difference"] = {f.name: f.difference for f in figures}
    if steady is not None:
        data["rounds"], data["resolution"] = steady.rounds, steady.resolution
    header = ("", "pimdse", "pimsim-nn", "difference")[: 4 if theirs else 2]
    output.show(data, lambda console: wide_table(console, header, [_shown(f) for f in figures], numeric=header[1:]))
    if steady is not None:
        share = 100 * steady.resolution
        output.note(f"pimsim-nn counted {steady.rounds:.4g} rounds: its period is known to within {share:.2g} %")
    if executable is None:
        output.note("pimsim-nn was not run: name its executable with --pimsim or PIMSIM_NN")


def _ask(executable: Path, compiled: "CompiledFolder", mode: str, timeout_s: float) -> "SimulatorReport":
    import numpy as np

    from pimcomp.decode import decode_program
    from pimdse.pimsim import run_simulator

    config = compiled.path / ("config.json" if mode == "latency" else "config_throughput.json")
    cores = None
    if mode == "latency":
        decoded = decode_program(compiled.program)
        cores = frozenset(np.flatnonzero(np.diff(decoded.core_start)).tolist())
    return run_simulator(executable, compiled.program, config, cores=cores, timeout_s=timeout_s)


def _simulated_ns(compiled: "CompiledFolder") -> float:
    """sim_time of config_throughput.json. Raises OutputError if that is not there."""
    file = compiled.path / "config_throughput.json"
    try:
        return float(json.loads(file.read_bytes())["sim_config"]["sim_time"]) * 1e6
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{file}: sim_config.sim_time: expected a number of milliseconds") from None


_DIGITS = 6  # the simulator and the timeline agree to four; fewer would hide it


@dataclass(frozen=True, slots=True)
class _Figure:
    """One line of the comparison: ours, the simulator's (None: not run) and how to write both."""

    name: str
    ours: float
    theirs: float | None
    text: Callable[[float, int], str]

    @property
    def difference(self) -> float | None:
        """Ours relative to the simulator's."""
        return self.ours / self.theirs - 1 if self.theirs else None


def _comparison(compiled: "CompiledFolder", theirs: "SimulatorReport | None", mode: str) -> list[_Figure]:
    """The figures of one pass, or of one round in steady state."""
    from pimdse.units import energy_text, power_text, rate_text, time_text

    time_ns = compiled.latency_ns if mode == "latency" else compiled.period_ns
    # dynamic energy is that of a pass; static power flows for the latency or, in steady state, for the period
    energy_pj = compiled.energy_pj - compiled.static_pj + compiled.static_pj * time_ns / compiled.latency_ns
    images = compiled.images_per_round * 1e9
    name = "latency_ns" if mode == "latency" else "period_ns"
    figures = [_Figure(name, time_ns, theirs.latency_ns if theirs else None, time_text)]
    if mode == "throughput":
        rate = images / theirs.latency_ns if theirs else None
        figures.append(_Figure("throughput_per_s", images / time_ns, rate, rate_text))
    power_mw = energy_pj / time_ns
    figures.append(_Figure("avg_power_mw", power_mw, theirs.avg_power_mw if theirs else None, power_text))
    figures.append(_Figure("energy_pj", energy_pj, theirs.energy_pj if theirs else None, energy_text))
    return figures


def _shown(figure: _Figure) -> list[str]:
    title = {"latency_ns": "latency", "period_ns": "period", "throughput_per_s": "throughput"}.get(figure.name)
    cells = [title or {"avg_power_mw": "average power"}.get(figure.name, "energy"), figure.text(figure.ours, _DIGITS)]
    if figure.theirs is not None:
        cells.append(figure.text(figure.theirs, _DIGITS))
        cells.append("-" if figure.difference is None else f"{100 * figure.difference:+.4f} %")
    return cells
