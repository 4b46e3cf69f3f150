"""`pimdse trace`: a pass as a picture over time."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from pimdse.commands.arguments import Folder, out_option
from pimdse.display.output import output_of

_EPILOG = """[bold]Examples[/bold]

pimdse trace results/compile/squeezenet1_1-pimcomp_default-element

pimdse trace out/my --from 100us --to 120us --cores 0-15,40

pimdse trace out/my -o my.json --events 50000

Open the file in ui.perfetto.dev or chrome://tracing: a process per core with a track per unit, layers as names, arrows
for messages; the process 'chip' has the critical path and the global memory."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace", epilog=_EPILOG, rich_help_panel="One network")(trace)


def trace(
    context: typer.Context,
    folder: Folder,
    out: Annotated[Path | None, out_option("Default DIR/trace.json.gz; .gz compresses.", "FILE", "-o")] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Leave out what ends earlier: 1500 (ns), 20us, 1.5ms.")
    ] = "0",
    stop: Annotated[str, typer.Option("--to", metavar="TIME", help="Leave out what begins later.")] = "",
    cores: Annotated[str, typer.Option("--cores", metavar="LIST", help="Only these cores: 0-15,40.")] = "",
    events: Annotated[
        int,
        typer.Option("--events", metavar="N", min=1000, help="Join neighbours where there would be more."),
    ] = 500_000,
) -> None:
    """Write what every core does when, with layer names, for Perfetto or Chrome."""
    from pimcomp.errors import ConfigError
    from pimcomp.foundation.own_files import check_free, write_file
    from pimdse.commands.each import show_each
    from pimdse.folder.program import read_program_folder
    from pimdse.trace.chrome import largest_messages, trace_json
    from pimdse.trace.slices import clip, join_neighbours, slices_of

    output = output_of(context)
    begin = _time_ps("--from", start)
    end = _time_ps("--to", stop) if stop else 1 << 62
    if begin >= end:
        raise ConfigError("--to", f"expected a time after --from {start}, found {stop}")

    def traced(part: Path, target: Path) -> dict[str, Any]:
        check_free(target.parent, [target.name], "trace")
        with output.stages(f"tracing {part}") as observe:
            program = read_program_folder(part)
            chosen = _cores(cores, program.stream.cores) if cores else None
            observe("read", None)
            found = program.attribution()
            observe("timeline", None)
            every = clip(slices_of(program, found), begin, end, chosen)
            arrows = largest_messages(program, found, every, events // 8)
            shown = join_neighbours(every, events - 2 * len(arrows))
            pieces = trace_json(program, found, shown, arrows)
            content = _compressed(pieces) if target.suffix == ".gz" else b"".join(pieces)
            write_file(target, content, "trace")
        return {
            "file": str(target),
            "bytes": len(content),
            "slices": len(shown),
            "instructions_and_waits": len(every),
            "messages": len(arrows),
        }

    show_each(output, folder, out, "trace.json.gz", traced, _written)


def _written(data: dict[str, Any]) -> str:
    joined = (
        f", {data['instructions_and_waits']:,} joined to" if data["slices"] < data["instructions_and_waits"] else ","
    )
    found = f"{data['bytes'] / 1e6:.2g} MB{joined} {data['slices']:,} slices, {data['messages']:,} messages"
    return f"wrote {data['file']} ({found}): open it in ui.perfetto.dev"


def _compressed(pieces: Iterable[bytes]) -> bytes:
    """gzip without a time, so that equal traces are equal files."""
    from isal import isal_zlib

    compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31)  # 31: zlib's code for a gzip container
    packed = [compressor.compress(piece) for piece in pieces]
    return b"".join((*packed, compressor.flush()))


def _time_ps(option: str, text: str) -> int:
    """`20us` as ps. Raises ConfigError naming the option."""
    from pimcomp.errors import ConfigError
    from pimdse.display.units import read_quantity

    try:
        time_ns = read_quantity(text, "ns", bare=True)
    except ValueError:
        raise ConfigError(option, f"expected a time such as 1500 (ns), 20us or 1.5ms, found {text!r}") from None
    return int(time_ns * 1e3)


def _cores(text: str, count: int) -> frozenset[int]:
    """`0-15,40` as a set. Raises ConfigError."""
    from pimcomp.errors import ConfigError

    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})(?:-([0-9]{1,6}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last < count:
            raise ConfigError(
                "--cores", f"expected cores from 0 to {count - 1} such as 0-15,40, found {part.strip()!r}"
            )
        found |= set(range(first, last + 1))
    return frozenset(found)
