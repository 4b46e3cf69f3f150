"""How much of the true front a search finds: hypervolume against the complete enumeration of a space.

    python benchmarks/sweep_quality.py                     # 103,680 chips by their estimates; 0.1 and 1 % of them tried
    python benchmarks/sweep_quality.py --model squeezenet1_1 --shares 0.1 1 10 --samplers random nsga2
    python benchmarks/sweep_quality.py --programs          # 720 chips by their programs; 1 % of these ordered

Every point is judged once; searches then look the figures up, so that a run costs the sampler alone. With --programs
the exact front is that of the timelines of all programs, and what is measured is a sweep as users run it: all
estimates, and 1 % of the timelines. Exit status 1 when it finds less than 99 % of the hypervolume.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pimcomp.config import find_arch, load_arch
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.pareto import FloatMatrix
from spaces.candidate import Candidate, Evaluator, MakeEvaluator, objective_costs
from spaces.evaluate import compile_evaluator
from spaces.hypervolume import hypervolume
from spaces.search.run import run_sweep
from spaces.space import Choice, Fidelity, Network, Parameter, Point, Sweep

LEAST_VOLUME, SHARE = 0.99, 1.0
SMALL: tuple[Parameter, ...] = (
    Choice(name="cores", values=(4, 9, 16, 25, 36, 64)),
    Choice(name="crossbars_per_core", values=(4, 8, 16, 32, 64)),
    Choice(name="crossbar_size", values=(64, 128, 256)),
    Choice(name="cell_bits", values=(2, 4)),
    Choice(name="adc_count", values=(8, 32)),
)
LARGE: tuple[Parameter, ...] = (
    Choice(name="cores", values=tuple(range(16, 160, 12))),
    Choice(name="crossbars_per_core", values=(16, 32, 48, 64, 96, 128)),
    Choice(name="crossbar_size", values=(64, 128, 256)),
    Choice(name="cell_bits", values=(1, 2, 4)),
    Choice(name="adc_count", values=(2, 4, 8, 16, 32)),
    Choice(name="bus_width_bytes", values=(16, 32, 64, 128)),
    Choice(name="vector_width", values=(16, 32, 64, 128)),
)

Found = dict[Point, Candidate]


def space(model: str, parameters: tuple[Parameter, ...]) -> Sweep:
    """A space around PIMCOMP-NN's default chip."""
    return Sweep(
        name="quality",
        file="quality",
        arch=load_arch(find_arch("pimcomp_default")),
        networks=(Network(model=model, weights="random:0"),),
        parameters=parameters,
        solvers=("balance", "stream"),
        pipelines=(Pipeline.ELEMENT,),
        objectives=("latency_ns", "crossbars"),
        enumerate=0,
    )


def main() -> int:
    """Measure and print; 1 if what users run finds too little."""
    options = _options()
    sweep = space(options.model, SMALL if options.programs else LARGE)
    fidelity = Fidelity.TIMELINE if options.programs else Fidelity.COST
    started, judge = time.process_time(), compile_evaluator(sweep)
    found = {point: judge.evaluate(point, fidelity) for point in sweep.points()}
    everything = _costs(list(found.values()), sweep)
    logs = np.log(everything)
    reference = logs.max(axis=0) + 0.1 * np.ptp(logs, axis=0)
    whole = hypervolume(logs, reference)
    print(
        f"{sweep.model}: {len(found)} points, {len(everything)} feasible, {time.process_time() - started:.0f} s of CPU"
    )

    def share_of(candidates: list[Candidate]) -> float:
        return hypervolume(np.log(_costs(candidates, sweep)), reference) / whole

    if options.programs:
        least = share_of(_timed(sweep, found, judge, int(len(found) * SHARE / 100)))
        print(f"complete enumeration and {SHARE:g} % of the timelines: {100 * least:.2f} % of the hypervolume")
        return int(least < LEAST_VOLUME)
    for share in options.shares:
        for sampler in options.samplers:
            chosen = replace(sweep, sampler=sampler, trials=int(len(found) * share / 100))
            shares = [share_of(_searched(replace(chosen, seed=seed), found)) for seed in range(options.seeds)]
            runs = ", ".join(f"{100 * s:.1f}" for s in shares)
            print(
                f"{sampler}, {share:g} % of the points ({chosen.trials}): {100 * statistics.median(shares):.1f} % of "
                f"the hypervolume (median of {runs})",
                flush=True,
            )
    return 0


def _searched(sweep: Sweep, found: Found) -> list[Candidate]:
    """What a sampler tries; both fidelities are the one that was judged."""
    return _run(sweep, lambda asked: Evaluator(evaluate=lambda p, fidelity: replace(found[p], fidelity=fidelity)))


def _timed(sweep: Sweep, found: Found, judge: Evaluator, timed: int) -> list[Candidate]:
    """What a complete sweep orders and times."""

    def make(asked: Sweep) -> Evaluator:
        def evaluate(point: Point, fidelity: Fidelity) -> Candidate:
            return found[point] if fidelity is Fidelity.TIMELINE else judge.evaluate(point, fidelity)

        return replace(judge, evaluate=evaluate)

    complete = replace(sweep, fidelity=Fidelity.COST, enumerate=200_000, trials=300, timed=timed)
    return _run(complete, make)


def _run(sweep: Sweep, make: MakeEvaluator) -> list[Candidate]:
    with tempfile.TemporaryDirectory() as folder:
        progress = run_sweep(sweep, Path(folder) / "out", content={}, make_evaluator=make)
    if sweep.fidelity is Fidelity.COST:
        return list(progress.timed)
    return [t.candidate for t in progress.trials if t.duplicate_of is None]


def _costs(candidates: list[Candidate], sweep: Sweep) -> FloatMatrix:
    return np.array([objective_costs(c, sweep.objectives) for c in candidates if c.feasible], dtype=np.float64)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits_lenet5")
    parser.add_argument("--programs", action="store_true")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 1.0], help="percent of the points")
    parser.add_argument("--samplers", nargs="+", default=["tpe", "nsga2", "random"])
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
