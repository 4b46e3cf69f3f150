"""`pimdse reproduce`: a compiled folder once more, byte for byte."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pimdse.commands.arguments import Folder, out_option
from pimdse.display.output import output_of, plain

_EPILOG = """[bold]Examples[/bold]

pimdse reproduce results/isaac/pick

pimdse reproduce results/compile/resnet18-isaac-element --out again

Compiles from manifest.yaml and plan.json, without searching, and compares every file; exit status 1 if one differs."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reproduce", epilog=_EPILOG, rich_help_panel="Many chips")(reproduce)


def reproduce(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path | None, out_option("Keep the new files there; default: only compare.")] = None,
) -> None:
    """Build a compiled folder again from its manifest and stored plan, and compare it byte for byte."""
    from pimdse.compiling.reproduction import as_data, rebuild

    output = output_of(context)
    with output.stages(f"reproducing {folder}") as observe, tempfile.TemporaryDirectory() as scratch:
        result = rebuild(folder, out if out is not None else Path(scratch) / "again", observe)
    bad = [*(f"{name} differs" for name in result.different), *(f"{name} is gone" for name in result.missing)]
    if bad:
        message = f"not the same: {', '.join(bad)}"
        data = {**as_data(result), "error": {"kind": "Mismatch", "message": message}}
        output.show(data, lambda console: plain(console, message, "red"))
        raise typer.Exit(1)
    text = f"identical: {len(result.same)} files, byte for byte ({', '.join(result.same)})"
    output.show(as_data(result), lambda console: plain(console, text, "green"))
