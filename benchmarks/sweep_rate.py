"""How fast sweeps are: candidates per minute of the shipped sweep, and one against two workers on one PostgreSQL.

    python benchmarks/sweep_rate.py candidates              # `pimdse sweep isaac --jobs 2`: at least 300 in 10 minutes
    python benchmarks/sweep_rate.py workers                 # 60 and 120 timelines of ResNet-18: at least 1.6 times

`workers` starts a server of its own on this machine, and every worker is one `pimdse sweep --jobs 1` process on a core
of its own. The first tenth of the candidates is left out of the rate: starting the interpreter is no part of it. The
machine has to be quiet. Exit status 1 when a figure is below issue 6's.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import optuna
import yaml

from pimcomp.config import find_arch
from spaces.search.storage import Place, close, database, study_name
from spaces.search.study import load_stored
from spaces.space import Fidelity
from tests.spaces.postgresql import cluster

LEAST_CANDIDATES, MOST_S = 300, 600
LEAST_SPEED_UP = 1.6


def main() -> int:
    """Measure and print; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("candidates", "workers"))
    parser.add_argument("--trials", type=int, default=60, help="of each worker")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return candidates(Path(folder)) if options.what == "candidates" else workers(Path(folder), options.trials)


def candidates(folder: Path) -> int:
    """The shipped sweep of isaac with its default budget."""
    started = time.perf_counter()
    subprocess.run([*_COMMAND, "isaac", "--jobs", "2", "--out", str(folder / "isaac")], check=True, env=_environment())
    wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    stored = load_stored(folder / "isaac")
    judged = len(stored.best_known)
    print(
        f"{judged} candidates of {stored.sweep.model}, {len(stored.timed)} of them timed, in {wall_s:.0f} s of wall "
        f"clock and {used.ru_utime + used.ru_stime:.0f} s of CPU with 2 jobs"
    )
    return int(judged < LEAST_CANDIDATES or wall_s > MOST_S)


def workers(folder: Path, trials: int) -> int:
    """One and two single-threaded workers."""
    rates = {}
    for count in (1, 2):
        with cluster() as address:
            rates[count] = _rate(folder / str(count), address, count, trials * count)
        print(f"{count} worker(s): {60 * rates[count]:.1f} candidates per minute")
    speed_up = rates[2] / rates[1]
    print(f"two workers are {speed_up:.2f} times as fast as one ({trials} candidates per worker)")
    return int(speed_up < LEAST_SPEED_UP)


def _rate(folder: Path, address: str, count: int, trials: int) -> float:
    """Candidates per second while all workers are at work."""
    config = folder / "rate.yaml"
    folder.mkdir()
    content = yaml.safe_load(find_arch("pimcomp_default").read_text())
    content["sweep"] = {
        "model": "resnet18",
        "weights": "random:0",
        "pipelines": ["element"],
        "fidelity": "timeline",
        "sampler": "random",
        "trials": trials,
        "solvers": ["balance"],
        "space": {"cores": {"low": 40, "high": 144}, "bus_width_bytes": [16, 32, 64], "adc_count": [8, 16, 32]},
    }
    config.write_text(yaml.safe_dump(content))
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for number in range(count):
            words = [str(config), "--no-verify", "--out", str(folder / str(number) / "rate"), "--storage", address]
            pinned = ["taskset", "-c", str(cores[number % len(cores)])]
            stack.enter_context(subprocess.Popen([*pinned, *_COMMAND, *words], env=_environment()))
    place = Place(folder=folder / "0" / "rate", database=address)
    storage = database(place)
    try:
        study = optuna.load_study(study_name=study_name(place, Fidelity.TIMELINE), storage=storage)
        ends = sorted(t.datetime_complete for t in study.get_trials(deepcopy=False) if t.datetime_complete)
    finally:
        close(storage)
    assert len(ends) >= trials, f"{len(ends)} of {trials} candidates"
    # the first tenth is left out: workers still start, and numba's kernels still load
    skipped = len(ends) // 10
    return (len(ends) - 1 - skipped) / (ends[-1] - ends[skipped]).total_seconds()


_COMMAND = [sys.executable, "-m", "pimdse", "-q", "sweep"]


def _environment() -> dict[str, str]:
    single = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    return {**os.environ, **single}


if __name__ == "__main__":
    sys.exit(main())
