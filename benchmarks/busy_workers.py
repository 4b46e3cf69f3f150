"""How busy one driver keeps 64 workers: candidates that sleep 1 to 10 s, chosen at random.

    python benchmarks/busy_workers.py                      # 1,000 candidates, a minute and a half
    python benchmarks/busy_workers.py --sampler tpe        # its proposals are the driver's work, too
    python benchmarks/busy_workers.py --sampler tpe --virtual  # workers are a calculation; only the driver takes time

Counted from the first candidate to the start of the last one: what follows is the end of any parallel work. The workers
are 64 threads of a Dask worker in the driver's own process, which makes it harder for the driver. The machine has to be
quiet, unless time is virtual: then the driver's is its processor time. Exit status 1 below issue 15's 95 %.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from distributed import LocalCluster

from spaces.candidate import Candidate, Evaluator, point_key
from spaces.search.adaptive import search
from spaces.search.engine import Result, Task, judge, read
from spaces.search.run import run_sweep
from spaces.search.study import open_study
from spaces.space import Fidelity, Point, Sweep
from tests.spaces import fake_chip

WORKERS, LEAST_BUSY = 64, 0.95


def sleepy(sweep: Sweep) -> Evaluator:
    """The made-up chip's judge, asleep for 1 to 10 s per point; the reason says from when to when."""
    fast = fake_chip.make(sweep)

    def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
        started = time.perf_counter()
        time.sleep(seconds(point))
        found = fast.evaluate(point, fidelity)
        return replace(found, reason=f"{started} {time.perf_counter()}")

    return Evaluator(evaluate=evaluate)


def seconds(point: Point) -> float:
    """How long a candidate sleeps."""
    return 1 + 9 * hashlib.sha256(point_key(point).encode()).digest()[0] / 255


class Virtual:
    """Workers in virtual time, which goes on by the driver's processor time and by waiting for a worker."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep, self._now, self._used = sweep, 0.0, time.process_time()
        self._free = [0.0] * WORKERS
        self._tasks: list[tuple[float, int, Task]] = []
        self.spans: list[tuple[float, float]] = []

    def _tick(self) -> None:
        used = time.process_time()
        self._now, self._used = self._now + used - self._used, used

    def room(self) -> bool:
        """As of `engine.Cluster`: so are the others."""
        self._tick()
        return len(self._tasks) < 2 * WORKERS

    @property
    def flying(self) -> int:
        """Candidates under way."""
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        """To the worker that is free first."""
        self._tick()
        start = max(heappop(self._free), self._now)
        end = start + seconds(task.points[0])
        heappush(self._free, end)
        heappush(self._tasks, (end, task.first, task))
        self.spans.append((start, end))

    def recall(self) -> None:
        """Never asked for."""
        raise NotImplementedError("nobody stops it")

    def finished(self) -> list[Result]:
        """Those that are, or that will be next."""
        self._tick()
        self._now, results = max(self._now, self._tasks[0][0]), []
        while self._tasks and self._tasks[0][0] <= self._now:
            task = heappop(self._tasks)[2]
            text = judge(fake_chip.make, self._sweep, task.points, task.fidelity)
            results.append(Result(task, text, read(text, task.points)))
        self._used = time.process_time()  # judging is the workers'
        return results


def virtual_spans(sweep: Sweep) -> list[tuple[float, float]]:
    """When every candidate was judged, on virtual workers."""
    engine: Any = Virtual(sweep)
    with tempfile.TemporaryDirectory() as folder, closing(open_study(Path(folder), sweep, {})) as store:
        search(store, sweep, fake_chip.make, engine, lambda progress: None, lambda: False)
    spans: list[tuple[float, float]] = engine.spans
    return spans


def real_spans(sweep: Sweep) -> list[tuple[float, float]]:
    """The same on threads of this process."""
    local = LocalCluster(n_workers=1, threads_per_worker=WORKERS, processes=False, dashboard_address="127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder, local as cluster:
        progress = run_sweep(
            sweep, Path(folder) / "busy", content={}, make_evaluator=sleepy, cluster=cluster.scheduler_address
        )
    said = [t.candidate.reason.split() for t in progress.trials if t.duplicate_of is None]
    return [(float(start), float(end)) for start, end in said]


def main() -> int:
    """Measure and print; 1 if the workers idle too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--lag", type=int, default=4 * WORKERS)
    parser.add_argument("--virtual", action="store_true")
    options = parser.parse_args()
    sweep, used = fake_chip.sweep(sampler=options.sampler, trials=options.trials, lag=options.lag), time.process_time()
    spans = virtual_spans(sweep) if options.virtual else real_spans(sweep)
    used = time.process_time() - used
    first, last = min(start for start, _ in spans), max(start for start, _ in spans)
    busy = sum(min(end, last) - start for start, end in spans) / (WORKERS * (last - first))
    print(
        f"{options.sampler}, lag {options.lag}: {WORKERS} workers were {100 * busy:.1f} % busy for {last - first:.0f} "
        f"s ({len(spans)} candidates); the driver took {used:.0f} s of processor time"
    )
    return int(busy < LEAST_BUSY)


if __name__ == "__main__":
    sys.exit(main())
