"""The estimate (pimcomp/estimate) against the timeline over random plans: fits its scale, writes its page.

    python -m benchmarks.cost_model --plans 200 --keep FILE        # compile what FILE lacks, measure, write the page
    python -m benchmarks.cost_model --plans 200 --keep FILE --fit   # and print the scale that fits FILE best

Compiling is the expensive part: seconds per plan. FILE (one JSON object per line) grows and is read again the next
time. Its lines name the compiler that made them; after a change of the scheduler start a new one.
"""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.sections import table, write_section
from benchmarks.timed_plans import Instance, TimedPlan, grow, load_instance, read_lines
from benchmarks.warm import warm_cpu_s
from pimcomp.estimate import Estimate, Estimator
from pimcomp.estimate.calibration import SCALE
from pimcomp.estimate.estimator import population_of
from pimcomp.estimate.population import Population
from pimcomp.ir.graph import Conv
from pimcomp.ir.plan import Pipeline
from pimcomp.plan.bounds import bounds

NETWORKS = ("resnet18", "googlenet", "mobilenet_v2")
SECTION = "accuracy of the estimate"
HEADER = (
    "network", "pipeline", "plans", "spread", "Spearman", "of the better half", "median error", "90 % error", "bias",
    "energy error", "memory / program", "without this network", "evaluations/s", "largest bound / timeline",
)  # fmt: skip
WARM_RUNS = 5
ROOMY = 0.7  # share of local memory below which no program was held back


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Case:
    """Timed plans of one network in one pipeline, ready to be estimated."""

    instance: Instance
    pipeline: Pipeline
    lines: tuple[TimedPlan, ...]
    estimator: Estimator
    population: Population

    @property
    def figure_ns(self) -> npt.NDArray[np.float64]:
        """The timeline's: latency, or time per image."""
        return np.array([line.figure_ns for line in self.lines])

    def estimate(self, scale: float | None = None) -> Estimate:
        """Of all plans."""
        return self.estimator.estimate(self.population, self.pipeline, scale=scale)

    def ratios(self, scale: float | None = None) -> npt.NDArray[np.float64]:
        """Estimate over timeline."""
        return self.estimate(scale).objective_ns(self.pipeline) / self.figure_ns


def make_case(instance: Instance, pipeline: Pipeline, lines: Sequence[TimedPlan]) -> Case:
    """The compiled lines of a network in a pipeline."""
    own = tuple(
        line
        for line in lines
        if line.images and (line.network, line.arch, line.pipeline) == (instance.network, instance.arch_name, pipeline)
    )
    return Case(
        instance=instance,
        pipeline=pipeline,
        lines=own,
        estimator=Estimator.of(instance.graph, instance.arch, instance.partition),
        population=population_of([line.plan for line in own]),
    )


def spearman(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Rank correlation (ties are of no importance here)."""
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def fit(cases: Sequence[Case]) -> float:
    """The factor that makes the median of estimate / timeline 1 over all cases; every case counts the same."""
    return float(np.exp(-np.mean([np.median(np.log(case.ratios(1.0))) for case in cases])))


def row(case: Case, others: Sequence[Case]) -> list[str]:
    """One line of the table; others: the cases of the same pipeline on other networks, to fit without this one."""
    figure, estimate = case.figure_ns, case.estimate()
    estimated = estimate.objective_ns(case.pipeline)
    error = np.abs(estimated / figure - 1)
    better = figure <= np.median(figure)
    energy = np.abs(estimate.energy_pj / np.array([line.energy_pj for line in case.lines]) - 1)
    peak = np.array([line.local_peak_bytes for line in case.lines])
    roomy = peak < ROOMY * case.instance.arch.local_memory_bytes
    memory = np.quantile((estimate.local_memory_bytes / peak)[roomy], [0.1, 0.5, 0.9]) if roomy.any() else [np.nan] * 3
    proven = bounds(case.instance.graph, case.instance.arch, case.instance.partition)
    tightest = max(
        float(np.max(proven.latency_ns / np.array([line.latency_ns for line in case.lines]))),
        float(np.max(proven.period_ns / np.array([line.period_ns for line in case.lines]))),
    )
    held_out = np.median(np.abs(case.ratios(fit(others)) - 1)) if others else np.nan
    return [
        case.instance.network,
        case.pipeline.value,
        str(len(case.lines)),
        f"{figure.max() / figure.min():.0f} x",
        f"{spearman(estimated, figure):.3f}",
        f"{spearman(estimated[better], figure[better]):.3f}",
        f"{np.median(error):.1%}",
        f"{np.quantile(error, 0.9):.1%}",
        f"{np.median(estimated / figure) - 1:+.1%}",
        f"{np.median(energy):.1%}",
        f"{memory[1]:.2f} ({memory[0]:.2f} to {memory[2]:.2f})",
        f"{held_out:.1%}",
        f"{evaluations_per_s(case):,.0f}",
        f"{tightest:.3f}",
    ]


def evaluations_per_s(case: Case) -> float:
    """Layers with weights, on crossbars or on the vector unit, estimated per second of processor time, warm."""
    layers = sum(isinstance(node.operation, Conv) for node in case.instance.graph.nodes)
    return layers * len(case.lines) / min(warm_cpu_s(case.estimate, WARM_RUNS))


def section(rows: Sequence[Sequence[str]], cases: Sequence[Case], arch: str) -> str:
    """The section of the page."""
    sources = sorted({line.source for case in cases for line in case.lines})
    return (
        "## Measured\n\n"
        f"Chip `{arch}`, default options but one order per program, random plans "
        f"(`benchmarks/plan_samples.py`) compiled at {', '.join(sources)}; written by `benchmarks/cost_model.py`. "
        "Figure: latency of one image (element), time per image (batch). "
        "*Spread*: slowest over fastest plan. *Memory*: bytes of the busiest core, median and the middle 80 %, of "
        "plans that local memory does not hold back. *Without this network*: median error with a scale fitted on the "
        "other networks only. *Evaluations*: layers with weights per second of processor time on one core, warm. "
        "*Largest bound / timeline*: of the proven bounds (`plan/bounds.py`) over all these plans; "
        "below 1, or it is no bound.\n\n" + table(HEADER, rows)
    )


def compiler_version() -> str:
    """The commit of the working tree."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown commit"


def main() -> None:
    """Compile, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plans", type=int, default=200, help="compiled plans per network and pipeline")
    parser.add_argument("--keep", type=Path, required=True, help="file of timed plans, read and continued")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--pipelines", nargs="+", default=tuple(Pipeline), type=Pipeline, choices=tuple(Pipeline))
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--source", default="", help="what to call the compiler in new lines (default: git's commit)")
    parser.add_argument("--fit", action="store_true", help="print the scales for pimcomp/estimate/calibration.py")
    parser.add_argument("--out", type=Path, default=Path("docs/cost-model.md"))
    options = parser.parse_args()
    instances = [load_instance(network, options.arch) for network in options.networks]
    for instance in instances:
        for line in grow(
            options.keep, instance, tuple(options.pipelines), options.plans, options.source or compiler_version()
        ):
            print(f"{line.network} {line.pipeline} {line.sample}: {line.figure_ns / 1e6:.3f} ms", flush=True)
    lines = read_lines(options.keep)
    cases = [make_case(instance, pipeline, lines) for instance in instances for pipeline in options.pipelines]
    if options.fit:
        for pipeline in options.pipelines:
            print(pipeline, fit([case for case in cases if case.pipeline is pipeline]), "now:", SCALE[pipeline])
    rows = []
    for case in cases:
        others = [c for c in cases if c.pipeline is case.pipeline and c.instance is not case.instance]
        rows.append(row(case, others))
        print(" | ".join(rows[-1]), flush=True)
    write_section(options.out, SECTION, section(rows, cases, options.arch), "Cost model")


if __name__ == "__main__":
    main()
