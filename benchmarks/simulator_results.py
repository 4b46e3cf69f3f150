"""Small compiled programs with what both simulators say of them, for tests that run without a simulator.

    python -m benchmarks.simulator_results --upstream CHIPTEST --heaplab CHIPTEST --out tests/data/simulated

Writes one NAME.json.xz per program: its file, its network file, and per rob_size the configuration and both simulators'
figures in latency and in throughput mode. The front end has dynamic power, so that energy depends on register contents.
"""

import argparse
import gzip
import json
import lzma
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.emit.pimsim import write_program
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Program
from pimcomp.timeline import time_program
from pimdse.compiling.building import build, make_recipe
from pimdse.folder.pimsim import run_simulator

# (network, pipeline, solver, chip)
PROGRAMS = (
    ("digits_lenet5", "element", "auto", "pimsim_example"),
    ("digits_lenet5", "batch", "auto", "pimsim_example"),
    ("digits_resnet8", "element", "balance", "pimsim_example"),
    ("digits_resnet8", "batch", "auto", "pimsim_example"),
    ("digits_resnet8", "element", "auto", "isaac"),
)
ROB_SIZES = (1, 4, 16)
ROUNDS = 20
FRONT_END_MW = {
    "fetch_dynamic_mw": 1.0,
    "decode_dynamic_mw": 2.0,
    "decode_offset_dynamic_mw": 0.5,
    "reg_file_read_mw": 0.75,
    "reg_file_write_mw": 0.25,
    "scalar_dynamic_mw": 1.5,
}


def results_of(program: Program, arch: Arch, simulators: dict[str, Path], folder: Path) -> list[dict[str, Any]]:
    """Both simulators on one program, per rob_size."""
    write_program(program, arch, folder / "program.gz")
    (folder / "network.json").write_bytes(network_json(arch))
    present = frozenset(np.flatnonzero(np.diff(program.core_start)).tolist())
    runs = []
    for rob_size in ROB_SIZES:
        chip = replace(arch, rob_size=rob_size)
        timing = time_program(program, chip)
        run: dict[str, Any] = {"rob_size": rob_size, "latency": {}, "throughput": {}}
        # In the middle of a round: a count must not hang on a nanosecond.
        simulated_ns = round(timing.latency_ns + (ROUNDS - 0.5) * timing.period_ns_per_round)
        for mode, name, time_ms in ((1, "latency", timing.latency_ns * 1.5e-6), (0, "throughput", simulated_ns * 1e-6)):
            config = simulator_config(chip, sim_mode=mode, sim_time_ms=time_ms)
            run[f"{name}_config"] = json.loads(config)
            (folder / "config.json").write_bytes(config)
            for simulator, executable in simulators.items():
                report = run_simulator(
                    executable, folder / "program.gz", folder / "config.json",
                    cores=present if mode else None, timeout_s=600,
                )  # fmt: skip
                run[name][simulator] = asdict(report)
        runs.append(run)
    return runs


def main() -> None:
    """Compile, run and store every program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upstream", type=Path, required=True, help="ChipTest of pimsim-nn")
    parser.add_argument("--heaplab", type=Path, required=True, help="ChipTest of the HEAPLab fork")
    parser.add_argument("--out", type=Path, default=Path("tests/data/simulated"))
    options = parser.parse_args()
    simulators = {"upstream": options.upstream, "heaplab": options.heaplab}
    options.out.mkdir(parents=True, exist_ok=True)
    for model, pipeline, solver, chip in PROGRAMS:
        recipe = make_recipe(
            model=model, weights="random:0", arch=chip, solver=solver, pipeline=pipeline, time_limit_s=None, seed=0,
            options=(),
        )  # fmt: skip
        arch = replace(recipe.arch, **FRONT_END_MW)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            runs = results_of(build(recipe).compiled.program, arch, simulators, folder)
            entry = {
                "network": json.loads((folder / "network.json").read_bytes()),
                "program": json.loads(gzip.decompress((folder / "program.gz").read_bytes())),
                "runs": runs,
            }
        path = options.out / f"{recipe.label}.json.xz"
        path.write_bytes(
            lzma.compress(json.dumps(entry, separators=(",", ":")).encode(), preset=9 | lzma.PRESET_EXTREME)
        )
        print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
