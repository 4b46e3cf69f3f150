"""How compile time and memory grow with the network and with the chip. Prints the tables of docs/performance.md.

    python benchmarks/scaling.py                  # about ten minutes on one core
    python benchmarks/scaling.py --series chips   # only the chip's size
    python benchmarks/scaling.py --png docs/scaling.png   # and the growth curves

Every row is one `pimdse compile` in a fresh process, numba's kernels compiled before; its processor time (all of it,
files included) and its largest resident set. Growth is the slope of a straight line through log(CPU s) against
log(instructions): 1 is linear.
"""

import argparse
import dataclasses
import math
import sys
import tempfile
from pathlib import Path

from compile_speed import Run, measure

NETWORKS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "vgg19")
CORES = (144, 256, 576, 1024, 2304, 4096)
CHIP_NETWORK = "resnet50"


def chip(folder: Path, cores: int) -> Path:
    """pimcomp_default with another number of cores, as a file."""
    from pimcomp.config import arch_to_yaml, load_arch

    arch = dataclasses.replace(load_arch("pimcomp_default"), cores=cores, mesh_rows=math.isqrt(cores))
    path = folder / f"cores{cores}.yaml"
    path.write_text(arch_to_yaml(arch), encoding="utf-8")
    return path


def compiled(model: str, arch: Path, pipeline: str) -> Run:
    """What one row took."""
    command = [sys.executable, "-m", "pimdse", "compile", model, "--weights", "random:0", "--arch", str(arch)]
    return measure([*command, "--solver", "stream", "--pipeline", pipeline, "--json"])


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares through the logarithms."""
    xs, ys = ([math.log(p[i]) for p in points] for i in (0, 1))
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How compile time and memory grow.")
    parser.add_argument("--series", choices=("networks", "chips", "all"), default="all")
    parser.add_argument("--pipeline", choices=("element", "batch", "both"), default="both")
    parser.add_argument("--png", type=Path, help="file to draw the growth curves into")
    options = parser.parse_args()
    pipelines = ("element", "batch") if options.pipeline == "both" else (options.pipeline,)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        networks, chips = [], []
        if options.series != "chips":
            networks = table([(name, 288) for name in NETWORKS], pipelines, folder)
        if options.series != "networks":
            chips = table([(CHIP_NETWORK, cores) for cores in CORES], pipelines, folder)
    if options.png is not None:
        draw(networks, chips, options.png)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One compile: of which network, for how many cores, in which pipeline, and what it took."""

    network: str
    cores: int
    pipeline: str
    run: Run


def table(wanted: list[tuple[str, int]], pipelines: tuple[str, ...], folder: Path) -> list[Row]:
    """Measure (network, cores); print a table and the slope of each pipeline."""
    print("| network | cores | pipeline | instructions | CPU s | peak MB | CPU us per instruction | stages |")
    print("|---|---|---|---|---|---|---|---|")
    rows: list[Row] = []
    for name, cores in wanted:
        for pipeline in pipelines:
            run = compiled(name, chip(folder, cores), pipeline)
            count = run.instructions
            stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.stages_s.items() if seconds >= 0.1)
            per_us = 1e6 * run.cpu_s / count
            cells = (name, cores, pipeline, f"{count:,}", f"{run.cpu_s:.1f}", f"{run.peak_bytes / 1e6:,.0f}")
            print("| " + " | ".join(map(str, cells)) + f" | {per_us:.1f} | {stages} |", flush=True)
            rows.append(Row(name, cores, pipeline, run))
    for pipeline in pipelines:
        points = [(float(row.run.instructions), row.run.cpu_s) for row in rows if row.pipeline == pipeline]
        print(f"\n{pipeline}: CPU time grows with the {slope(points):.2f} power of the instructions")
    return rows


def draw(networks: list[Row], chips: list[Row], path: Path) -> None:
    """The growth curves: processor time against instructions, time and memory against cores."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for pipeline, marker in (("element", "o"), ("batch", "s")):
        rows = sorted((row for row in networks if row.pipeline == pipeline), key=lambda row: row.run.instructions)
        points = [(row.run.instructions / 1e6, row.run.cpu_s) for row in rows]
        left.plot([x for x, _ in points], [y for _, y in points], marker, label=f"{pipeline} pipeline")
        for row, point in zip(rows, points, strict=True):
            left.annotate(row.network, point, xytext=(4, 3), textcoords="offset points", fontsize=7)
        rows = [row for row in chips if row.pipeline == pipeline]
        right.plot(
            [row.cores for row in rows], [row.run.cpu_s for row in rows], marker + "-", label=f"{pipeline}, CPU s"
        )
        peaks = [row.run.peak_bytes / 1e8 for row in rows]
        right.plot([row.cores for row in rows], peaks, marker + ":", label=f"{pipeline}, peak, 100 MB")
    if networks:
        middle = networks[len(networks) // 2].run
        ends = (min(r.run.instructions for r in networks) / 1e6, max(r.run.instructions for r in networks) / 1e6)
        per = middle.cpu_s / (middle.instructions / 1e6)
        left.plot(ends, [per * end for end in ends], "--", color="grey", linewidth=1, label="linear")
    left.set(
        xscale="log", yscale="log", xlabel="million instructions", ylabel="CPU s", title="With the network, 288 cores"
    )
    right.set(xscale="log", yscale="log", xlabel="cores", title=f"With the chip, {CHIP_NETWORK}")
    right.set_xticks([row.cores for row in chips], [f"{row.cores:,}" for row in chips])
    for axes in (left, right):
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
