"""The map of all modules in docs/architecture.md: the first sentence of each one's docstring. `make docs` writes it."""

import ast
import re
from pathlib import Path

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("pimcomp", "solvers", "spaces", "pimdse")
_BEGIN, _END = "<!-- modules: make docs -->\n", "<!-- end of modules -->"


def module_map() -> str:
    """Markdown: a table per folder, a row per module; the folder's own sentence above."""
    folders = sorted({path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")})
    return "\n".join(_table(folder) for folder in folders)


def with_map(page: str) -> str:
    """The page with the map between its two marks."""
    before, rest = page.split(_BEGIN)
    return before + _BEGIN + "\n" + module_map() + "\n" + _END + rest.split(_END)[1]


def _table(folder: Path) -> str:
    name = folder.relative_to(ROOT).as_posix()
    rows = [f"| `{path.stem}` | {_sentence(path)} |" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    head = [f"**`{name}/`**: {_sentence(folder / '__init__.py')}", ""]
    return "\n".join([*head, *(["| module | |", "|---|---|", *rows, ""] if rows else [])])


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    sentence = re.split(r"(?<=[\w)`]\.)\s|\n\n", " ".join(text.split("\n\n")[0].split()) + "\n\n")[0]
    return sentence.rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
