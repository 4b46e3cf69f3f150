"""`pimdse archs`, `pimdse models`, `pimdse solvers`: what there is to choose from."""

from typing import TYPE_CHECKING

import typer

from pimdse.output import output_of, wide_table

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "What there is"
    app.command("archs", rich_help_panel=panel)(archs)
    app.command("models", rich_help_panel=panel)(models)
    app.command("solvers", rich_help_panel=panel)(solvers)


def archs(context: typer.Context) -> None:
    """List the chips that ship with pimdse.

    [dim]pimdse archs[/dim]
    """
    from pimcomp.config import list_archs, load_arch

    chips = [load_arch(name) for name in list_archs()]
    data = [
        {
            "name": name,
            "cores": c.cores,
            "chips": c.chips,
            "crossbars_per_core": c.crossbars_per_core,
            "crossbars": c.crossbars,
            "crossbar_rows": c.crossbar_rows,
            "crossbar_cols": c.crossbar_cols,
            "cell_bits": c.cell_bits,
            "weight_bits": c.weight_bits,
            "adc_count": c.adc_count,
            "rob_size": c.rob_size,
            "local_memory_bytes": c.local_memory_bytes,
            "area_mm2": c.area_mm2,
        }
        for name, c in zip(list_archs(), chips, strict=True)
    ]
    header = ("name", "cores x crossbars", "crossbars", "crossbar", "cell/weight", "ADCs", "memory")
    rows = [
        (
            name,
            f"{f'{c.chips} x ' if c.chips > 1 else ''}{c.cores} x {c.crossbars_per_core}",
            f"{c.crossbars:,}",
            f"{c.crossbar_rows} x {c.crossbar_cols}",
            f"{c.cell_bits}/{c.weight_bits} bit",
            str(c.adc_count),
            f"{c.local_memory_bytes // 1024} KiB",
        )
        for name, c in zip(list_archs(), chips, strict=True)
    ]
    output_of(context).show({"archs": data}, lambda console: wide_table(console, header, rows, numeric=header[1:]))


def models(context: typer.Context) -> None:
    """List the networks that ship with pimdse; any ONNX file works as well.

    [dim]pimdse models[/dim]
    """
    from pimcomp.frontend import list_models

    entries = list_models()
    data = [{"name": e.name, "origin": e.origin, "summary": e.summary} for e in entries]
    header = ("model", "origin", "what it is")
    rows = [(e.name, e.origin, e.summary) for e in entries]
    output_of(context).show(
        {"models": data},
        lambda console: wide_table(console, header, rows),
    )


def solvers(context: typer.Context) -> None:
    """List the solvers: ways to choose replication and core mapping.

    [dim]pimdse solvers[/dim]
    """
    from pimdse.building import solver_name
    from solvers import describe

    infos = describe()
    data = [{"name": i.name, "summary": i.summary, "certificate": i.certificate} for i in infos]
    rows = [(i.name, i.summary, i.certificate) for i in infos]
    auto = solver_name("auto")

    def render(console: "Console") -> None:
        wide_table(console, ("solver", "how it decides", "proves"), rows)
        console.print(f"auto is {auto}", style="dim")

    output_of(context).show({"solvers": data, "auto": auto}, render)
