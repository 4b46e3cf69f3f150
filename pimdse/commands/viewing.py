"""`pimdse view`: the page or picture of a folder, in the browser."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pimdse.commands.completion import folders
from pimdse.display.output import output_of, plain

_EPILOG = """[bold]Examples[/bold]

pimdse view results/isaac

pimdse view results/isaac/pick

A sweep shows report.html; a compiled folder shows its floorplan, which is drawn if there is none yet."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("view", epilog=_EPILOG, rich_help_panel="Many chips")(view)


def view(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of sweep, compile or pick.", autocompletion=folders)
    ],
) -> None:
    """Open a sweep's report or a compiled folder's floorplan in the browser; without one, print where it is."""
    from pimdse.folder.segments import programs_of

    output = output_of(context)
    with output.stages(f"looking at {folder}"):
        programs = programs_of(folder)
        file = page_of(programs[0])
    opened = _open(file)
    text = f"opened {file}" if opened else str(file)
    output.show({"file": str(file), "opened": opened}, lambda console: plain(console, text))
    if not opened:
        output.note("no browser was found: open this file in one")
    if len(programs) > 1:
        output.note(f"the first of {len(programs)} programs: `pimdse view {programs[-1]}` shows the last")


def page_of(folder: Path) -> Path:
    """What there is to see in a folder. Raises OutputError if it is none of ours, or its report is not written yet."""
    from pimcomp.errors import OutputError
    from pimdse.commands.mapping import draw_map
    from pimdse.folder.compiled import refuse_segments

    refuse_segments(folder)
    report, picture = folder / "report.html", folder / "map.png"
    if report.is_file():
        return report
    if (folder / "report.json").is_file() and not picture.is_file():
        draw_map(folder, picture)
    if picture.is_file():
        return picture
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder")
    raise OutputError(
        f"{folder}: expected report.html of a sweep (`pimdse report DIR` writes it) or a compiled folder, found neither"
    )


def _open(file: Path) -> bool:
    """Whether a browser took the file; in a terminal without a display none is asked."""
    import webbrowser

    shown = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    return shown and webbrowser.open(file.resolve().as_uri())
