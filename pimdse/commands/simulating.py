"""`pimdse simulate`: what a program takes and why, and the real simulator's answer beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pimcomp.errors import ConfigError, check_name
from pimdse.commands.arguments import Folder
from pimdse.display.output import output_of, plain, rows_table, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from pimcomp.attribution import Attribution
    from pimcomp.ir.report import Figures, LayerEnergy
    from pimdse.display.output import Output
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
    """Show a program's latency, throughput, power and energy, where the time goes, and what pimsim-nn says.

    Of a folder of segments: each one's latency and what it is made of, and the sums.
    """
    from pimdse.folder.pimsim import find_simulator
    from pimdse.folder.segments import is_segments_folder, read_segments

    if mode:
        check_name("--mode", mode, ("latency", "throughput"))
    output = output_of(context)
    executable = find_simulator(pimsim)

    def simulated(part: Path, mode: str) -> _Simulated:
        return _simulate(output, part, mode, executable, timeout)

    if is_segments_folder(folder):
        if mode == "throughput":
            raise ConfigError("--mode", "segments run one after the other, a round each: only latency")
        index = read_segments(folder)
        in_order = [simulated(part, "latency") for part in index.programs]
        visit = {name: index.content.get(name) for name in ("write_ns", "images_per_visit", "visit_ns", "image_ns")}
        data = {**_segments_data(folder, in_order), **visit, "host": index.host_entries}
        output.show(data, lambda console: _show_segments(console, in_order, visit, index.host_entries))
    else:
        one = simulated(folder, mode)
        output.show(one.data(), one.render)
        if one.steady is not None:
            share = 100 * one.steady.resolution
            output.note(
                f"pimsim-nn counted {one.steady.rounds:.4g} rounds: its period is known to within {share:.2g} %"
            )
    if executable is None:
        output.note("pimsim-nn was not run: name its executable with --pimsim or PIMSIM_NN")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Simulated:
    """One program: what the timeline says of it and, unless None, what the simulator says."""

    program: "ProgramFolder"
    found: "Attribution"
    figures: "Figures"
    layers: "tuple[LayerEnergy, ...]"
    mode: str
    theirs: "SimulatorReport | None"
    steady: "SteadyState | None"

    @property
    def compared(self) -> "list[_Figure]":
        return _comparison(self.figures, self.theirs, self.mode)

    def numbers(self) -> dict[str, object]:
        """Both sides and the difference, for machines."""
        compared = self.compared
        data: dict[str, object] = {"ours": {f.name: f.ours for f in compared}}
        if self.theirs is not None:
            data["theirs"] = {f.name: f.theirs for f in compared}
            data["relative_difference"] = {f.name: f.difference for f in compared}
        return data

    def data(self) -> dict[str, object]:
        """Everything, for machines."""
        from pimdse.folder.attribution import attribution_data

        data = {"folder": str(self.program.path), "mode": self.mode, **self.numbers()}
        if self.steady is not None:
            data["rounds"], data["resolution"] = self.steady.rounds, self.steady.resolution
        attribution = attribution_data(self.found, self.program)
        return data | {"prediction": _data(self.figures, self.layers), "attribution": attribution}

    def render(self, console: "Console") -> None:
        """Everything, for people."""
        from pimdse.compiling.summary import figure_rows
        from pimdse.folder.attribution import show_attribution

        plain(console, self.program.title, "bold")
        rows_table(console, figure_rows(self.figures, _DIGITS))
        if self.theirs is not None:
            header = ("", "pimdse", "pimsim-nn", "difference")
            wide_table(console, header, [_shown(f) for f in self.compared], numeric=header[1:])
        console.print()
        show_attribution(console, self.found, self.program)


def _simulate(output: "Output", folder: Path, mode: str, executable: Path | None, timeout_s: float) -> _Simulated:
    from pimdse.folder.pimsim import cores_at_work, simulate_folder
    from pimdse.folder.program import read_program_folder

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
                executable, folder, cores=cores, latency_ns=figures.latency_ns, timeout_s=timeout_s
            )
    return _Simulated(
        program=program, found=found, figures=figures, layers=layers, mode=chosen, theirs=theirs, steady=steady
    )  # fmt: skip


def _segments_data(folder: Path, parts: Sequence[_Simulated]) -> dict[str, object]:
    """Every segment's figures and their sums: one round in each, one after the other; writing apart."""
    from pimcomp.attribution.critical_path import UNITS

    paths = [dict(zip(UNITS, _path_ns(part), strict=True)) for part in parts]
    return {
        "folder": str(folder),
        "mode": "latency",
        **_summed(parts),
        "critical_path_ns": {unit: sum(path[unit] for path in paths) for unit in UNITS},
        "segments": [
            {"folder": part.program.path.name, **part.numbers(), "critical_path_ns": path}
            for part, path in zip(parts, paths, strict=True)
        ],
    }


def _summed(parts: Sequence[_Simulated]) -> dict[str, dict[str, float]]:
    """Latency and energy of all, on both sides if there are two."""
    figures = [{f.name: f for f in part.compared} for part in parts]
    ours = {name: sum(each[name].ours for each in figures) for name in _SUMMED}
    if parts[0].theirs is None:
        return {"ours": ours}
    return {"ours": ours, "theirs": {name: sum(each[name].theirs or 0.0 for each in figures) for name in _SUMMED}}


def _path_ns(part: _Simulated) -> list[float]:
    """What the latency is made of, by unit."""
    by_unit: list[float] = (part.found.path_by_node.sum(axis=0) / 1000).tolist()
    return by_unit


def _show_segments(
    console: "Console", parts: Sequence[_Simulated], visit: Mapping[str, Any], hosted: Sequence[Mapping[str, Any]]
) -> None:
    from pimcomp.attribution.critical_path import UNITS
    from pimdse.compiling.summary import host_text
    from pimdse.display.units import energy_text, share_text, time_text

    both = parts[0].theirs is not None
    header = ("segment", "latency", *(("pimsim-nn", "difference") if both else ()), "energy", *UNITS)
    rows = []
    sums = _summed(parts)
    every = [sum(column) for column in zip(*map(_path_ns, parts), strict=True)]
    for name, numbers, path in (
        *((part.program.path.name, _summed([part]), _path_ns(part)) for part in parts), ("all", sums, every)
    ):  # fmt: skip
        latency_ns, energy_pj = (numbers["ours"][figure] for figure in _SUMMED)
        row = [name, time_text(latency_ns, _DIGITS)]
        if both:
            theirs_ns = numbers["theirs"]["latency_ns"]
            row += [time_text(theirs_ns, _DIGITS), f"{100 * (latency_ns / theirs_ns - 1):+.4f} %"]
        rows.append([*row, energy_text(energy_pj, _DIGITS), *(share_text(ns, latency_ns) for ns in path)])
    wide_table(console, [name.replace("_", " ") for name in header], rows, numeric=header)
    written = "not known" if visit["write_ns"] is None else time_text(visit["write_ns"])
    plain(console, f"one round in each, one after the other; writing crossbars, not counted here: {written}")
    if (images := visit["images_per_visit"] or 1) > 1 and visit["image_ns"] is not None:
        plain(console, f"with visits of {images} images: {time_text(visit['image_ns'])} per image, writing included")
    for entry in hosted:
        plain(console, f"{entry['folder']}: {host_text(entry['host'])}; pimdse verify measures its time")


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
_SUMMED = ("latency_ns", "energy_pj")  # over segments
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
