"""`pimdse simulate`: what a program takes and why, and the real simulator's answer beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimcomp.errors import check_name
from pimdse.commands.arguments import Folder
from pimdse.display.output import output_of, plain, rows_table, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from pimcomp.ir.report import Figures, LayerEnergy
    from pimdse.folder.pimsim import SimulatorReport

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
    from pimdse.compiling.summary import figure_rows
    from pimdse.folder.attribution import attribution_data, show_attribution
    from pimdse.folder.pimsim import cores_at_work, find_simulator, simulate_folder
    from pimdse.folder.program import read_program_folder

    if mode:
        check_name("--mode", mode, ("latency", "throughput"))
    output = output_of(context)
    executable = find_simulator(pimsim)
    with output.stages(f"reading {folder}") as observe:
        program = read_program_folder(folder)
        observe("read", None)
        found = program.attribution()
        figures, layers = program.figures()
        observe("timeline", None)
    chosen = mode or ("throughput" if program.pipeline == "batch" else "latency")
    theirs, steady = None, None
    if executable is not None:
        with output.stages(f"{executable.name} simulates {folder}"):
            cores = cores_at_work(program.decoded.core_start) if chosen == "latency" else None
            theirs, steady = simulate_folder(
                executable, folder, cores=cores, latency_ns=figures.latency_ns, timeout_s=timeout
            )
    compared = _comparison(figures, theirs, chosen)
    data: dict[str, object] = {"folder": str(folder), "mode": chosen, "ours": {f.name: f.ours for f in compared}}
    if theirs is not None:
        data["theirs"] = {f.name: f.theirs for f in compared}
        data["relative_difference"] = {f.name: f.difference for f in compared}
    if steady is not None:
        data["rounds"], data["resolution"] = steady.rounds, steady.resolution
    data |= {"prediction": _data(figures, layers), "attribution": attribution_data(found, program)}

    def render(console: "Console") -> None:
        plain(console, program.title, "bold")
        rows_table(console, figure_rows(figures, _DIGITS))
        if theirs is not None:
            header = ("", "pimdse", "pimsim-nn", "difference")
            wide_table(console, header, [_shown(f) for f in compared], numeric=header[1:])
        console.print()
        show_attribution(console, found, program)

    output.show(data, render)
    if steady is not None:
        share = 100 * steady.resolution
        output.note(f"pimsim-nn counted {steady.rounds:.4g} rounds: its period is known to within {share:.2g} %")
    if executable is None:
        output.note("pimsim-nn was not run: name its executable with --pimsim or PIMSIM_NN")


def _data(figures: "Figures", layers: "tuple[LayerEnergy, ...]") -> dict[str, object]:
    """The prediction, with the keys of report.json."""
    images, parts = figures.images_per_round, [name for name in figures.energy_by_pj if name != "static"]
    by_layer = [
        {
            "layer": layer.layer or None,
            "total": layer.dynamic_pj / images,
            **{part: getattr(layer, f"{part}_pj") / images for part in parts},
        }
        for layer in layers
    ]
    return {**{name: getattr(figures, name) for name in _PREDICTED}, "energy_by_layer_pj": by_layer}


_PREDICTED = (
    *("latency_ns", "period_ns", "images_per_round", "throughput_per_s", "avg_power_mw"),
    *("energy_pj", "energy_by_pj", "energy_not_counted"),
)
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


def _comparison(ours: "Figures", theirs: "SimulatorReport | None", mode: str) -> list[_Figure]:
    """The figures of one pass, or those of the steady state, whose static power flows for the period alone."""
    from pimdse.display.units import energy_text, power_text, rate_text, time_text

    images = ours.images_per_round
    static_pj, dynamic_pj = ours.energy.static_pj, ours.energy.total_pj - ours.energy.static_pj
    if mode == "latency":
        pass_ns, energy_pj, steady = ours.latency_ns, ours.energy.total_pj, ""
        figures = [_Figure("latency_ns", pass_ns, theirs.latency_ns if theirs else None, time_text)]
    else:
        pass_ns, steady = ours.timing.period_ns_per_round, "steady_"
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
