"""The documentation hangs together: every page is in the site, every link leads somewhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import pimcomp
from docs.site_hooks import on_page_markdown
from pimdse.cli import app
from tests.docs.module_map import PAGE, with_map
from tests.docs.pages import ROOT, blocks

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def listed(entry: Any) -> list[str]:
    """The files of a navigation entry."""
    if isinstance(entry, str):
        return [entry]
    return [name for part in (entry.values() if isinstance(entry, dict) else entry) for name in listed(part)]


def test_every_page_is_in_the_navigation() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed(site["nav"])) == sorted(page.name for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


def test_pages_of_the_site_link_to_the_site_only() -> None:
    for page in DOCS.glob("*.md"):
        assert "](../" not in page.read_text(encoding="utf-8"), f"{page.name}: a link that leaves docs/"


def test_extras_that_are_installed_exist() -> None:
    """pip only warns of an extra that is not there."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.compile(r"install.*?(?:\.|pimdse)\[([a-z,]+)\]")
    pages = [*PAGES, ROOT / ".ci" / "run", ROOT / "Makefile"]
    found = {(page.name, extra) for page in pages for names in named.findall(page.read_text(encoding="utf-8"))
             for extra in names.split(",")}  # fmt: skip
    assert found
    assert {(page, extra) for page, extra in found if extra not in declared} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_can_be_copied_is_a_command_or_a_file(page: Path) -> None:
    """A block is commands (`sh`), a file in its language, or `text`, which has no copy button."""
    for kind, _, text in blocks(page):
        assert kind in {"sh", "text", "python", "yaml", "json", "diff"}, f"{page.name}: {kind or 'no language'}: {text}"
        assert kind != "sh" or not re.search(r"^(\$ |error: |wrote )", text, flags=re.M), f"{page.name}: {text}"


def test_the_reference_of_commands_has_every_command_and_option() -> None:
    text = on_page_markdown("<!-- made: commands -->")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        part = text[text.index(f"## pimdse {name}\n") :]
        assert all(parameter.opts[0] in part for parameter in command.params if parameter.param_type_name == "option")
    assert "[bold]" not in text


def test_the_reference_of_the_library_has_every_name() -> None:
    text = on_page_markdown("<!-- made: library -->")
    missing = [name for name in pimcomp.__all__ if not name.startswith("_") and f".{name}\n" not in f"{text}\n"]
    assert missing == []


@pytest.mark.parametrize(
    ("page", "kind", "file"),
    [
        ("index.md", "yaml", "small_chip.yaml"),
        ("research.md", "python", "own_pass.py"),
    ],
)
def test_code_on_a_page_is_that_of_its_example(page: str, kind: str, file: str) -> None:
    example = (DOCS / "examples" / file).read_text(encoding="utf-8")
    shown = [text for found, _, text in blocks(DOCS / page) if found == kind]
    assert shown
    assert all(text in example for text in shown)


def test_the_chip_from_a_paper_is_the_shipped_one() -> None:
    known: dict[str, list[Any]] = {}

    def collect(entry: Any) -> None:
        for key, value in entry.items():
            known.setdefault(key, []).append(value)
            if isinstance(value, dict):
                collect(value)

    collect(yaml.safe_load((ROOT / "configs" / "isaac.yaml").read_text(encoding="utf-8")))
    page = (DOCS / "chip-from-a-paper.md").read_text(encoding="utf-8")
    shown = re.findall(r"(\w+): ([\d.]+)", " ".join(re.findall(r"`[^`\n]*`", page)))
    assert len(shown) > 10
    assert [pair for pair in shown if float(pair[1]) not in known[pair[0]]] == []


def test_the_architecture_page_names_every_module() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_map(page), "run `make docs`"
