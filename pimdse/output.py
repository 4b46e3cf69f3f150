"""What a command says: one result on stdout (text for people, or one JSON object), progress and notes on stderr."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from pimdse.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Json = Mapping[str, object]
_PIPE_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Output:
    """How a command talks. as_json: one JSON object instead of text. quiet: nothing but that object."""

    as_json: bool = False
    quiet: bool = False

    def show(self, data: Json, render: "Callable[[Console], None]") -> None:
        """The command's result: `data` for machines, `render` for people."""
        if self.as_json:
            typer.echo(json.dumps(_plain(data), indent=2))
        elif not self.quiet:
            render(console_to(stderr=False))

    def note(self, text: str) -> None:
        """A remark beside the result."""
        if not self.quiet:
            typer.echo(printable(text), err=True)

    @contextmanager
    def stages(self, title: str) -> "Iterator[Callable[[str, object], None]]":
        """An observer for long work: shows the stage now finished, with the time so far, while the block runs."""
        if self.quiet or self.as_json:
            yield lambda stage, result: None
            return
        with console_to(stderr=True).status(title) as status:
            yield lambda stage, result: status.update(f"{title} [dim]{stage} done[/dim]")


def console_to(*, stderr: bool) -> "Console":
    """A console; a pipe or a file has no width, so what goes there is not cut to that of a terminal."""
    from rich.console import Console

    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=_PIPE_WIDTH)


def output_of(context: typer.Context) -> Output:
    """The output chosen by the global options."""
    found = context.find_object(Output)
    return found if found is not None else Output()


def _plain(value: object) -> object:
    """JSON has no infinities and no paths."""
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
    """One paragraph that may hold names from files: no markup, no control characters, no wrapping."""
    from rich.text import Text

    console.print(Text(printable(text), style=style), soft_wrap=True)


def _cell(text: str) -> "Text":
    from rich.text import Text

    return Text(printable(text))


def rows_table(console: "Console", rows: Sequence[tuple[str, str]]) -> None:
    """Two columns: what, and how much."""
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in rows:
        table.add_row(name, _cell(value))
    console.print(table)


def wide_table(
    console: "Console",
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> None:
    """A table with a header; columns named in `numeric` are right-aligned, those in `wrap` may take several lines."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in numeric else "left", no_wrap=name not in wrap)
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)
