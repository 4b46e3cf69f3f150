"""How compile time and memory grow with the network and with the chip. Prints the tables of docs/performance.md.

    python benchmarks/scaling.py                  # about ten minutes on one core
    python benchmarks/scaling.py --series chips   # only the chip's size

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
    options = parser.parse_args()
    pipelines = ("element", "batch") if options.pipeline == "both" else (options.pipeline,)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.series != "chips":
            table([(name, 288) for name in NETWORKS], pipelines, folder)
        if options.series != "networks":
            table([(CHIP_NETWORK, cores) for cores in CORES], pipelines, folder)


def table(rows: list[tuple[str, int]], pipelines: tuple[str, ...], folder: Path) -> None:
    """Print a table of (network, cores) and the slope of each pipeline."""
    print("| network | cores | pipeline | instructions | CPU s | peak MB | CPU us per instruction | stages |")
    print("|---|---|---|---|---|---|---|---|")
    points: dict[str, list[tuple[float, float]]] = {}
    for name, cores in rows:
        for pipeline in pipelines:
            run = compiled(name, chip(folder, cores), pipeline)
            count = run.instructions
            stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.stages_s.items() if seconds >= 0.1)
            per_us = 1e6 * run.cpu_s / count
            cells = (name, cores, pipeline, f"{count:,}", f"{run.cpu_s:.1f}", f"{run.peak_bytes / 1e6:,.0f}")
            print("| " + " | ".join(map(str, cells)) + f" | {per_us:.1f} | {stages} |", flush=True)
            points.setdefault(pipeline, []).append((count, run.cpu_s))
    for pipeline, found in points.items():
        print(f"\n{pipeline}: CPU time grows with the {slope(found):.2f} power of the instructions")


if __name__ == "__main__":
    main()
