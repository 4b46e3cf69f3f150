"""Processes that sweep the made-up chip and can be killed, started from one that has imported everything already."""

import multiprocessing
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from spaces.search.run import run_sweep
from spaces.space import Choice, Fidelity
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import CONTENT

CORES = Choice(name="cores", values=tuple(range(4, 34, 2)))
ENUMERATED: dict[str, Any] = {
    "fidelity": Fidelity.COST, "trials": 40, "timed": 12, "enumerate": 1000,
    "parameters": (Choice(name="adc_count", values=(4, 8, 16)), CORES, Choice(name="crossbars_per_core", values=(8,))),
}  # fmt: skip
PROPOSED: dict[str, Any] = {"fidelity": Fidelity.COST, "trials": 60, "timed": 12, "lag": 6}


def start(folder: Path, *, cluster: str | None = None, **changes: object) -> ForkServerProcess:
    """A process that sweeps in `folder`, some milliseconds per point. changes: of fake_chip's sweep."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.spaces.sweeping_process"])
    process = context.Process(target=sweep_slowly, args=(folder, cluster, changes))
    process.start()
    return process


def sweep_slowly(folder: Path, cluster: str | None, changes: dict[str, object]) -> None:
    """The body of the process."""
    sweep = fake_chip.sweep(**changes)
    run_sweep(sweep, folder, content=CONTENT, make_evaluator=fake_chip.make_slow, cluster=cluster)
