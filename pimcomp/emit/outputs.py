"""All files of one compile, in one folder, complete or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from pimcomp.emit.arch_json import network_json, simulator_config
from pimcomp.emit.directory import write_directory
from pimcomp.emit.evaluation import evaluation_json
from pimcomp.emit.intermediate import intermediate_json
from pimcomp.emit.listing import write_listing
from pimcomp.emit.mapping_text import mapping_text
from pimcomp.emit.memory_npz import write_checkpoints, write_memory
from pimcomp.emit.pimsim import emitted_start, write_program
from pimcomp.emit.report import Report, make_report, plan_json, report_json
from pimcomp.emit.verification import write_verification
from pimcomp.emit.weights_npz import write_weights
from pimcomp.errors import OutputError, check_name
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import Op, Program

SAVES = ("evaluation", "verification", "intermediate", "mapping", "weights", "listing")
FORMS = ("gz", "directory", "pim")
CORES_FOLDER = "cores"
LATENCY_MARGIN = 1.5  # simulated time over predicted latency: the simulator reports nothing that ends later
_NAMES = (
    "program.gz", "config.json", "config_throughput.json", "network.json", "memory.npz", "checkpoints.npz", "plan.json",
    "listing.txt", "evaluation.json", "verification.json", "intermediate.json", "mapping.txt", "weights.npz",
    "integer.npz", CORES_FOLDER, "report.json",
)  # fmt: skip


def emit(compiled: Compiled, out_dir: Path, *, form: str = "gz", save: Collection[str] = ()) -> Report:
    """Writes program.gz, the simulator's configurations, memory.npz, checkpoints.npz, plan.json and report.json.

    form: "directory" or "pim" adds the per-core folder `cores`. save: any of `SAVES`, one more file each. Files of an
    earlier compile in out_dir are replaced or removed, anything else there stays. report.json comes last: a folder
    with it is complete.

    Raises ConfigError for an unknown form or save, OutputError if the folder cannot be written.
    """
    check_choices(form, save)
    report = make_report(compiled)
    staging: Path | None = None
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
        _write_all(compiled, report, staging, form, save)
        _publish(staging, out_dir)
    except OSError as error:
        raise OutputError(f"{out_dir}: cannot be written: {error.strerror or error}") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return report


def check_choices(form: str, save: Collection[str]) -> None:
    """Raise ConfigError for an unknown form or save: before hours of work, if asked early."""
    check_name("--format", form, FORMS)
    for name in save:
        check_name("--save", name, SAVES)


def throughput_rounds(program: Program) -> int:
    """Rounds worth simulating: 1,000 where that is cheap, never below 10 (the count's resolution is one round)."""
    simulated_instructions = 5_000_000  # about a minute of the simulator
    return int(np.clip(simulated_instructions // max(int(emitted_start(program)[-1]), 1), 10, 1000))


def message_pairs(program: Program) -> IntArray:
    """int32[n, 2]: (sender, receiver) of every pair of cores that exchange messages."""
    rows = np.flatnonzero(program.table.op == Op.SEND)
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
            _SAVE[name](compiled, folder)
    (folder / "report.json").write_bytes(report_json(report))


_SAVE: dict[str, Callable[[Compiled, Path], object]] = {
    "evaluation": lambda c, folder: (folder / "evaluation.json").write_bytes(evaluation_json(c)),
    "verification": lambda c, folder: write_verification(c.program, folder / "verification.json"),
    "intermediate": lambda c, folder: (folder / "intermediate.json").write_bytes(intermediate_json(c)),
    "mapping": lambda c, folder: (folder / "mapping.txt").write_text(mapping_text(c.program)),
    "weights": lambda c, folder: write_weights(c.program, c.arch, folder / "weights.npz"),
    "listing": lambda c, folder: write_listing(c.program, folder / "listing.txt"),
}


def _publish(staging: Path, out_dir: Path) -> None:
    """Moves the finished files into place: the whole folder if there is none yet, else file by file, report last."""
    staging.chmod(0o755)  # temporary folders are private
    if not out_dir.exists():
        staging.rename(out_dir)
        return
    if not out_dir.is_dir():
        raise NotADirectoryError(f"{out_dir} is a file")
    (out_dir / "report.json").unlink(missing_ok=True)
    for name in _NAMES:
        target = out_dir / name
        if target.is_dir():
            shutil.rmtree(target)
        elif not (staging / name).exists():
            target.unlink(missing_ok=True)
        if (staging / name).exists():
            (staging / name).replace(target)
