"""How much of the true front a sweep finds: hypervolume against the exhaustive search of an enumerable space.

    python benchmarks/sweep_quality.py                     # digits_lenet5 at cost fidelity, 5 seeds, TPE beside random

Every point of the space is judged once; the sweeps then look the figures up, so that a run costs the sampler alone.
Exit status 1 when the median of the sampler is below the acceptance figure of issue 6.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pimcomp.config import find_arch, load_arch
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.pareto import FloatMatrix
from spaces.candidate import Candidate, Evaluator, objective_costs
from spaces.evaluate import compile_evaluator
from spaces.hypervolume import hypervolume
from spaces.search.run import run_sweep
from spaces.space import Choice, Fidelity, Network, Point, Sweep

# Issue 6: at least this share of the exhaustive front's hypervolume, with at most this share of the points.
LEAST_VOLUME, MOST_POINTS = 0.95, 0.20


def space(model: str) -> Sweep:
    """720 points around PIMCOMP-NN's default chip; both fidelities of the sweep are the cost's."""
    return Sweep(
        name="quality",
        file="quality",
        arch=load_arch(find_arch("pimcomp_default")),
        networks=(Network(model=model, weights=None),),
        parameters=(
            Choice(name="cores", values=(4, 9, 16, 25, 36, 64)),
            Choice(name="crossbars_per_core", values=(4, 8, 16, 32, 64)),
            Choice(name="crossbar_size", values=(64, 128, 256)),
            Choice(name="cell_bits", values=(2, 4)),
            Choice(name="adc_count", values=(8, 32)),
        ),
        solvers=("balance", "stream"),
        pipelines=(Pipeline.ELEMENT,),
        objectives=("latency_ns", "crossbars"),
    )


def main() -> int:
    """Measure and print both figures; 1 if the sampler's median is below the limit."""
    options = _options()
    sweep = space(options.model)
    started = time.process_time()
    judge = compile_evaluator(sweep)
    found = {point: judge.evaluate(point, Fidelity.COST) for point in sweep.points()}
    everything = _costs(list(found.values()), sweep)
    logs = np.log(everything)
    reference = logs.max(axis=0) + 0.1 * np.ptp(logs, axis=0)
    whole, budget = hypervolume(logs, reference), int(MOST_POINTS * len(found))
    print(
        f"{sweep.model}: {len(found)} points ({len(everything)} feasible), {time.process_time() - started:.0f} s of CPU"
    )
    medians = {}
    for sampler in (options.sampler, "random"):
        shares = []
        for seed in range(options.seeds):
            chosen = replace(sweep, sampler=sampler, seed=seed, trials=budget)
            shares.append(_share(chosen, found.__getitem__, reference) / whole)
        medians[sampler] = statistics.median(shares)
        runs = ", ".join(f"{100 * s:.1f}" for s in shares)
        print(f"{sampler}: {100 * medians[sampler]:.1f} % of the hypervolume with {budget} points (median of {runs})")
    return int(medians[options.sampler] < LEAST_VOLUME)


def _share(sweep: Sweep, judged: Callable[[Point], Candidate], reference: FloatMatrix) -> float:
    def make(asked: Sweep) -> Evaluator:
        return Evaluator(evaluate=lambda point, fidelity: replace(judged(point), fidelity=fidelity))

    with tempfile.TemporaryDirectory() as folder:
        progress = run_sweep(sweep, Path(folder), content={}, make_evaluator=make)
    own = [t.candidate for t in progress.trials if t.duplicate_of is None]
    assert len(own) <= sweep.trials
    return hypervolume(np.log(_costs(own, sweep)), reference)


def _costs(candidates: list[Candidate], sweep: Sweep) -> FloatMatrix:
    return np.array([objective_costs(c, sweep.objectives) for c in candidates if c.feasible], dtype=np.float64)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits_lenet5")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
