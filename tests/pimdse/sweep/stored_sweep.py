"""A finished sweep of made-up chips, for tests of reports and choices."""

from pathlib import Path

from spaces.search.run import run_sweep
from spaces.search.study import Stored, load_stored
from tests.spaces import fake_chip


def store(folder: Path, **changes: object) -> Stored:
    """Run a sweep of the fake chip law in `folder` and read it back."""
    content = {"network": "f" * 64, "version": "0"}
    run_sweep(fake_chip.sweep(**changes), folder, content=content, make_evaluator=fake_chip.make)
    return load_stored(folder)
