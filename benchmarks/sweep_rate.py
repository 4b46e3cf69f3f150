"""How fast sweeps estimate, and how time and memory grow with the space.

    python benchmarks/sweep_rate.py           # candidates per second and core: 300 of resnet18 wanted, 100 of googlenet
    python benchmarks/sweep_rate.py --prices  # what it costs that prices follow the parameters
    python benchmarks/sweep_rate.py --growth 3 4 5  # whole sweeps of 1,000, 10,000 and 100,000 points, 2 jobs

The machine has to be quiet. Exit status 1 when a rate is below what is wanted.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import yaml

from pimcomp.config import find_arch
from pimcomp.ir.price.figures import Rating, prices_at
from pimdse.sweep.settings import load_sweep
from spaces.chip import chip_of
from spaces.evaluate import compile_evaluator
from spaces.space import Fidelity, Point, Sweep

WANTED = {"resnet18": 300.0, "googlenet": 100.0}
SHAPE = 1008  # points of isaac's sweep that share a crossbar's shape
SHAPES = (0, 7, 17)  # that are looked at
MOST_FOR_PRICES = 0.1  # of a sweep's rate
CORES = {3: range(8, 24, 8), 4: range(8, 88, 4), 5: range(8, 208, 1), 6: range(8, 208, 1)}  # by the power of ten


def main() -> int:
    """Measure and print; 1 if a rate is too low."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", type=int, nargs="+", choices=CORES, metavar="N", help="powers of ten: 3 to 6")
    parser.add_argument("--prices", action="store_true")
    parser.add_argument("--model", default="digits_lenet5", help="of the growth curve")
    options = parser.parse_args()
    if options.prices:
        return int(share_of_prices("resnet18") > MOST_FOR_PRICES)
    if options.growth:
        return growth(options.model, options.growth)
    return int(any(rate(m) < least for m, least in WANTED.items()))


def points_of(model: str) -> tuple[Sweep, list[Point]]:
    """Isaac's sweep for a network, and all its points of three crossbar shapes."""
    sweep = load_sweep("isaac")
    sweep = replace(sweep, networks=tuple(replace(network, model=model) for network in sweep.networks))
    points = list(sweep.points())
    return sweep, [p for shape in SHAPES for p in points[shape * SHAPE : (shape + 1) * SHAPE]]


def rate(model: str) -> float:
    """Candidates of isaac's sweep per second of one core, kernels compiled."""
    sweep, chosen = points_of(model)
    warm = compile_evaluator(sweep)
    for point in chosen[::200]:
        warm.evaluate(point, Fidelity.COST)
    judge = compile_evaluator(sweep)
    started = time.process_time()
    feasible = sum(judge.evaluate(point, Fidelity.COST).feasible for point in chosen)
    found = len(chosen) / (time.process_time() - started)
    print(f"{model}: {found:.0f} candidates per second and core ({len(chosen)} points, {feasible} feasible)")
    return found


def share_of_prices(model: str) -> float:
    """How much of an estimate's processor time goes to figures that follow a chip's parameters."""
    sweep, points = points_of(model)
    chips = list(dict.fromkeys(point.parameters for point in points))

    def chips_s() -> float:
        prices_at.cache_clear()
        started = time.process_time()
        for parameters in chips:
            chip_of(sweep, parameters)
        return time.process_time() - started

    spent_s = chips_s()
    with patch.object(Rating, "figures_at", lambda rating, parameters, given: given):
        spent_s -= chips_s()
    share = spent_s / len(points) * rate(model)
    print(f"prices: {1e6 * spent_s / len(chips):.0f} us per chip, {100 * share:.1f} % of an estimate's time")
    return share


def growth(model: str, powers: list[int]) -> int:
    """Spaces of 10^N points, judged completely by the command; time, and the memory of the largest process."""
    content = yaml.safe_load(find_arch("pimcomp_default").read_text())
    space = {
        "crossbars_per_core": [8, 16, 24, 32, 48],
        "crossbar_size": [64, 128, 256, 512, 1024],
        "adc_count": [4, 8, 16, 32, 64],
        "vector_width": [8, 16],
        "bus_width_bytes": [16, 64],
    }
    previous = 0.0
    for power in powers:
        points = 10**power
        if power == 6:
            space["crossbars_per_core"] = list(range(8, 58))
        content["sweep"] = {
            "model": model, "fidelity": "cost", "trials": 100, "timed": 1, "jobs": 2, "solvers": ["balance"],
            "pipelines": ["element"], "objectives": ["latency_ns", "crossbars"],
            "space": space | {"cores": list(CORES[power])}, "enumerate": points,
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "growth.yaml").write_text(yaml.safe_dump(content))
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "pimdse", "-q", "sweep", f"{folder}/growth.yaml", "--out", f"{folder}/out"],
                env=os.environ,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            stored = sum(f.stat().st_size for f in Path(folder, "out").rglob("*") if f.is_file())
        if status:
            return 1
        total = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s, previous = total.ru_utime + total.ru_stime - previous, total.ru_utime + total.ru_stime
        print(
            f"{points:,} points: {wall_s:.0f} s, {1000 * cpu_s / points:.2f} ms of processor time each; the largest "
            f"process held {usage.ru_maxrss / 1024:.0f} MB, the folder {stored / 1e6:.1f} MB",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
