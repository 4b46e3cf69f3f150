"""The commands of a documentation page: fenced blocks with `$ command` lines, and files that the page shows."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(?P<kind>\w+)?(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S)
_UNITS = re.compile(r"\b0 ?(?:ns|us|ms|s|pJ|nJ|uJ|mJ|mW|W|KiB|MiB|B|mm2|%|x)(?!\w)")


@dataclass(frozen=True, slots=True)
class Step:
    """One command with the output that the page shows, or one file that it tells the reader to write."""

    command: str = ""
    shown: str = ""
    file: str = ""
    content: str = ""


def steps(page: Path) -> list[Step]:
    """Everything a reader of the page does, in order."""
    found: list[Step] = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["title"] and block["kind"] != "console":
            found.append(Step(file=block["title"], content=block["text"]))
        elif block["kind"] == "console":
            for part in re.split(r"^\$ ", block["text"], flags=re.M)[1:]:
                command, _, shown = part.partition("\n")
                found.append(Step(command=command, shown=shown))
    return found


def run(step: Step, folder: Path, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """Run a command of a page in a folder; `pimdse` and `python` are those of the tests."""
    words = shlex.split(step.command, comments=True)
    programs = {"pimdse": [sys.executable, "-m", "pimdse"], "python": [sys.executable]}
    return subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "MPLCONFIGDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def masked(line: str) -> str:
    """A line of output without what changes from version to version: numbers, units, widths."""
    line = re.sub(r"\d[\d,.]*\d(?:e-?\d+)?|\d(?:e-?\d+)?", "0", line)
    line = _UNITS.sub("0", line)
    line = re.sub(r"[─━]+", "─", line)
    return re.sub(r"0(?:, 0)+", "0", " ".join(line.split()))


def missing_lines(shown: str, printed: str) -> list[str]:
    """Lines that the page shows and the command does not print; `...` stands for any."""
    there = {masked(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line.strip() not in ("", "...") and masked(line) not in there]
