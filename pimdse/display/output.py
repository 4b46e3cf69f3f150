"""What a command says: one result on stdout (text for people, or one JSON object), progress and notes on stderr."""

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

import typer

from pimdse.foundation.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Json = Mapping[str, object]
VERSION = 1  # of what --json prints, of every command: one more with every change that breaks a reader
_UNLIMITED = 10_000
_SECONDS_BETWEEN_LINES = 5.0  # without a terminal
# What runs after what is finished.
_STAGES = dict(pairwise(("start", "load", "partition", "solve", "schedule", "verify", "timeline", "write", "check")))


@dataclass(frozen=True, slots=True)
class Output:
    """How a command talks. as_json: one JSON object instead of text. quiet: nothing but that object. command: which."""

    as_json: bool = False
    quiet: bool = False
    command: str = ""

    def show(self, data: Json, render: "Callable[[Console], None]") -> None:
        """The command's result: `data` for machines, `render` for people."""
        if self.as_json:
            typer.echo(json_object(self.command, data))
        else:
            self.text(render)

    def text(self, render: "Callable[[Console], None]") -> None:
        """A part of the result, for people only: the data come whole."""
        if not self.as_json and not self.quiet:
            render(console_to(stderr=False))

    def note(self, text: str) -> None:
        """A remark beside the result."""
        if not self.quiet:
            typer.echo(printable(text), err=True)

    def line_now_and_then(self, seconds: float = _SECONDS_BETWEEN_LINES) -> Callable[[str], None]:
        """Says where long work is, at most once in so many seconds; nothing on a terminal, which shows it always."""
        on_terminal, next_s = console_to(stderr=True).is_terminal, 0.0

        def say(text: str) -> None:
            nonlocal next_s
            if not on_terminal and time.monotonic() >= next_s:
                next_s = time.monotonic() + seconds
                self.note(text)

        return say

    @contextmanager
    def stages(self, title: str, *, helped: bool = True) -> "Iterator[Callable[[str, object], None]]":
        """An observer for long work, told what is finished: shows what runs now, and that kernels are compiled.

        helped: other processes compile what the command will need next.
        """
        from pimcomp.foundation.kernels import watching
        from pimdse.foundation.kernels_ahead import helpers, usual_number

        helping = helpers(self.command) if helped else nullcontext(lambda: None)
        if self.quiet or self.as_json:
            with helping as call_helpers, watching(lambda kernels: call_helpers()):
                yield lambda stage, result: None
            return
        console, now, say = console_to(stderr=True), _STAGES["start"], self.line_now_and_then()
        usual = usual_number(self.command)

        def observe(stage: str, result: object) -> None:
            nonlocal now
            now = _STAGES.get(stage, f"{stage} done")
            status.update(f"{title} [dim]{now}[/dim]")

        def compiling(kernels: int) -> None:
            call_helpers()
            text = f"kernels are compiled, once after an installation: {kernels} of about {max(kernels, usual)}"
            status.update(f"{title} [dim]{now}, {text}[/dim]")
            say(text)

        with (
            helping as call_helpers,
            console.status(f"{title} [dim]{now}[/dim]") as status,
            watching(compiling),
        ):
            yield observe


def console_to(*, stderr: bool) -> "Console":
    """A console as wide as the terminal or as COLUMNS says; without either, in a pipe, lines have any length."""
    from rich.console import Console

    console = Console(highlight=False, stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, stderr=stderr, width=_UNLIMITED)


def output_of(context: typer.Context) -> Output:
    """The output chosen by the global options."""
    found = context.find_object(Output) or Output()
    return replace(found, command=context.info_name or "")


def show_error(error: Json) -> None:
    """What --json prints in place of a result: a failure as an object (`error_data`, or a kind and a message)."""
    typer.echo(json_object("error", {"error": error}))


def error_data(error: BaseException) -> dict[str, object]:
    """An exception for machines: its kind, its message, and everything it knows by name."""
    known = {n: value for n, value in vars(error).items() if not n.startswith("_") and value not in ("", ())}
    where = str(known.pop("where", ""))
    if isinstance(error, OSError):
        known["file"] = str(error.filename) if error.filename else None
    elif ": " in where:
        known["file"], _, known["field"] = where.rpartition(": ")
    elif where:
        known["file" if where.endswith((".yaml", ".yml", ".json")) else "field"] = where
    return {"kind": type(error).__name__, "message": str(error), **known}


def json_object(name: str, data: Json) -> str:
    """One JSON object that says what it is: name and version of its form (docs/file-formats.md)."""
    return json.dumps(_plain({"schema": f"pimdse.{name}/{VERSION}", **data}), indent=2)


def _plain(value: object) -> object:
    """JSON has no infinities and no paths."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (int, float, str)):
        return value
    return str(value)


def plain(console: "Console", text: str, style: str = "") -> None:
    """One paragraph that may hold names from files: no markup, no control characters; paths and names stay whole."""
    from rich.text import Text

    lines = [
        line
        for whole in printable(text).split("\n")
        for line in wrap(whole, console.width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    console.print(Text("\n".join(lines), style=style), soft_wrap=True)


def rows_table(console: "Console", rows: Sequence[tuple[str, str]]) -> None:
    """Two columns: what, and how much."""
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, _cell(value))
    console.print(table)


def _cell(text: str) -> "Text":
    from rich.text import Text

    return Text(printable(text))


def wide_table(
    console: "Console", header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Sequence[str] = ()
) -> None:
    """A table with a header, at any width: numbers (columns named in `numeric`) are never cut, text takes more lines.

    A column with one value in all rows becomes a line above. Columns that find no room follow as further tables, each
    with the first column again.
    """
    differing, same = constant_columns(header, rows)
    if same:
        plain(console, same, "dim")
    columns = [
        _Column(header[i], tuple(printable(row[i]) for row in rows), header[i] in numeric, console.width)
        for i in differing
    ]
    gap = _GAP if len(list(_parts(columns, console.width, _GAP))) == 1 else 1  # closer together before further down
    for part in _parts(columns, console.width, gap):
        _print_columns(console, part, gap)


def constant_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[int], str]:
    """The columns to show, by number, and what to say of those behind the first that have one value in all rows."""
    columns = [list(column) for column in zip(*rows, strict=True)] if len(rows) > 1 else []
    constant = {i for i, column in enumerate(columns) if i and len(set(column)) == 1}
    same = [f"{header[i]} {columns[i][0]}" for i in sorted(constant) if columns[i][0]]
    shown = [i for i in range(len(header)) if i not in constant]
    return shown, f"the same in every row: {', '.join(same)}" if same else ""


_GAP, _EDGE, _LEAST_TEXT = 2, 2, 16


class _Column:
    """A column and the widths it can have: `least`, where text and the heading break into lines, and `wanted`."""

    def __init__(self, heading: str, cells: tuple[str, ...], numeric: bool, room: int) -> None:
        from rich.cells import cell_len

        def longest(texts: Iterable[str]) -> int:
            return max(map(cell_len, texts), default=0)

        self.heading, self.cells, self.numeric = heading, cells, numeric
        lines = longest(line for cell in cells for line in cell.splitlines())
        words = lines if numeric else min(longest(w for cell in cells for w in cell.split()), _LEAST_TEXT, room // 3)
        self.least = max(words, longest(heading.split()))
        self.wanted = max(lines, cell_len(heading))


def _parts(columns: "Sequence[_Column]", room: int, gap: int) -> "Iterator[list[_Column]]":
    """The columns as tables that fit, the first column in front of each."""
    first, *rest = columns
    part, width = [first], first.least + _EDGE
    for column in rest:
        if len(part) > 1 and width + gap + column.least > room:
            yield part
            part, width = [first], first.least + _EDGE
        part.append(column)
        width += gap + column.least
    yield part


def _print_columns(console: "Console", columns: "Sequence[_Column]", gap: int) -> None:
    """One table; what is left of the width goes to the narrowest column that wants more."""
    from rich import box
    from rich.table import Table

    widths = {column: column.least for column in columns}
    for _ in range(console.width - _EDGE - gap * (len(columns) - 1) - sum(widths.values())):
        growing = [column for column in columns if widths[column] < column.wanted]
        if not growing:
            break
        widths[min(growing, key=widths.__getitem__)] += 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(column.heading, justify=justify, width=widths[column], overflow="fold")
    shown = [c.cells if c.numeric else [folded(cell, widths[c]) for cell in c.cells] for c in columns]
    for cells in zip(*shown, strict=True):
        table.add_row(*map(_cell, cells))
    console.print(table)


def folded(text: str, width: int) -> str:
    """Text in lines of at most `width`: broken at spaces, else in front of a slash, else behind a point or the like.

    A piece that is longer stays whole.
    """
    from rich.cells import cell_len

    lines = [""]
    for piece in re.split(r"(?<=\s)|(?=/)", text):
        for part in re.split(r"(?<=[._-])", piece) if cell_len(piece) > width else [piece]:
            if lines[-1] and cell_len(lines[-1] + part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)
