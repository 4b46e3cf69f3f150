"""What the README shows of its sweep, from the standard output of that: `make readme`."""

import sys

from tests.docs.pages import ROOT, blocks

WIDTH = "132"  # of the terminal
README = ROOT / "README.md"


def shown() -> str:
    """What the README shows below its first command."""
    return next(text for kind, _, text in blocks(README) if kind == "text")


def without_blanks(printed: str) -> str:
    """Printed lines without blanks at their ends."""
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


if __name__ == "__main__":
    README.write_text(README.read_text(encoding="utf-8").replace(shown(), without_blanks(sys.stdin.read())), "utf-8")
