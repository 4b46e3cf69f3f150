"""A finished sweep of made-up chips, for tests of searches, reports and choices."""

from pathlib import Path

from spaces.candidate import MakeEvaluator
from spaces.search.run import run_sweep
from spaces.search.study import Stored, load_stored
from spaces.space import Sweep
from tests.spaces import fake_chip

CONTENT = {"network": "f" * 64, "version": "0"}


def run(sweep: Sweep, folder: Path, make: MakeEvaluator = fake_chip.make) -> Stored:
    """Run a sweep in `folder` and read it back."""
    run_sweep(sweep, folder, content=CONTENT, make_evaluator=make)
    return load_stored(folder)


def store(folder: Path, **changes: object) -> Stored:
    """The same of the fake chip law's sweep."""
    return run(fake_chip.sweep(**changes), folder)
