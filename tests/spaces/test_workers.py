"""Workers of a Dask cluster change nothing but the time: the same bytes, however many there are and whoever is killed.

Covers: search/engine.
"""

import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from pimcomp.errors import ConfigError, PimdseError
from pimdse.report.findings import find
from pimdse.report.write import write_report
from spaces.candidate import Evaluator, Verdict
from spaces.search.engine import Here, Task, judge, read
from spaces.search.run import run_sweep
from spaces.search.store import STUDY
from spaces.search.study import load_stored
from spaces.space import Choice, Fidelity, Sweep
from tests.spaces import fake_chip
from tests.spaces.stored_sweep import CONTENT, run, store
from tests.spaces.sweeping_process import ENUMERATED, PROPOSED, start

_NAMESPACES = ["unshare", "--user", "--map-root-user", "--net"]


def _tables(folder: Path) -> tuple[bytes, bytes]:
    write_report(find(load_stored(folder)), folder)
    return (folder / "trials.csv").read_bytes(), (folder / "front.csv").read_bytes()


def _run(folder: Path, **changes: object) -> tuple[bytes, bytes]:
    store(folder, **changes)
    return _tables(folder)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [ENUMERATED, PROPOSED], ids=["enumerated", "proposed"])
def test_the_same_bytes_whatever_the_workers_and_whoever_is_killed(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = _run(tmp_path / "whole", **settings)
    assert _run(tmp_path / "four", **settings, jobs=4) == whole
    moments, folder = random.Random(str(settings)), tmp_path / "killed"
    for kill in range(10):
        driver = start(folder, **settings, jobs=2 if kill == 4 else 1)
        if kill == 4:
            for _ in range(3):  # its workers, one after the other
                _kill_a_worker(driver.pid or 0, folder, moments)
        time.sleep(moments.uniform(0.1, 1.0))
        driver.kill()
        driver.join()
    last = start(folder, **settings, jobs=2)
    last.join()
    assert last.exitcode == 0
    assert _tables(folder) == whole


def _kill_a_worker(driver: int, folder: Path, moments: random.Random) -> None:
    """Kill one of the workers soon after one of them has judged something."""
    before = _stored(folder)
    while _stored(folder) == before:
        time.sleep(0.05)
    time.sleep(moments.uniform(0.0, 0.1))
    children = psutil.Process(driver).children(recursive=True)
    moments.choice([c for c in children if "spawn_main" in " ".join(c.cmdline())]).kill()


def _stored(folder: Path) -> int:
    if not (folder / STUDY).exists():
        return 0
    with closing(sqlite3.connect(folder / STUDY)) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("candidates", "batches")]
    return sum(count for (count,) in counts)


@pytest.mark.slow
def test_two_hosts_one_of_which_is_killed_leave_the_same_bytes(tmp_path: Path) -> None:
    try:
        refused = subprocess.run([*_NAMESPACES, "ip", "link"], capture_output=True, check=False).returncode != 0
    except OSError:
        refused = True
    hosts = [sys.executable, "-m", "tests.spaces.two_hosts", str(tmp_path / "hosts")]
    words = [*hosts, "--alone"] if refused else [*_NAMESPACES, *hosts]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], timeout=300)
    assert _tables(tmp_path / "hosts") == _run(tmp_path / "whole", **PROPOSED)


@pytest.mark.slow
def test_a_point_that_kills_its_workers_is_an_error_and_costs_the_others_nothing(tmp_path: Path) -> None:
    fixed = {"cores": (16,), "crossbars_per_core": (8,)}
    parameters = (Choice(name="adc_count", values=(4, 16)), *(Choice(name=n, values=v) for n, v in fixed.items()))
    sweep = fake_chip.sweep(jobs=2, parameters=parameters, solvers=("balance",), enumerate=10, fidelity=Fidelity.COST)
    stored = run(sweep, tmp_path, fake_chip.make_deadly)
    assert stored.enumeration is not None
    assert (stored.enumeration.feasible, stored.enumeration.errors) == (2, 2)
    assert "every process that compiled this point was killed" in stored.enumeration.reasons[0][2]
    assert {t.candidate.verdict for t in stored.trials} == {Verdict.FEASIBLE}


def test_a_result_is_data_and_a_wrong_one_is_told() -> None:
    sweep = fake_chip.sweep()
    point, other = sweep.anchors()[:2]
    text = judge(fake_chip.make, sweep, (point,), Fidelity.COST)
    assert read(text, (point,))[0][0] == fake_chip.make(sweep).evaluate(point, Fidelity.COST)
    with pytest.raises(PimdseError, match="about other points"):
        read(text, (other,))
    without = json.loads(text)
    del without[0][0]["verdict"]
    for wrong in ("", "[", "[[1, 2]]", "{}x", "7", "null", b"\xff", None, json.dumps(without), [point]):
        with pytest.raises(PimdseError, match="not what was asked for"):
            read(wrong, (point,))


def _no_evaluator(sweep: Sweep) -> Evaluator:
    raise ConfigError("model", "no such file here")


def test_what_a_worker_cannot_do_is_said() -> None:
    sweep = fake_chip.sweep()
    engine = Here(sweep, _no_evaluator)
    engine.submit(Task(0, sweep.anchors()[:1], Fidelity.COST))
    with pytest.raises(PimdseError, match="model: no such file here"):
        engine.finished()


def test_no_scheduler_is_a_clear_error(tmp_path: Path) -> None:
    for address in ("no address", "tcp://127.0.0.1:x"):
        with pytest.raises(ConfigError, match=r"--cluster: .*expected the address of a Dask scheduler"):
            run_sweep(fake_chip.sweep(), tmp_path, content=CONTENT, make_evaluator=fake_chip.make, cluster=address)


def test_the_look_behind_decides_and_is_kept(tmp_path: Path) -> None:
    settings = {**PROPOSED, "trials": 30, "timed": 2}
    one, two = (_run(tmp_path / name, **{**settings, "lag": lag}) for name, lag in (("a", 1), ("b", 8)))
    assert one != two
    with pytest.raises(ConfigError, match="differs in lag"):
        _run(tmp_path / "a", **{**settings, "lag": 2})
