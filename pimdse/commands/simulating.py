"""`pimdse simulate`: what a program takes and why, and the real simulator's answer beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from pimcomp.errors import OutputError, check_name
from pimcomp.foundation.file_kind import BOM
from pimdse.commands.arguments import Folder
from pimdse.display.output import output_of, plain, rows_table, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from pimcomp.ir.report import Energy, LayerEnergy
    from pimdse.folder.pimsim import SimulatorReport, SteadyState
    from pimdse.folder.program import ProgramFolder

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
    """Show a program's latency, throughput, power and energy, where the time goes, and what pimsim-nn says."""
    from pimdse.folder.attribution import attribution_data, show_attribution
    from pimdse.folder.pimsim import find_simulator
    from pimdse.folder.program import read_program_folder

    if mode:
        check_name("--mode", mode, ("latency", "throughput"))
    output = output_of(context)
    executable = find_simulator(pimsim)
    with output.stages(f"reading {folder}") as observe:
        program = read_program_folder(folder)
        observe("read", None)
        found = program.attribution()
        prediction = _predict(program)
        observe("timeline", None)
    chosen = mode or ("throughput" if program.pipeline == "batch" else "latency")
    theirs, steady = None, None
    if executable is not None:
        with output.stages(f"{executable.name} simulates {folder}"):
            theirs, steady = _ask(executable, program, prediction, chosen, timeout)
    figures = _comparison(prediction, theirs, chosen)
    data: dict[str, object] = {"folder": str(folder), "mode": chosen, "ours": {f.name: f.ours for f in figures}}
    if theirs is not None:
        data["theirs"] = {f.name: f.theirs for f in figures}
        data["relative_difference"] = {f.name: f.difference for f in figures}
    if steady is not None:
        data["rounds"], data["resolution"] = steady.rounds, steady.resolution
    data |= {"prediction": prediction.data(), "attribution": attribution_data(found, program)}

    def render(console: "Console") -> None:
        plain(console, program.title, "bold")
        rows_table(console, prediction.rows())
        if theirs is not None:
            header = ("", "pimdse", "pimsim-nn", "difference")
            wide_table(console, header, [_shown(f) for f in figures], numeric=header[1:])
        console.print()
        show_attribution(console, found, program)

    output.show(data, render)
    if steady is not None:
        share = 100 * steady.resolution
        output.note(f"pimsim-nn counted {steady.rounds:.4g} rounds: its period is known to within {share:.2g} %")
    if executable is None:
        output.note("pimsim-nn was not run: name its executable with --pimsim or PIMSIM_NN")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prediction:
    """What the timeline says of a program; `energy` is of one pass, `layers` its dynamic part by graph node."""

    latency_ns: float
    period_ns_per_round: float
    images_per_round: int
    energy: "Energy"
    not_counted: tuple[str, ...]
    layers: "tuple[LayerEnergy, ...]"

    @property
    def period_ns(self) -> float:
        """Per image, in steady state."""
        return self.period_ns_per_round / self.images_per_round

    @property
    def throughput_per_s(self) -> float:
        """In steady state; 0 for a program that takes no time."""
        return 1e9 / self.period_ns if self.period_ns else 0.0

    @property
    def avg_power_mw(self) -> float:
        """Over one pass."""
        return self.energy.total_pj / self.latency_ns if self.latency_ns else 0.0

    def data(self) -> dict[str, object]:
        """The keys of report.json."""
        return {
            "latency_ns": self.latency_ns,
            "period_ns": self.period_ns,
            "images_per_round": self.images_per_round,
            "throughput_per_s": self.throughput_per_s,
            "energy_pj": self.energy.total_pj / self.images_per_round,
            "energy_by_pj": self._energy_parts(),
            "energy_not_counted": list(self.not_counted),
            "energy_by_layer_pj": [
                {
                    "layer": layer.layer or None,
                    "total": layer.dynamic_pj / self.images_per_round,
                    **{
                        part: getattr(layer, f"{part}_pj") / self.images_per_round
                        for part in self._energy_parts()
                        if part != "static"
                    },
                }
                for layer in self.layers
            ],
            "avg_power_mw": self.avg_power_mw,
        }

    def rows(self) -> list[tuple[str, str]]:
        """The figures for people."""
        from pimdse.compiling.summary import not_counted_text
        from pimdse.display.units import energy_text, period_text, power_text, share_text, time_text

        energy_pj = self.energy.total_pj / self.images_per_round
        largest = sorted(self._energy_parts().items(), key=lambda part: -part[1])[:3]
        parts = [f"{name.replace('_', ' ')} {share_text(pj, energy_pj)}" for name, pj in largest if pj > 0]
        shares = f" ({', '.join(parts)})" if parts else ""
        return [
            ("latency", time_text(self.latency_ns, _DIGITS)),
            ("period", period_text(self.period_ns, self.images_per_round, _DIGITS)),
            ("average power", power_text(self.avg_power_mw)),
            ("energy", f"{energy_text(energy_pj)} per image{shares}"),
            *(("", text) for text in [not_counted_text(self.not_counted)] if text),
        ]

    def _energy_parts(self) -> dict[str, float]:
        names = (name for name in type(self.energy).__dataclass_fields__ if name != "total_pj")
        return {name.removesuffix("_pj"): getattr(self.energy, name) / self.images_per_round for name in names}


def _predict(program: "ProgramFolder") -> _Prediction:
    from pimcomp.timeline.energy import energy_of_stream, energy_of_stream_by_layer, not_counted
    from pimcomp.timeline.front_end import listing_of_file
    from pimcomp.timeline.timing import time_stream

    stream, arch = program.stream, program.arch
    timing, listing = time_stream(stream, arch), listing_of_file(program.decoded)
    return _Prediction(
        latency_ns=timing.latency_ns,
        period_ns_per_round=timing.period_ns_per_round,
        images_per_round=program.images_per_round,
        energy=energy_of_stream(stream, arch, timing.latency_ns, listing),
        not_counted=not_counted(arch),
        layers=energy_of_stream_by_layer(stream, program.node, program.node_names, arch, listing=listing),
    )


def _ask(
    executable: Path, program: "ProgramFolder", prediction: _Prediction, mode: str, timeout_s: float
) -> "tuple[SimulatorReport, SteadyState | None]":
    import numpy as np

    from pimdse.folder.pimsim import SimulatorReport, run_simulator, steady_state

    if mode == "latency":
        cores = frozenset(np.flatnonzero(np.diff(program.decoded.core_start)).tolist())
        config = program.path / "config.json"
        return run_simulator(executable, program.program, config, cores=cores, timeout_s=timeout_s), None
    config = program.path / "config_throughput.json"
    theirs = run_simulator(executable, program.program, config, cores=None, timeout_s=timeout_s)
    steady = steady_state(theirs, simulated_ns=_simulated_ns(config), latency_ns=prediction.latency_ns)
    report = SimulatorReport(
        latency_ns=steady.period_ns_per_round, avg_power_mw=steady.avg_power_mw, energy_pj=steady.energy_pj_per_round
    )
    return report, steady


def _simulated_ns(file: Path) -> float:
    """sim_time of a simulator configuration. Raises OutputError if that is not there."""
    try:
        return float(orjson.loads(file.read_bytes().removeprefix(BOM))["sim_config"]["sim_time"]) * 1e6
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


def _comparison(ours: _Prediction, theirs: "SimulatorReport | None", mode: str) -> list[_Figure]:
    """The figures of one pass, or those of the steady state, whose static power flows for the period alone."""
    from pimdse.display.units import energy_text, power_text, rate_text, time_text

    images = ours.images_per_round
    static_pj, dynamic_pj = ours.energy.static_pj, ours.energy.total_pj - ours.energy.static_pj
    if mode == "latency":
        pass_ns, energy_pj, steady = ours.latency_ns, ours.energy.total_pj, ""
        figures = [_Figure("latency_ns", pass_ns, theirs.latency_ns if theirs else None, time_text)]
    else:
        pass_ns, steady = ours.period_ns_per_round, "steady_"
        energy_pj = dynamic_pj + static_pj * (pass_ns / ours.latency_ns if ours.latency_ns else 1.0)
        their_ns = theirs.latency_ns / images if theirs else None
        figures = [
            _Figure("period_ns", ours.period_ns, their_ns, time_text),
            _Figure("throughput_per_s", ours.throughput_per_s, 1e9 / their_ns if their_ns else None, rate_text),
        ]
    power_mw = energy_pj / pass_ns if pass_ns else 0.0
    their_pj = theirs.energy_pj / images if theirs else None
    return [
        *figures,
        _Figure(f"{steady}avg_power_mw", power_mw, theirs.avg_power_mw if theirs else None, power_text),
        _Figure(f"{steady}energy_pj", energy_pj / images, their_pj, energy_text),
    ]


_TITLES = {
    "latency_ns": "latency",
    "period_ns": "period per image",
    "throughput_per_s": "throughput",
    "avg_power_mw": "average power",
    "energy_pj": "energy per image",
}


def _shown(figure: _Figure) -> list[str]:
    cells = [_TITLES[figure.name.removeprefix("steady_")], figure.text(figure.ours, _DIGITS)]
    if figure.theirs is not None:
        cells.append(figure.text(figure.theirs, _DIGITS))
        cells.append("-" if figure.difference is None else f"{100 * figure.difference:+.4f} %")
    return cells
