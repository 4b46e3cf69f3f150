"""Every command in the documentation: those of the tutorial, the questions and the library run, all others parse."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from pimdse.cli import app, hoist_global_flags
from tests.docs.pages import ROOT, missing_lines, run, steps

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
RUN = ("index.md", "research.md", "tutorial.md", "faq.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_commands_do_what_the_page_shows(page: str, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    found = steps(ROOT / "docs" / page)
    assert len(found) > 1
    for step in found:
        if step.file:
            (tmp_path / step.file).write_text(step.content, encoding="utf-8")
            continue
        done = run(step, tmp_path, 1800)  # a hang; first use compiles kernels, on a busy machine for minutes

        expected = 2 if step.shown.startswith("error:") else 0
        assert done.returncode == expected, f"{step.command}\n{done.stdout}"
        missing = missing_lines(step.shown, done.stdout)
        assert not missing, f"{page} shows {missing}, but `{step.command}` prints:\n{done.stdout}"


def test_the_tutorials_search_begins_with_the_chip_that_it_compiled() -> None:
    """Trial 0 is the file's own chip with the first solver: with that of `compile`, searching cannot lose to it."""
    chip = next(s.content for s in steps(ROOT / "docs" / "tutorial.md") if s.file == "my_chip.yaml")
    assert yaml.safe_load(chip)["sweep"]["solvers"][0] == "auto"


def documented() -> list[tuple[str, str]]:
    """(page, command) of every line that calls pimdse, in fenced blocks and in backquotes."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace(" \\\n", " ")  # commands on several lines
        for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.M | re.S):
            found += [(page.name, m[1].strip()) for m in re.finditer(r"^(?:\$ )?(pimdse \S.*)$", block, flags=re.M)]
        found += [(page.name, m[1]) for m in re.finditer(r"`(pimdse [a-z][^`\n]*)`", text)]
    return sorted({(page, line) for page, line in found if not re.match(r"pimdse (--|COMMAND)", line)})


@pytest.mark.parametrize(("page", "command"), documented())
def test_commands_exist_with_these_options(page: str, command: str) -> None:
    words = [word for word in shlex.split(command, comments=True)[1:] if word != "..."]
    group = typer.main.get_command(app)
    context = group.make_context("pimdse", hoist_global_flags(words), resilient_parsing=True)
    name, *rest = [word for word in words if word not in ("--json", "--quiet", "-q")]
    found = group.get_command(context, name)  # type: ignore[attr-defined]
    assert found is not None, f"{page}: no command {name!r}"
    options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options]
    assert not unknown, f"{page}: {command}: no option {unknown}"
