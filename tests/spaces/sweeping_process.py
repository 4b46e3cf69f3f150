"""Processes that sweep the made-up chip and can be killed, started from one that has imported everything already."""

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from spaces.search.run import run_sweep
from spaces.search.storage import Place
from tests.spaces import fake_chip

CONTENT = {"network": "fake", "version": "0"}


def start(folder: Path, *, database: str | None = None, **changes: object) -> ForkServerProcess:
    """A process that sweeps in `folder`, with a line per judged point in the file beside it that ends in .log.

    changes: of fake_chip's sweep.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.spaces.sweeping_process"])
    process = context.Process(target=_sweep, args=(folder, database, changes))
    process.start()
    return process


def _sweep(folder: Path, database: str | None, changes: dict[str, object]) -> None:
    os.environ["FAKE_CHIP_LOG"] = str(folder.with_suffix(".log"))
    place = Place(folder=folder, database=database, heartbeat_s=1, grace_s=2)
    run_sweep(fake_chip.sweep(**changes), folder, content=CONTENT, make_evaluator=fake_chip.make_slow, place=place)
