"""Processor time of work whose kernels are compiled."""

import time
from collections.abc import Callable


def warm_cpu_s(run: Callable[[], object], runs: int) -> list[float]:
    """Processor time of so many runs, after one that compiles."""
    run()
    times = []
    for _ in range(runs):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return times
