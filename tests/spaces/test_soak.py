"""Twenty SIGKILLs at random moments: a sweep ends as if nothing had happened, whatever its storage and workers."""

import json
import random
import time
from contextlib import ExitStack
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from pimdse.report.findings import find
from spaces.search.run import run_sweep
from spaces.search.study import Stored, load_stored
from spaces.space import Fidelity
from tests.spaces import fake_chip, postgresql
from tests.spaces.sweeping_process import CONTENT, start

KILLS, TIMED = 20, 10
TRIALS = {"sequential": 70, "parallel": 70, "postgresql": 40}


def _start(folder: Path, kind: str, database: str | None) -> ForkServerProcess:
    jobs = 2 if kind == "parallel" else 1
    settings = {"trials": TRIALS[kind], "timed": TIMED, "jobs": jobs, "fidelity": Fidelity.COST}
    return start(folder, database=database, **settings)


def _sleep_until_some_moment(folder: Path, moments: random.Random) -> None:
    """Half of the time anywhere from the start on; half of the time soon after a candidate was judged."""
    if moments.random() < 0.5:
        time.sleep(moments.uniform(0.05, 1.0))
        return
    log = folder.with_suffix(".log")
    before = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (not log.exists() or log.stat().st_size == before):
        time.sleep(0.01)
    time.sleep(moments.uniform(0.0, 0.3))


def _set(stored: Stored) -> list[set[str]]:
    """The (parameters, values) of the search and of the timelines."""
    searched = [t.candidate for t in stored.trials if t.duplicate_of is None]
    return [{json.dumps(c.to_json(), sort_keys=True) for c in found} for found in (searched, stored.timed)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sequential", "parallel", "postgresql"])
def test_twenty_kills_change_nothing(tmp_path: Path, kind: str) -> None:
    if kind == "postgresql" and not postgresql.INSTALLED:
        pytest.skip("PostgreSQL is not installed")
    moments = random.Random(kind)
    folder = tmp_path / "killed"
    with ExitStack() as stack:
        database = stack.enter_context(postgresql.cluster()) if kind == "postgresql" else None
        for _ in range(KILLS):
            child = _start(folder, kind, database)
            _sleep_until_some_moment(folder, moments)
            child.kill()
            child.join()
        last = _start(folder, kind, database)
        last.join()
        assert last.exitcode == 0
    killed = load_stored(folder)
    points = [t.candidate.point for t in killed.trials if t.duplicate_of is None]
    assert len(points) == len(set(points)) == TRIALS[kind], "none lost, none double"
    assert len({c.point for c in killed.timed}) == len(killed.timed) <= TIMED
    assert all(t.candidate.verdict != "error" for t in killed.best_known)
    if kind == "sequential":
        sweep = fake_chip.sweep(trials=TRIALS[kind], fidelity=Fidelity.COST, timed=TIMED)
        run_sweep(sweep, tmp_path / "whole", content=CONTENT, make_evaluator=fake_chip.make)
        whole = load_stored(tmp_path / "whole")
        assert _set(killed) == _set(whole)
        fronts = [[t.candidate.point for t in find(stored).front] for stored in (killed, whole)]
        assert fronts[0] == fronts[1]
