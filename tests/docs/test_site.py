"""The documentation hangs together: every page is in the site, every link leads somewhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    for page in [*PAGES, ROOT / ".ci" / "run", ROOT / "Makefile"]:
        for names in named.findall(page.read_text(encoding="utf-8")):
            assert set(names.split(",")) <= set(declared), f"{page.name}: {names}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_can_be_copied_is_a_command_or_a_file(page: Path) -> None:
    """A block is commands (`sh`), a file in its language, or `text`, which has no copy button."""
    for kind, _, text in blocks(page):
        assert kind in {"sh", "text", "python", "yaml", "json", "diff"}, f"{page.name}: {kind or 'no language'}: {text}"
        assert kind != "sh" or not re.search(r"^(\$ |error: |wrote )", text, flags=re.M), f"{page.name}: {text}"
