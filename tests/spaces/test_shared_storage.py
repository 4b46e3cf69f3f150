"""Hosts that share one study in a real PostgreSQL: nothing is lost or judged twice, whoever dies.

Covers: search/storage.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pimcomp.errors import ConfigError, OutputError
from spaces.search.run import run_sweep
from spaces.search.storage import Place
from spaces.search.study import Stored, load_stored
from spaces.space import Fidelity
from tests.spaces import fake_chip, postgresql

CONTENT = {"network": "fake", "version": "0"}
_needs_server = pytest.mark.skipif(not postgresql.INSTALLED, reason="PostgreSQL is not installed")

_HOST = """
import sys
import time
from pathlib import Path
from spaces.search.run import run_sweep
from spaces.search.storage import Place
from spaces.space import Fidelity
from tests.spaces import fake_chip
if __name__ == "__main__":
    folder, database, trials, jobs, fidelity, others = sys.argv[1:]
    Path(folder).with_name("ready").touch()
    while not all(Path(other).with_name("ready").exists() for other in others.split(":")):
        time.sleep(0.01)
    place = Place(folder=Path(folder), database=database, heartbeat_s=1, grace_s=2)
    sweep = fake_chip.sweep(trials=int(trials), jobs=int(jobs), fidelity=Fidelity(fidelity), timed=6)
    content = {"network": "fake", "version": "0"}
    run_sweep(sweep, place.folder, content=content, make_evaluator=fake_chip.make_slow, place=place)
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql.cluster() as address:
        yield address


def _host(
    folder: Path,
    database: str,
    *,
    trials: int,
    jobs: int = 1,
    fidelity: str = "timeline",
    others: tuple[Path, ...] = (),
) -> subprocess.Popen[bytes]:
    """A process that works on the study, as on a host of its own: with a folder of the same name elsewhere.

    It begins when the others have started too: starting takes longer than all trials.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    script = folder.parent / "host.py"
    script.write_text(_HOST)
    environment = {
        **os.environ,
        "FAKE_CHIP_LOG": str(folder.parent / "log"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = [str(folder), database, str(trials), str(jobs), fidelity, ":".join(map(str, (folder, *others)))]
    return subprocess.Popen([sys.executable, str(script), *words], env=environment)


def _check_complete(stored: Stored, trials: int) -> None:
    distinct = [t.candidate.point for t in stored.trials if t.duplicate_of is None]
    assert len(distinct) == len(set(distinct)) == trials
    assert all(t.candidate.verdict != "error" for t in stored.trials)


@_needs_server
@pytest.mark.slow
def test_killed_workers_lose_nothing_and_nothing_counts_twice(tmp_path: Path, database: str) -> None:
    hosts = [tmp_path / name / "killed" for name in "abc"]
    running = [_host(hosts[0], database, trials=24), _host(hosts[1], database, trials=24, jobs=2)]
    for _ in range(3):  # kill one in the middle of a trial, start it again
        _wait_for_work(hosts[0].parent / "log")
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        running[0] = _host(hosts[0], database, trials=24)
    _wait_for_work(hosts[1].parent / "log")
    running[1].send_signal(signal.SIGKILL)  # for good: its two workers die with it
    running[1].wait()
    assert running[0].wait(timeout=120) == 0
    stored = load_stored(hosts[0], database)
    _check_complete(stored, 24)
    assert load_stored(hosts[0]).trials == stored.trials, "the journal left in the folder says the same"


def _wait_for_work(log: Path) -> None:
    before = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not log.exists() or log.stat().st_size <= before + 100):
        time.sleep(0.02)
    time.sleep(0.06)  # into the next evaluation


@_needs_server
@pytest.mark.slow
def test_two_hosts_share_budget_and_front(tmp_path: Path, database: str) -> None:
    hosts = [tmp_path / name / "shared" for name in "ab"]
    running = [_host(folder, database, trials=24, fidelity="cost", others=tuple(hosts)) for folder in hosts]
    assert [host.wait(timeout=120) for host in running] == [0, 0]
    stored = load_stored(hosts[0], database)
    _check_complete(stored, 24)
    judged = Counter(line for f in hosts for line in (f.parent / "log").read_text().splitlines())
    assert len([line for line in judged if line.startswith("cost")]) == 24
    points = [c.point for c in stored.timed]
    assert 0 < len(points) == len(set(points)) <= 6
    assert all((folder.parent / "log").stat().st_size for folder in hosts), "both worked"


@_needs_server
@pytest.mark.slow
def test_one_host_gives_what_a_journal_gives(tmp_path: Path, database: str) -> None:
    sweep = fake_chip.sweep(trials=12, fidelity=Fidelity.COST, timed=5)
    place = Place(folder=tmp_path / "alone", database=database)
    run_sweep(sweep, place.folder, content=CONTENT, make_evaluator=fake_chip.make, place=place)
    run_sweep(sweep, tmp_path / "journal", content=CONTENT, make_evaluator=fake_chip.make)
    shared, own = load_stored(place.folder, database), load_stored(tmp_path / "journal")
    assert [t.candidate for t in shared.trials] == [t.candidate for t in own.trials]
    assert shared.timed == own.timed
    other = fake_chip.sweep(trials=12, fidelity=Fidelity.COST, timed=5, seed=1)
    with pytest.raises(ConfigError, match="another seed"):
        run_sweep(other, place.folder, content=CONTENT, make_evaluator=fake_chip.make, place=place)


def test_bad_addresses_are_clear_errors(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with pytest.raises(ConfigError, match="--storage: expected an address like postgresql"):
        load_stored(tmp_path, "no address")
    pytest.importorskip("psycopg")
    with pytest.raises(OutputError, match=r"postgresql\+psycopg://me@127\.0\.0\.1:9/x: .*[Cc]onnection"):
        load_stored(tmp_path, "postgresql+psycopg://me:secret@127.0.0.1:9/x")
