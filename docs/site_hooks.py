"""What is made when the site is built: the references of commands and library, the pages of notebooks.

A page asks with a comment: `<!-- made: commands -->`, `<!-- made: library -->`, `<!-- made: notebook FILE -->`.
"""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its made parts in place of their comments."""
    makers = {"commands": commands, "library": library, "notebook": notebook}
    whole = re.sub(r"<!-- made: (\w+) ?(\S*) -->", lambda m: makers[m[1]](*filter(None, [m[2]])), markdown)
    return re.sub(r"\[([\w-]+\.md)\]", lambda m: f"[{_title(m[1])}]", whole)


def _title(page: str) -> str:
    """What a link that shows a file's name shows on the site: the page's heading."""
    return (DOCS / page).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def commands() -> str:
    """Every command with its options, as typer tells it."""
    import typer
    from typer.cli import get_docs_for_click

    from pimdse.cli import app

    group = typer.main.get_command(app)
    context = group.make_context("pimdse", [], resilient_parsing=True)
    context.obj = {"TYPER_RICH_MARKUP_MODE": "rich"}
    for command in [group, *(group.get_command(context, name) for name in group.list_commands(context))]:  # type: ignore[attr-defined]
        command.epilog = _epilog(command.epilog or "")
    text = get_docs_for_click(obj=group, ctx=context, name="pimdse").replace("```console\n$ ", "```text\n")
    text = re.sub(
        r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text.partition("\n")[2], flags=re.M
    )  # cut off at 45 characters
    return re.sub(r"^#(#*) `(.*)`$", r"#\1 \2", text, flags=re.M)


def _epilog(text: str) -> str:
    """Lines of commands become blocks, rich's bold becomes Markdown's."""
    parts = [
        f"```sh\n{part}\n```" if re.match(r"pimdse \S+ (?!.*, then )[^·]*$", part) else part
        for part in text.split("\n\n")
    ]
    return re.sub(r"\[/?bold\]", "**", "\n\n".join(parts)).replace("```\n\n```sh\n", "")


def library() -> str:
    """The names of `import pimcomp`, for mkdocstrings, by their homes: some have a module's name too."""
    import pimcomp

    names = [getattr(pimcomp, name) for name in sorted(pimcomp.__all__)]
    return "\n\n".join(f"::: {one.__module__}.{one.__qualname__}" for one in names if hasattr(one, "__qualname__"))


def notebook(name: str) -> str:
    """A notebook's cells and their stored outputs as Markdown."""
    import nbformat

    return "\n\n".join(part for cell in nbformat.read(DOCS / name, as_version=4).cells for part in _cell(cell))


def _cell(cell: Any) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    return [f"```python\n{cell.source}\n```", *(_output(output) for output in cell.outputs)]


def _output(output: Any) -> str:
    if "text" in output:
        return f"```text\n{output.text}```"
    data = output.data
    if "image/png" in data:
        return f"![]({'data:image/png;base64,' + data['image/png'].strip()})"
    return data.get("text/html") or f"```text\n{data['text/plain']}\n```"
