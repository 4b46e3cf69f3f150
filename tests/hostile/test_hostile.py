"""A sample of the hostile cases; `python -m tests.hostile` runs as many as one likes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fuzz(first: int, cases: int) -> str:
    """What the fuzz prints; it must end well."""
    words = [sys.executable, "-m", "tests.hostile", "--first", str(first), "--cases", str(cases)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def test_hostile_files_end_in_a_message() -> None:
    assert "15 cases in" in fuzz(0, 15)


@pytest.mark.slow
def test_many_hostile_files() -> None:
    assert "0 ended badly" in fuzz(15, 400)
