"""What a reader of a documentation page does: `sh` blocks, the `text` blocks of output behind them, files it shows."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from pimcomp.foundation.kernels import cache_folders

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


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, title, text) of every fenced block of the page."""
    return [(b["kind"] or "", b["title"] or "", b["text"]) for b in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def steps(page: Path) -> list[Step]:
    """Everything a reader of the page does, in order; installation is left out.

    A `text` block is what the last command above prints if nothing stands between the two.
    """
    found: list[Step] = []
    content, end = page.read_text(encoding="utf-8"), 0
    for block in _BLOCK.finditer(content):
        adjacent, end = not content[end : block.start()].strip(), block.end()
        if block["title"]:
            found.append(Step(file=block["title"], content=block["text"]))
        elif block["kind"] == "sh":
            lines = block["text"].replace("\\\n", " ").splitlines()
            found += [Step(command=line) for line in lines if line.split()[:1] in (["pimdse"], ["python"])]
        elif block["kind"] == "text" and adjacent and found and found[-1].command:
            found[-1] = replace(found[-1], shown=block["text"])
    return found


def run(step: Step, folder: Path, timeout_s: float, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of a page in a folder; `pimdse` and `python` are those of the tests. more: variables."""
    words = shlex.split(step.command, comments=True)
    programs = {"pimdse": [sys.executable, "-m", "pimdse"], "python": [sys.executable]}
    return subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "MPLCONFIGDIR": str(folder),
            "NUMBA_CACHE_DIR": str(cache_folders()[0].parent),
            **more,
        },
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
