"""`pimdse warmup`: compile the kernels of all commands now, so that no later command has to."""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Annotated

import typer

from pimdse.output import output_of, plain

_EPILOG = """[bold]Examples[/bold]

pimdse warmup

NUMBA_CACHE_DIR=/opt/kernels pimdse warmup   (in an image, with the same variable for those who use it)"""

# What uses the kernels, on the smallest network. The first makes a program; the others run beside each other.
_COMPILE = ("compile", "digits_mlp", "--solver", "balance", "--out", "element")
_BESIDE = (
    ("verify", "element"),
    ("verify", "element", "--integer"),
    ("simulate", "element"),
    ("trace", "element"),
    ("compile", "digits_mlp", "--out", "auto"),
    ("compile", "digits_mlp", "--solver", "balance", "--pipeline", "batch", "--out", "batch"),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("warmup", epilog=_EPILOG, rich_help_panel="What there is")(warmup)


def warmup(
    context: typer.Context,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=0, help="Commands at a time; 0: one per core.")
    ] = 0,
) -> None:
    """Compile the kernels of all commands now: after an installation, in a container image, before a CI's tests."""
    from pimcomp.kernels import cache_folders

    output, started, done = output_of(context), time.perf_counter(), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        output.stages("compiling kernels") as observe,
        ThreadPoolExecutor(jobs or os.cpu_count()) as pool,
    ):
        _run(_COMPILE, folder)
        for finished in as_completed([pool.submit(_run, words, folder) for words in _BESIDE]):
            finished.result()
            done += 1
            observe(f"{done} of {len(_BESIDE)} commands", None)
    seconds, kept = time.perf_counter() - started, str(cache_folders()[0])
    text = f"kernels are compiled ({seconds:.0f} s) and kept in {kept}"
    output.show({"folder": kept, "wall_s": seconds}, lambda console: plain(console, text))


def _run(words: tuple[str, ...], folder: str) -> None:
    """Run one command in a process of its own. Raises OutputError with what it said if it fails."""
    from pimcomp.errors import OutputError

    done = subprocess.run(
        [sys.executable, "-m", "pimdse", *words, "--quiet"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OutputError(f"pimdse {' '.join(words)} ended with status {done.returncode}: {done.stderr.strip()}")
