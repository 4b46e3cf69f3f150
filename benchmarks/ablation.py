"""What each choice of solver and scheduler is worth: latency with one of them changed at a time.

    python -m benchmarks.ablation [--networks NAME_OR_FILE ...] [--arch pimcomp_default] [--out docs/results.md]

The solver is `lns` throughout, with few programs to order where nothing else is said: what a choice is worth, not what
a longer search would make of it. Figures are the timeline's.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sections import table, write_section
from pimcomp.compile import compile_network
from pimcomp.config import read_arch
from pimcomp.errors import CapacityError
from pimcomp.frontend import load_network
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.schedule import ScheduleOptions
from solvers import OptionValue, get_solver

NETWORKS = ("squeezenet1_1", "resnet18", "googlenet", "mobilenet_v2")
PROGRAMS = 8  # that the search orders
SECTION = "ablation"


@dataclass(frozen=True, slots=True)
class Change:
    """One departure from the defaults: its name, options of the solver and of the scheduler, and what is no option."""

    name: str
    solver: tuple[tuple[str, OptionValue], ...] = ()
    schedule: tuple[tuple[str, int | bool], ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()


CHANGES = (
    Change("default"),
    Change("no scattering convolutions (scatter off)", solver=(("scatter", False),)),
    Change("no window blocks (widest_block 1)", solver=(("widest_block", 1),)),
    Change("every layer by itself (merge_siblings off)", schedule=(("merge_siblings", False),)),
    Change("every row by itself (stack_rows off)", schedule=(("stack_rows", False),)),
    Change("depthwise layers on crossbars (vector_depthwise off)", schedule=(("vector_depthwise", False),)),
    Change(
        "none of these",
        solver=(("scatter", False), ("widest_block", 1)),
        schedule=(("merge_siblings", False), ("stack_rows", False), ("vector_depthwise", False)),
    ),
    Change("no search (stream's first plan)", solver=(("most", 1),)),
    Change("a longer search (60 programs)", solver=(("most", 60), ("budget", 12.0))),
    Change("one order only (orders 1)", schedule=(("orders", 1),)),
    Change("pooling where its input is (window_columns 1000)", schedule=(("window_columns", 1000),)),
    Change("whole segments as tasks (TASK_BLOCKS 100)", fixed=(("TASK_BLOCKS", 100),)),
    Change("longer segments (SEGMENT_BLOCKS 4)", fixed=(("SEGMENT_BLOCKS", 4),)),
    Change("transfers never make a core wait (SLACK_NS 0)", fixed=(("SLACK_NS", 0.0),)),
    Change("half the loader cores (LOADERS 6)", fixed=(("LOADERS", 6),)),
)


def latency_ns(network: LoadedNetwork, arch: Arch, change: Change, pipeline: str, images: int) -> float | None:
    """Latency, or period per image in the batch pipeline; None if the program does not fit."""
    kind = type("Changed", (ScheduleOptions,), dict(change.fixed))
    options = kind(images_per_round=images, **dict(change.schedule))
    solver = get_solver("lns", {"most": PROGRAMS, **dict(change.solver)})
    try:
        done = compile_network(network.graph, arch, solver, pipeline=Pipeline(pipeline), options=options)
    except CapacityError:
        return None
    batch = pipeline == "batch"
    return done.period_ns if batch else done.timing.latency_ns


def lines(figures: dict[str, list[float | None]]) -> list[list[str]]:
    """Per change: its name, then per network the time in us and the factor over the default (the first change)."""
    default = next(iter(figures.values()))
    return [
        [name, *(cell for ns, base in zip(row, default, strict=True) for cell in _cells(ns, base))]
        for name, row in figures.items()
    ]


def _cells(ns: float | None, base: float | None) -> tuple[str, str]:
    if ns is None:
        return "does not fit", ""
    return f"{ns / 1e3:,.0f}", "" if base is None else f"{ns / base:.2f}"


def section(figures: dict[str, list[float | None]], networks: list[str], arch: str, pipeline: str) -> str:
    """The section of the page."""
    what = "latency" if pipeline == "element" else "period per image"
    header = ["changed", *(cell for name in networks for cell in (f"{name} us", "over default"))]
    return (
        f"## Ablation\n\nTimeline {what} on `{arch}`, {pipeline} pipeline, one choice changed at a time "
        "(`benchmarks/ablation.py`).\n\n"
        + table(header, lines(figures))
        + "\n\n```\npython -m benchmarks.ablation\n```"
    )


def main() -> None:
    """Measure, print and, with --out, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="shipped names or files")
    parser.add_argument("--arch", default="pimcomp_default")
    parser.add_argument("--pipeline", choices=[str(p) for p in Pipeline], default="element")
    parser.add_argument("--images", type=int, default=4, help="images per round of batch programs")
    parser.add_argument("--out", type=Path, help="page whose section on ablation is replaced")
    options = parser.parse_args()
    arch, _ = read_arch(options.arch)
    networks = [load_network(name, weights="random:0") for name in options.networks]
    figures: dict[str, list[float | None]] = {}
    for change in CHANGES:
        figures[change.name] = [latency_ns(n, arch, change, options.pipeline, options.images) for n in networks]
        print(" | ".join(lines(figures)[-1]), flush=True)
    if options.out is not None:
        names = [Path(name).stem for name in options.networks]
        body = section(figures, names, options.arch, options.pipeline)
        write_section(options.out, SECTION, body, "Results")


if __name__ == "__main__":
    main()
