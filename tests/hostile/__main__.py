"""`python -m tests.hostile`: see the package's docstring."""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.hostile.cases import write_good_files
from tests.hostile.watch import Verdict, run_chunk

CHUNK = 50  # cases per child: memory that leaks is noticed, what one case leaves behind does not reach the others


def main() -> int:
    """Run the cases; 1 if one of them ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="Throw hostile files at pimdse.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run one case and show what it said")
    options = parser.parse_args()
    numbers = [options.only] if options.only is not None else list(range(options.first, options.first + options.cases))
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    started, bad, count = time.monotonic(), 0, Counter[str]()
    slowest = Verdict(-1, "", [], 0, 0.0, "", "")
    try:
        write_good_files(folder / "good")
        for at in range(0, len(numbers), CHUNK):
            for verdict in run_chunk(options.seed, numbers[at : at + CHUNK], folder / "scratch", folder / "good"):
                count[f"{verdict.kind} {verdict.status}"] += 1
                slowest = max(slowest, verdict, key=lambda v: v.seconds)
                if verdict.problem or options.only is not None:
                    bad += bool(verdict.problem)
                    _show(verdict)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(", ".join(f"{name}: {n}" for name, n in sorted(count.items())))
    print(
        f"{len(numbers)} cases in {time.monotonic() - started:.0f} s, the slowest {slowest.seconds:.1f} s "
        f"(case {slowest.number}); {bad} ended badly"
    )
    return 1 if bad else 0


def _show(verdict: Verdict) -> None:
    print(
        f"case {verdict.number}: {verdict.kind}: pimdse {' '.join(map(repr, verdict.words))}: status {verdict.status}"
    )
    print(f"  {verdict.problem or 'fine'}")
    print("  said: " + verdict.said.strip().replace("\n", "\n        "), flush=True)


if __name__ == "__main__":
    sys.exit(main())
