"""`pimdse archs`, `pimdse models`, `pimdse solvers`: what there is to choose from."""

from typing import TYPE_CHECKING, Annotated

import typer

from pimdse.commands.completion import solver_names
from pimdse.display.output import Output, output_of, plain, wide_table

if TYPE_CHECKING:
    from rich.console import Console

    from pimcomp.ir.arch import Arch
    from solvers import SolverInfo


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
    names = (
        *("cores", "chips", "crossbars_per_core", "crossbars", "crossbar_rows", "crossbar_cols", "cell_bits"),
        *("weight_bits", "adc_count", "adc_bits_needed", "rob_size", "local_memory_bytes", "area_mm2"),
        *("area_is_modelled", "clips"),
    )
    data = [
        {"name": name, "adc_bits": c.adc_resolution, **{field: getattr(c, field) for field in names}}
        for name, c in zip(list_archs(), chips, strict=True)
    ]
    header = ("name", "cores x crossbars", "crossbars", "crossbar", "cell/weight", "ADCs", "memory", "area")
    rows = [
        (
            name,
            f"{f'{c.chips} x ' if c.chips > 1 else ''}{c.cores} x {c.crossbars_per_core}",
            f"{c.crossbars:,}",
            f"{c.crossbar_rows} x {c.crossbar_cols}",
            f"{c.cell_bits}/{c.weight_bits} bit",
            f"{c.adc_count} x {c.adc_resolution} bit{_short_of(c)}",
            f"{c.local_memory_bytes // 1024} KiB",
            f"{'~' if c.area_is_modelled else ''}{c.area_mm2:.3g} mm2",
        )
        for name, c in zip(list_archs(), chips, strict=True)
    ]

    def render(console: "Console") -> None:
        wide_table(console, header, rows, numeric=header[1:])
        plain(console, "of N: large sums need N bits (verify --integer shows what is lost). ~: area by models alone")

    output_of(context).show({"archs": data}, render)


def _short_of(arch: "Arch") -> str:
    return f" of {arch.adc_bits_needed}" if arch.clips else ""


def models(context: typer.Context) -> None:
    """List the networks that ship with pimdse; any ONNX file works as well.

    [dim]pimdse models[/dim]
    """
    from pimcomp.frontend import list_models

    entries = list_models()
    data = [{"name": e.name, "origin": e.origin, "summary": e.summary} for e in entries]
    header = ("model", "origin", "what it is")
    rows = [(e.name, e.origin, e.summary) for e in entries]
    output_of(context).show({"models": data}, lambda console: wide_table(console, header, rows))


def solvers(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Explain this one and its options.", autocompletion=solver_names),
    ] = None,
) -> None:
    """List the solvers, ways to choose replication and core mapping; or explain one and its options.

    [dim]pimdse solvers[/dim]

    [dim]pimdse solvers lns[/dim]
    """
    from solvers import describe, find_solver

    if name is not None:
        _explain(output_of(context), find_solver(name, "NAME"))
        return
    infos = describe()
    data = [{"name": i.name, "summary": i.summary, "certificate": i.certificate} for i in infos]
    rows = [(i.name, i.summary, i.certificate) for i in infos]

    def render(console: "Console") -> None:
        wide_table(console, ("solver", "how it decides", "proves"), rows)
        plain(
            console, "The default is auto. What one does and its options: pimdse solvers NAME, like pimdse solvers lns"
        )

    output_of(context).show({"solvers": data, "default": "auto"}, render)


def _explain(output: Output, info: "SolverInfo") -> None:
    """Show what a solver does, proves and can be told."""
    from solvers import solver_options
    from solvers.options import kind_of

    options = [
        {"name": f.name, "takes": kind_of(f), "default": f.default, "meaning": f.metadata["meaning"]}
        for f in solver_options(info.name).values()
    ]
    rows = [tuple(str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in o.values()) for o in options]

    def render(console: "Console") -> None:
        plain(console, f"{info.name}: {info.summary}; proves: {info.certificate}")
        limited = f"bounds {info.limited}" if info.limited else "changes nothing: it decides within a second or two"
        plain(console, f"--time-limit {limited}")
        if not options:
            plain(console, "It has no options.")
            return
        wide_table(console, ("option", "takes", "default", "meaning"), rows)
        example = ":".join((info.name, *(f"{row[0]}={row[2]}" for row in rows[:2])))
        plain(console, f"Options stand behind the name: --solver {example}")

    facts = {name: getattr(info, name) for name in ("name", "summary", "certificate", "limited")}
    output.show({**facts, "options": options}, render)
