"""`pimdse compare`: solvers side by side on one network and chip."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.arguments import (
    DEFAULT_ARCH,
    ArchOption,
    Model,
    ScheduleOption,
    SeedOption,
    TimeLimitOption,
    WeightsOption,
    out_path,
)
from pimdse.commands.completion import solver_names
from pimdse.display.output import output_of, plain, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from pimdse.compiling.comparison import Row

_EPILOG = """[bold]Examples[/bold]

pimdse compare squeezenet1_1

pimdse compare resnet18 --arch isaac --solvers balance,exact,auto --pipeline batch --png compare.png

pimdse compare my.onnx --pimsim ~/pimsim-nn/build/ChipTest --json

Two gaps, never merged. model gap: the plan's cost against the best bound that any of the solvers proved for the same
cost model. timeline gap: the emitted program against a bound that holds for every program (docs/solvers.md)."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog=_EPILOG, rich_help_panel="One network")(compare)


def compare(
    context: typer.Context,
    model: Model,
    arch: ArchOption = DEFAULT_ARCH,
    solvers: Annotated[
        str | None,
        typer.Option(
            "--solvers",
            metavar="LIST",
            help="Names from [bold]pimdse solvers[/bold], with commas.",
            autocompletion=solver_names,
            show_default="those that docs/results.md compares",
        ),
    ] = None,
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", metavar="element|batch|both")] = "both",
    time_limit: TimeLimitOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    options: ScheduleOption = None,
    pimsim: Annotated[
        Path | None,
        typer.Option("--pimsim", metavar="PATH", help="Also run every program in pimsim-nn: its executable."),
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", parser=out_path, metavar="FILE", help="Write a picture.")] = None,
) -> None:
    """Compare solvers: crossbars, time, energy, proven bounds, and the time they take."""
    from pimcomp.errors import ConfigError
    from pimcomp.foundation.own_files import check_free, write_file
    from pimcomp.frontend import load_network
    from pimcomp.timeline.energy import not_counted
    from pimdse.compiling.building import make_recipe
    from pimdse.compiling.comparison import compared
    from pimdse.compiling.summary import not_counted_text
    from pimdse.folder.pimsim import find_simulator
    from solvers import COMPARED_NAMES, canonical
    from solvers.options import split_list

    output = output_of(context)
    asked = COMPARED_NAMES if solvers is None else split_list(solvers)
    names = list(dict.fromkeys(canonical(name, "--solvers") for name in asked))
    if not names:
        raise ConfigError("--solvers", "expected at least one name")
    executable = find_simulator(pimsim) if pimsim is not None else None
    if png is not None:
        check_free(png.parent, [png.name], "compare")
    recipes = [
        make_recipe(
            model=model, weights=weights, arch=arch, solver=names[0], pipeline=word, time_limit_s=time_limit, seed=seed,
            options=options,
        )
        for word in (("element", "batch") if pipeline == "both" else (pipeline,))
    ]  # fmt: skip
    rows: list[Row] = []
    with output.stages(f"comparing {len(names)} solvers on {model}") as observe:
        network = load_network(model, weights=weights)
        for recipe in recipes:
            rows += compared(network, recipe, names, executable, observe)
    chip, unpriced = recipes[0].arch.name, not_counted(recipes[0].arch)
    if png is not None:
        from pimdse.report.comparison_picture import comparison_png

        write_file(png, comparison_png(rows, f"{model} on {chip}"), "compare")
    data = {
        "model": model, "arch": chip, "seed": seed, "time_limit_s": time_limit,
        "energy_not_counted": unpriced,
        "rows": [dataclasses.asdict(row) for row in rows],
    }  # fmt: skip

    def render(console: "Console") -> None:
        _render(console, rows, executable is not None)
        if missing := not_counted_text(unpriced):
            plain(console, missing, "dim")

    output.show(data, render)
    if png is not None:
        output.note(f"wrote {png}")


def _render(console: "Console", rows: "Sequence[Row]", simulated: bool) -> None:
    for pipeline in dict.fromkeys(row.pipeline for row in rows):
        shown = [row for row in rows if row.pipeline == pipeline]
        figure = "latency" if pipeline == "element" else "period"
        plain(console, f"{pipeline} pipeline: {figure} of one image", "bold")
        header = ["solver", "status", "crossbars", "cost", "model bound", "model gap", figure]
        header += ["pimsim-nn"] if simulated else []
        header += ["bound", "timeline gap", "energy", "solve", "compile"]
        wide_table(console, header, [_cells(row, simulated) for row in shown], numeric=header[2:])
        for row in shown:
            if row.missing:
                plain(console, f"{row.solver}: {row.missing}", "yellow")
        if any(row.time_limited for row in shown):
            plain(console, "*: the time limit cut the search short; another run may give another plan", "dim")


def _cells(row: "Row", simulated: bool) -> list[str]:
    from pimdse.display.units import count_text, energy_text, time_text

    def time_or_dash(ns: float | None, digits: int = 3) -> str:
        return "-" if ns is None else time_text(ns, digits)

    def share_or_dash(share: float | None) -> str:
        return "-" if share is None else f"{100 * share:.1f} %"

    cells = [
        row.solver,
        row.status + ("*" if row.time_limited else ""),
        "-" if row.crossbars_used is None else count_text(row.crossbars_used),
        time_or_dash(row.cost_ns),
        time_or_dash(row.model_bound_ns),
        share_or_dash(row.gap_model),
        time_or_dash(row.timeline_ns, 4),
    ]
    cells += [time_or_dash(row.simulator_ns, 4)] if simulated else []
    return [
        *cells,
        time_or_dash(row.timeline_bound_ns),
        share_or_dash(row.timeline_gap),
        "-" if row.energy_pj is None else energy_text(row.energy_pj),
        f"{row.solve_s:.2f} s",
        f"{row.compile_s:.2f} s",
    ]
