"""How long a compile takes and how much memory, measured from outside on the command line that users run.

    python benchmarks/compile_speed.py                       # resnet18, element, balance, pimcomp_default: 10 s, 1.5 GB
    python benchmarks/compile_speed.py --model squeezenet1_1 --pipeline batch --repeat 5 --json

Wall time and peak memory are those of the whole `pimdse compile` process, interpreter start and every file included.
The first run only fills numba's cache and is reported apart. Exit status 1 when the median exceeds a limit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# The project's acceptance limits for the default case (issue 2).
LIMIT_S = 10.0
LIMIT_BYTES = 1.5e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One compile: wall-clock and CPU seconds, peak resident bytes, seconds per stage; the program's size."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    program_bytes: int
    instructions: int
    stages_s: dict[str, float]


def main() -> int:
    """Measure and report; 1 if a limit is exceeded."""
    options = _options()
    command = [
        *(sys.executable, "-m", "pimdse", "compile", options.model, "--arch", options.arch),
        *("--solver", options.solver, "--pipeline", options.pipeline, "--json"),
    ]
    first, *runs = [measure(command) for _ in range(options.repeat + 1)]
    wall_s, peak = statistics.median(r.wall_s for r in runs), max(r.peak_bytes for r in runs)
    passed = wall_s <= options.limit_s and peak <= options.limit_bytes
    if options.json:
        data = {"command": command[2:], "first": asdict(first), "runs": [asdict(r) for r in runs], "passed": passed}
        print(json.dumps(data, indent=2))
        return 0 if passed else 1
    print(" ".join(["pimdse", *command[3:]]))
    print(f"first run  {_text(first)} (fills numba's cache)")
    for number, run in enumerate(runs, start=1):
        print(f"run {number}      {_text(run)}")
    stages = runs[-1].stages_s
    print("stages     " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in stages.items()))
    print(
        f"median {wall_s:.2f} s (limit {options.limit_s:g} s), peak {peak / 1e9:.2f} GB "
        f"(limit {options.limit_bytes / 1e9:g} GB): {'passed' if passed else 'FAILED'}"
    )
    return 0 if passed else 1


def measure(command: list[str]) -> Run:
    """Run one compile into a temporary folder. Raises RuntimeError with its error output if it fails."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        started = time.perf_counter()
        target = str(Path(folder) / "out")
        child = subprocess.Popen([*command, "--out", target], stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            raise RuntimeError(f"exit status {child.returncode}: {errors.read().decode(errors='replace').strip()}")
        out.seek(0)
        return Run(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_bytes=usage.ru_maxrss * 1024,  # Linux counts KiB
            program_bytes=(Path(target) / "program.gz").stat().st_size,
            instructions=int(json.loads((Path(target) / "report.json").read_bytes())["instructions_per_round"]),
            stages_s=json.loads(out.read())["stages_s"],
        )


def _text(run: Run) -> str:
    return f"{run.wall_s:6.2f} s wall, {run.cpu_s:6.2f} s CPU, {run.peak_bytes / 1e9:.2f} GB peak"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--solver", default="balance")
    parser.add_argument("--pipeline", default="element")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    parser.add_argument("--limit-bytes", type=float, default=LIMIT_BYTES)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
