"""How fast sweeps are: candidates per minute of the shipped sweep.

    python benchmarks/sweep_rate.py                         # `pimdse sweep isaac --jobs 2`: at least 300 in 10 minutes

The machine has to be quiet. Exit status 1 when a figure is below issue 6's.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spaces.search.study import load_stored

LEAST_CANDIDATES, MOST_S = 300, 600
_COMMAND = [sys.executable, "-m", "pimdse", "-q", "sweep"]


def main() -> int:
    """Measure and print; 1 if a limit is missed."""
    single = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "isaac"
        started = time.perf_counter()
        subprocess.run([*_COMMAND, "isaac", "--jobs", "2", "--out", str(out)], check=True, env={**os.environ, **single})
        wall_s = time.perf_counter() - started
        stored = load_stored(out)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    judged = stored.enumeration.points if stored.enumeration else len(stored.best_known)
    print(
        f"{judged} candidates of {stored.sweep.model}, {len(stored.timed)} of them timed, in {wall_s:.0f} s of wall "
        f"clock and {used.ru_utime + used.ru_stime:.0f} s of CPU with 2 jobs"
    )
    return int(judged < LEAST_CANDIDATES or wall_s > MOST_S)


if __name__ == "__main__":
    sys.exit(main())
