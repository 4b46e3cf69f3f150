"""Processes that sweep the made-up chip and can be killed, started from one that has imported everything already."""

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from spaces.search.run import run_sweep
from spaces.search.storage import Place
from spaces.space import Fidelity
from tests.spaces import fake_chip

CONTENT = {"network": "fake", "version": "0"}


def start(folder: Path, *, trials: int, timed: int, jobs: int = 1, database: str | None = None) -> ForkServerProcess:
    """A process that sweeps in `folder`, with a line per judged point in the file beside it that ends in .log."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.spaces.sweeping_process"])
    process = context.Process(target=_sweep, args=(folder, trials, timed, jobs, database))
    process.start()
    return process


def _sweep(folder: Path, trials: int, timed: int, jobs: int, database: str | None) -> None:
    os.environ["FAKE_CHIP_LOG"] = str(folder.with_suffix(".log"))
    place = Place(folder=folder, database=database, heartbeat_s=1, grace_s=2)
    sweep = fake_chip.sweep(trials=trials, jobs=jobs, fidelity=Fidelity.COST, timed=timed)
    run_sweep(sweep, folder, content=CONTENT, make_evaluator=fake_chip.make_slow, place=place)
