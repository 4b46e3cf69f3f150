"""`pimdse warmup`: compile the kernels of all commands now, so that no later command has to."""

import os
import time
from typing import Annotated

import typer

from pimcomp.errors import OutputError
from pimdse.display.output import output_of, plain

_EPILOG = """[bold]Examples[/bold]

pimdse warmup

NUMBA_CACHE_DIR=/opt/kernels pimdse warmup   (in an image, with the same variable for those who use it)"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("warmup", epilog=_EPILOG, rich_help_panel="What there is")(warmup)


def warmup(
    context: typer.Context,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=0, help="Processes; 0: one per core.")] = 0,
) -> None:
    """Compile the kernels of all commands now: after an installation, in a container image, before a CI's tests."""
    from pimcomp.foundation.kernels import cache_folders
    from pimdse.foundation.kernels_ahead import cores, listed, start

    output, started, kernels = output_of(context), time.perf_counter(), len(listed())
    with output.stages("compiling kernels", helped=False) as observe:
        reader, writer = os.pipe()
        parts = jobs or cores()
        running = [start("", part, parts, writer) for part in range(parts)]
        os.close(writer)
        with os.fdopen(reader) as lines:
            for done, _ in enumerate(lines, 1):
                observe(f"{done} of {kernels}", None)
        if any(process.wait() for process in running):
            raise OutputError("kernels could not all be compiled; they are compiled when they are needed")
    seconds, kept = time.perf_counter() - started, str(cache_folders()[0])
    text = f"{kernels} kernels are compiled ({seconds:.0f} s) and kept in {kept}"
    output.show({"folder": kept, "kernels": kernels, "wall_s": seconds}, lambda console: plain(console, text))
