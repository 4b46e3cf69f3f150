"""Commands that draw one program: of a folder of segments, each of its programs, into that one's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pimcomp.errors import ConfigError
from pimdse.display.output import Output, plain


def show_each(
    output: Output,
    folder: Path,
    out: Path | None,
    name: str,
    make: Callable[[Path, Path], dict[str, Any]],
    text: Callable[[dict[str, Any]], str],
) -> None:
    """Make a file of every program and show what came out.

    out: the file; None: `name` in the program's folder. make: of a program's folder the file; what is said of it.
    Raises ConfigError for one file where there are several programs.
    """
    from pimdse.folder.segments import is_segments_folder, programs_of

    programs = programs_of(folder)
    if out is not None and len(programs) > 1:
        expected = f"{folder} holds {len(programs)} programs, a file each: give one of its folders, as {programs[0]}"
        raise ConfigError("--out", f"{expected}, or leave --out away")
    made = [make(program, out if out is not None else program / name) for program in programs]
    data = {"folder": str(folder), "segments": made} if is_segments_folder(folder) else made[0]
    output.show(data, lambda console: plain(console, "\n".join(map(text, made))))
