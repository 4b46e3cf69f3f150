"""Markdown pages that several benchmarks write: each replaces its own section and leaves the others."""

from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write_section(page: Path, name: str, body: str, title: str) -> None:
    """Replace a section of a page, or append it."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    page.write_text(replace_section(text, name, body, title), encoding="utf-8")


def replace_section(page: str, name: str, body: str, title: str) -> str:
    """The page with the section between the marks of `name` replaced, or appended; a new page starts with `title`."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{body.strip()}\n{end}\n"
    if begin not in page:
        return (page.rstrip() or f"# {title}") + "\n\n" + section
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the mark {begin} has no {end}")
    return before + section + after.removeprefix("\n")


def rows_of(text: str) -> list[list[str]]:
    """The cells of all tables in a text, row by row, headers and rules included."""
    lines = (line.strip() for line in text.splitlines())
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def read_section(page: Path, name: str) -> str:
    """The section between the marks of `name`, empty if there is none."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]
