"""The command line. Commands are in pimdse/commands, one file per group; each loads heavy libraries itself."""

import errno
import io
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

import typer

from pimcomp.errors import ConfigError, InvariantError, PimdseError
from pimdse.commands import (
    catalogue,
    comparing,
    compiling,
    converting,
    mapping,
    narrowing,
    picking,
    reproducing,
    simulating,
    sweeping,
    tracing,
    verifying,
    viewing,
    warming,
)
from pimdse.display.output import Output, error_data, show_error
from pimdse.foundation.neighbours import check_neighbours
from pimdse.foundation.printable import printable

_EPILOG = """[bold]Start here[/bold]

pimdse models  ·  pimdse archs  ·  pimdse solvers

pimdse compile squeezenet1_1 --arch pimcomp_default

pimdse sweep configs/isaac.yaml, then pimdse pick results/isaac --max-crossbars 8000

Exit status: 0 done, 1 a verification found a mismatch, 2 wrong input, 130 interrupted."""

app = typer.Typer(
    name="pimdse",
    help="Compile ONNX networks for crossbar processing-in-memory chips, prove the result, search for the best chip.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from pimdse.foundation.versions import own_version

        typer.echo(f"pimdse {own_version()}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only (and the JSON with --json).")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command; they may also stand behind the command."""
    context.obj = Output(as_json=json, quiet=quiet)


for group in (
    compiling,
    comparing,
    verifying,
    simulating,
    tracing,
    mapping,
    narrowing,
    sweeping,
    picking,
    viewing,
    reproducing,
    catalogue,
    converting,
    warming,
):
    group.register(app)


_GLOBAL_FLAGS = ("--json", "--quiet", "-q")


def hoist_global_flags(arguments: list[str]) -> list[str]:
    """`arguments` with --json and --quiet in front, so that they work before and behind the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return _global_flags(arguments) + [a for a in arguments[:end] if a not in _GLOBAL_FLAGS] + arguments[end:]


def _global_flags(arguments: list[str]) -> list[str]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [a for a in arguments[:end] if a in _GLOBAL_FLAGS]


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; errors a user can cause are messages, not tracebacks.

    With --json, whatever ends without a result prints an object with `error` instead.
    """
    words = hoist_global_flags(arguments)
    tell = _tell if "--json" in _global_flags(arguments) else _tell_nobody
    _settle_surroundings()
    try:
        _check_text(arguments)
        check_neighbours()
        app(words)
    except SystemExit as done:  # typer's end, usage errors (2) and Ctrl-C (130) included
        cause = done.__context__
        if isinstance(cause, Exception) and (usage := getattr(cause, "format_message", None)) is not None:
            tell({"kind": "UsageError", "message": usage()})
        elif cause is not None and isinstance(cause.__cause__, KeyboardInterrupt):
            tell({"kind": "Interrupted", "message": "interrupted"})
        return done.code if isinstance(done.code, int) else 0
    except (PimdseError, MemoryError, OSError) as error:
        message = _message(error)
        tell({**error_data(error), "message": message})
        return _say(message)
    return 0


def _tell(error: Mapping[str, object]) -> None:
    """An error as JSON on stdout, unless that is what failed: the disk is full, the reader is gone."""
    with suppress(OSError):
        show_error(error)


def _tell_nobody(error: Mapping[str, object]) -> None:
    """Without --json an error is text."""


def _message(error: PimdseError | MemoryError | OSError) -> str:
    if isinstance(error, InvariantError):
        return f"defect in pimdse, not in your input: {error}"
    if isinstance(error, MemoryError):
        return "out of memory: use a smaller network, fewer cores, --images or --jobs"
    return _os_error_text(error) if isinstance(error, OSError) else str(error)


def _check_text(arguments: list[str]) -> None:
    """Names go into files, as UTF-8. Raises ConfigError for one that is no text in the locale of this shell."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                argument, "its bytes are no text in this locale: rename it, or set PYTHONUTF8=1 if it is UTF-8"
            ) from None


def _settle_surroundings() -> None:
    """A character that the locale's encoding lacks is shown as ?; files and JSON do not depend on the locale.

    Variables that would stop a library count as not set: widths and numbers of threads that are none (COLUMNS=0 of
    terminals that do not know their width; no kernel has threads), and a way to show pictures, which are only written.
    """
    for name in ("COLUMNS", "TERMINAL_WIDTH", "NUMBA_NUM_THREADS"):
        if not os.environ.get(name, "").strip("0").isdecimal():
            os.environ.pop(name, None)
    os.environ.pop("MPLBACKEND", None)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="replace")


def _os_error_text(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "; free some space, or use another --out" if full else ""
    return f"{where}{error.strerror or error}{advice}"


def _say(message: str) -> int:
    if os.environ.get("PIMDSE_TRACEBACK"):
        traceback.print_exc()
    typer.secho(f"error: {printable(message)}", err=True, fg=typer.colors.RED)
    return 2
