"""How busy one driver keeps 64 workers: candidates that sleep 1 to 10 s, chosen at random.

    python benchmarks/busy_workers.py                      # 1,000 candidates, a minute and a half
    python benchmarks/busy_workers.py --sampler tpe        # its proposals are the driver's work, too

Counted from the first candidate to the start of the last one: what follows is the end of any parallel work. The workers
are 64 threads of a Dask worker in the driver's own process, which makes it harder for the driver. The machine has to be
quiet. Exit status 1 below issue 15's 95 %.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from distributed import LocalCluster

from spaces.candidate import Candidate, Evaluator, point_key
from spaces.search.run import run_sweep
from spaces.space import Fidelity, Point, Sweep
from tests.spaces import fake_chip

WORKERS, LEAST_BUSY = 64, 0.95


def sleepy(sweep: Sweep) -> Evaluator:
    """The made-up chip's judge, asleep for 1 to 10 s per point; the reason says from when to when."""
    fast = fake_chip.make(sweep)

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        started = time.perf_counter()
        time.sleep(1 + 9 * hashlib.sha256(point_key(point).encode()).digest()[0] / 255)
        found = fast.evaluate(point, fidelity)
        return replace(found, reason=f"{started} {time.perf_counter()}")

    return Evaluator(evaluate=evaluate)


def main() -> int:
    """Measure and print; 1 if the workers idle too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--lag", type=int, default=4 * WORKERS)
    options = parser.parse_args()
    sweep = fake_chip.sweep(sampler=options.sampler, trials=options.trials, lag=options.lag)
    local = LocalCluster(n_workers=1, threads_per_worker=WORKERS, processes=False, dashboard_address="127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder, local as cluster:
        used = time.process_time()
        progress = run_sweep(
            sweep, Path(folder) / "busy", content={}, make_evaluator=sleepy, cluster=cluster.scheduler_address
        )
        used = time.process_time() - used
    spans = [tuple(map(float, t.candidate.reason.split())) for t in progress.trials if t.duplicate_of is None]
    first, last = min(start for start, _ in spans), max(start for start, _ in spans)
    busy = sum(min(end, last) - start for start, end in spans) / (WORKERS * (last - first))
    print(
        f"{options.sampler}, lag {options.lag}: {WORKERS} workers were {100 * busy:.1f} % busy for {last - first:.0f} "
        f"s ({len(spans)} candidates); the driver took {used:.0f} s of processor time"
    )
    return int(busy < LEAST_BUSY)


if __name__ == "__main__":
    sys.exit(main())
