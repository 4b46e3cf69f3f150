"""pimdse as a library: compile a network for a chip, read its figures, simulate and verify it.

    import pimcomp
    program = pimcomp.compile_model("digits_lenet5", "isaac")
    print(program.latency_ns, program.energy_pj)
    assert program.verify().passed
    program.write("results/lenet5")

The names that `import pimcomp` offers are stable: they change with a major version only. Everything a user can get
wrong raises a subclass of `pimcomp.PimdseError`.
"""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from pimcomp.compile import compile_network
from pimcomp.config import load_arch, read_arch
from pimcomp.emit.outputs import emit
from pimcomp.emit.report import Report
from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline, Solver
from pimcomp.ir.report import Timing
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline import time_program
from pimcomp.verify_program import VerifyReport, verify_program

__all__ = ["CompiledModel", "compile_model", "load_arch", "load_network", "verify_folder"]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """A network compiled for a chip. `compiled` has everything: graph, chip, plan, program, timing, energy."""

    network: LoadedNetwork
    compiled: Compiled

    @property
    def latency_ns(self) -> float:
        """Time from an image's first input byte to its last output byte."""
        return self.compiled.latency_ns

    @property
    def period_ns(self) -> float:
        """Time per image in steady state."""
        return self.compiled.period_ns

    @property
    def energy_pj(self) -> float:
        """Energy per image, static power over the latency included."""
        return self.compiled.energy_pj

    def simulate(self, *, rob_size: int | None = None) -> Timing:
        """Time the same program again, event by event, as pimsim-nn would.

        rob_size: with another number of instructions in flight. The program stays as it is: other parameters of the
        chip ask for another compile.
        """
        arch = self.compiled.arch
        return time_program(self.compiled.program, arch if rob_size is None else replace(arch, rob_size=rob_size))

    def verify(self, *, images: int = 4, seed: int = 0) -> VerifyReport:
        """Write the program's files, execute them, and compare every output with ONNX Runtime's."""
        with tempfile.TemporaryDirectory() as folder:
            emit(self.compiled, Path(folder) / "program")
            return verify_program(Path(folder) / "program", self.network, images=images, seed=seed)

    def write(self, folder: str | Path, *, form: str = "gz", save: Collection[str] = ()) -> Report:
        """Write the folder that `pimdse compile` writes (docs/file-formats.md); it is complete or not there.

        form: "gz", "directory" or "pim". save: further outputs, as `pimdse compile --save`. Raises ConfigError,
        OutputError.
        """
        return emit(self.compiled, Path(folder), form=form, save=save)


def compile_model(
    model: str | Path,
    arch: str | Path | Arch = "pimcomp_default",
    *,
    pipeline: str | Pipeline = "element",
    solver: str | Solver = "auto",
    weights: str | None = None,
    seed: int = 0,
    time_limit_s: float = 10.0,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
) -> CompiledModel:
    """Compile a network for a chip.

    model: an ONNX file, a node list of PIMCOMP-NN, or the name of a shipped network. arch: a chip's YAML, a simulator's
    config.json, the name of a shipped chip, or an Arch. pipeline: "element" (one image soonest) or "batch" (most images
    per second). solver: a name (`pimdse solvers`) or anything that implements `pimcomp.ir.plan.Solver`. weights:
    "random:SEED" replaces the file's.

    Raises ModelError, UnsupportedOp, ConfigError, CapacityError.
    """
    chip, notes = (arch, ()) if isinstance(arch, Arch) else read_arch(arch)
    if pipeline not in tuple(Pipeline):
        hint = did_you_mean(str(pipeline), Pipeline)
        raise ConfigError("pipeline", f"expected {' or '.join(Pipeline)}, found {pipeline!r}{hint}")
    chosen = _named_solver(solver) if isinstance(solver, str) else solver
    network = load_network(model, weights=weights)
    compiled = compile_network(
        network.graph,
        chip,
        chosen,
        pipeline=Pipeline(pipeline),
        time_limit_s=time_limit_s,
        seed=seed,
        options=options,
        weights=weights or "onnx",
        notes=notes,
    )
    named = replace(compiled.provenance, model=str(model))  # so that `pimdse verify FOLDER` finds the network again
    return CompiledModel(network, replace(compiled, provenance=named))


def verify_folder(
    folder: str | Path, model: str | Path, *, weights: str | None = None, images: int = 4, seed: int = 0
) -> VerifyReport:
    """Execute the program in a folder and compare every output with ONNX Runtime's for `model`.

    Raises ModelError for files that do not belong together.
    """
    return verify_program(Path(folder), load_network(model, weights=weights), images=images, seed=seed)


def _named_solver(name: str) -> Solver:
    """The registered solver of that name. Found by name at run time: the compiler depends on no solver."""
    return cast(Solver, import_module("solvers").get_solver(name))
