"""What a reader of a documentation page does: `sh` blocks, the `text` blocks of output behind them, files it shows."""

import re
import shlex
import subprocess
import sys
import tempfile
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
    """A line of output without numbers, units and widths."""
    line = re.sub(r"\d[\d,.]*\d(?:e-?\d+)?|\d(?:e-?\d+)?", "0", line)
    line = _UNITS.sub("0", line)
    line = re.sub(r"[─━]+", "─", line).replace(" * ", " ")  # the knee's row
    return re.sub(r"0(?:, 0)+", "0", " ".join(line.split()))


def repeating(line: str) -> str:
    """A line of output without what a run need not repeat: seconds, rounding errors of libraries, widths."""
    line = re.sub(r"\d[\d.]* (s\b|MB\b)|(largest error) \S+", r"0 \1\2", line)
    return " ".join(re.sub(r"[─━]+", "─", line).split())


def missing_lines(shown: str, printed: str) -> list[str]:
    """Lines that the page shows and the command does not print, figures included; `...` stands for any."""
    there = {repeating(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line.strip() not in ("", "...") and repeating(line) not in there]


def refreshed(shown: str, printed: str) -> str:
    """What a page shows with the figures that its command prints: each line becomes the next one of the same words."""
    rest, lines = printed.splitlines(), []
    for line in shown.splitlines():
        alike = [place for place, other in enumerate(rest) if masked(other) == masked(line)]
        if alike and line.strip() not in ("", "..."):
            lines.append(rest[alike[0]].rstrip())
            rest = rest[alike[0] + 1 :]
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def refresh(page: Path) -> None:
    """Run what a page tells its reader to run, and write the figures that come out into it."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "docs").symlink_to(ROOT / "docs")
        for step in steps(page):
            if step.file:
                (folder / step.file).write_text(step.content, encoding="utf-8")
                continue
            printed = run(step, folder, 1800).stdout
            if step.shown:
                now = refreshed(step.shown, printed)
                text = text.replace(step.shown, now, 1)
                for line in missing_lines(now, printed):
                    print(f"{page.name}: `{step.command}` does not print: {line}")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for given in sys.argv[1:]:
        refresh(ROOT / "docs" / given)
