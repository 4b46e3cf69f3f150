"""Tables for notebooks."""

from collections.abc import Sequence
from html import escape

_ROWS_SHOWN = 20


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, below: str = "") -> str:
    """An HTML table of texts, all of them escaped: names come from files."""
    head = f"<thead>{_line('th', header)}</thead>" if header else ""
    body = "".join(_line("td", row) for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>{f'<p>{escape(below)}</p>' if below else ''}"


def records_html(rows: Sequence[dict[str, object]]) -> str:
    """A table of rows with equal keys: the columns in which there is anything, and the first rows."""
    shown = rows[:_ROWS_SHOWN]
    names = [name for name in (shown[0] if shown else ()) if any(row.get(name) not in (None, "") for row in shown)]
    more = f"{len(rows) - len(shown)} more" if len(rows) > len(shown) else ""
    return html_table(names, [[_cell(row.get(name)) for name in names] for row in shown], below=more)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
