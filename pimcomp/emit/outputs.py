"""All files of one compile, in one folder, complete or not at all."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.emit.choices import SAVES, check_choices
from pimcomp.emit.directory import write_directory
from pimcomp.emit.evaluation import evaluation_json
from pimcomp.emit.intermediate import intermediate_json
from pimcomp.emit.listing import write_listing
from pimcomp.emit.mapping_text import mapping_text
from pimcomp.emit.memory_npz import write_checkpoints, write_memory
from pimcomp.emit.pimsim import write_program
from pimcomp.emit.report import Report, make_report, plan_json, report_json
from pimcomp.emit.verification import write_verification
from pimcomp.emit.weights_npz import write_weights
from pimcomp.foundation.own_files import COMPILE, staged
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import Program
from pimcomp.isa.listing import emitted_start
from pimcomp.isa.table import SEND, UNIT

CORES_FOLDER = "cores"
LATENCY_MARGIN = 1.5  # simulated time over predicted latency: the simulator reports nothing that ends later
_ALWAYS = (
    "program.gz", "config.json", "config_throughput.json", "network.json", "memory.npz", "checkpoints.npz", "plan.json",
    "report.json",
)  # fmt: skip
_SAVED = {save: f"{save}.json" for save in SAVES} | {
    "mapping": "mapping.txt",
    "weights": "weights.npz",
    "listing": "listing.txt",
}


def emit(
    compiled: Compiled,
    out_dir: Path,
    *,
    form: str = "gz",
    save: Collection[str] = (),
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> Report:
    """Writes program.gz, the simulator's configurations, memory.npz, checkpoints.npz, plan.json and report.json.

    form: "directory" or "pim" adds the per-core folder `cores`. save: any of `SAVES`, one more file each. beside:
    further files and their content. What an earlier compile left in out_dir is replaced or removed, anything else there
    stays. report.json comes last: a folder with it is complete.

    Raises ConfigError for an unknown form or save, OutputError if the folder cannot be written or a file that is not
    of an earlier compile is in the way.
    """
    check_choices(form, save)
    report = make_report(compiled)
    with staged(out_dir, COMPILE, whole=True, last="report.json") as folder:
        _write_all(compiled, report, folder, form, save)
        for name, content in beside.items():
            (folder / name).write_bytes(content)
    return report


def file_names(form: str, save: Collection[str], cores: int) -> tuple[str, ...]:
    """The files that `emit` writes for a chip of so many cores."""
    suffix = {"directory": "json", "pim": "pim"}.get(form)
    per_core = ("config.json", *(f"core_{core}.{suffix}" for core in range(cores))) if suffix else ()
    return (*_ALWAYS, *(_SAVED[name] for name in save), *(f"{CORES_FOLDER}/{name}" for name in per_core))


def throughput_rounds(program: Program) -> int:
    """Rounds worth simulating: 1,000 where that is cheap, never below 10 (the count's resolution is one round)."""
    simulated_instructions = 5_000_000  # about a minute of the simulator
    return int(np.clip(simulated_instructions // max(int(emitted_start(program)[-1]), 1), 10, 1000))


def message_pairs(program: Program) -> IntArray:
    """int32[n, 2]: (sender, receiver) of every pair of cores that exchange messages."""
    rows = np.flatnonzero(UNIT[program.table.op] == SEND)
    sender = np.searchsorted(program.core_start, rows, side="right") - 1
    return np.unique(np.stack([sender, program.table.peer[rows]], axis=1), axis=0).astype(np.int32).reshape(-1, 2)


def _write_all(compiled: Compiled, report: Report, folder: Path, form: str, save: Collection[str]) -> None:
    arch, program, timing = compiled.arch, compiled.program, compiled.timing
    write_program(program, arch, folder / "program.gz", compiled.clip_code)
    latency_ms = LATENCY_MARGIN * timing.latency_ns / 1e6
    # half a period behind the end of a round: which rounds the simulator counts must not depend on the last nanosecond
    steady_ms = (timing.latency_ns + (throughput_rounds(program) + 0.5) * timing.period_ns_per_round) / 1e6
    (folder / "config.json").write_bytes(simulator_config(arch, sim_mode=1, sim_time_ms=latency_ms))
    (folder / "config_throughput.json").write_bytes(simulator_config(arch, sim_mode=0, sim_time_ms=steady_ms))
    (folder / "network.json").write_bytes(network_json(arch, message_pairs(program)))
    write_memory(program, folder / "memory.npz")
    channels = np.array([node.channels for node in compiled.graph.nodes], np.int32)
    write_checkpoints(program, channels, folder / "checkpoints.npz")
    (folder / "plan.json").write_bytes(plan_json(compiled))
    if form != "gz":
        write_directory(program, arch, folder / CORES_FOLDER, binary=form == "pim", clip_code=compiled.clip_code)
    for name in SAVES:
        if name in save:
            _SAVE[name](compiled, folder / _SAVED[name])
    (folder / "report.json").write_bytes(report_json(report))


_SAVE: dict[str, Callable[[Compiled, Path], object]] = {
    "evaluation": lambda c, file: file.write_bytes(evaluation_json(c)),
    "verification": lambda c, file: write_verification(c.program, file),
    "intermediate": lambda c, file: file.write_bytes(intermediate_json(c)),
    "mapping": lambda c, file: file.write_text(mapping_text(c.program), encoding="utf-8"),
    "weights": lambda c, file: write_weights(c.program, c.arch, file),
    "listing": lambda c, file: write_listing(c.program, file),
}
