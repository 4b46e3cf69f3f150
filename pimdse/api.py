"""pimdse as a library: compile networks for chips, prove them, compare solvers.

    import pimcomp
    program = pimcomp.compile_model("digits_lenet5", "isaac")
    print(program.latency_ns, program.energy_pj)
    assert program.verify().passed
    program.write("results/lenet5")

Sweeps are in `pimdse.sweep_api`. The names that `import pimcomp` offers are stable: they change with a major version
only. Everything a user can get wrong raises a subclass of `pimcomp.PimdseError`.
"""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pimcomp.config import list_archs
from pimcomp.emit.outputs import emit
from pimcomp.emit.report import Report, make_report
from pimcomp.frontend import LoadedNetwork, ModelEntry, ModelSource, list_models, load_network
from pimcomp.ir.arch import Arch
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Pipeline, Solver
from pimcomp.ir.report import Timing
from pimcomp.proof.executed import VerifyReport, verify_program
from pimcomp.schedule import ScheduleOptions
from pimcomp.timeline import time_program
from pimdse.compiling.building import Built, build, make_recipe, write
from pimdse.compiling.comparison import Row, compared
from pimdse.compiling.reproduction import network_of_folder
from pimdse.compiling.summary import compiled_rows
from pimdse.display.html_table import html_table, records_html
from pimdse.display.units import count_text, energy_text, time_text
from pimdse.folder.proof import prove_segments
from pimdse.folder.segments import is_segments_folder, read_segments
from solvers import SOLVER_NAMES, SolverInfo, canonical, describe, get_solver

__all__ = [
    "Comparison",
    "CompiledModel",
    "archs",
    "compare",
    "compile_model",
    "models",
    "solvers",
    "verify_folder",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompiledModel:
    """A network compiled for a chip. `built.compiled` has everything: graph, chip, plan, program, timing, energy."""

    built: Built

    @property
    def network(self) -> LoadedNetwork:
        """The network, with the reference that `verify` compares with."""
        return self.built.network

    @property
    def compiled(self) -> Compiled:
        """Graph, chip, plan, program table, timing and energy by contributor."""
        return self.built.compiled

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

    @property
    def crossbars_used(self) -> int:
        """Crossbars that the plan occupies."""
        return int(self.compiled.program.group_crossbars.sum())

    def report(self) -> Report:
        """The figures as report.json has them."""
        return make_report(self.compiled)

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
        return write(self.built, Path(folder), form=form, save=save)

    def __repr__(self) -> str:
        origin = self.compiled.provenance
        return (
            f"CompiledModel({origin.model} on {self.compiled.arch.name}, {origin.pipeline}: "
            f"latency {time_text(self.latency_ns)}, period {time_text(self.period_ns)} and "
            f"{energy_text(self.energy_pj)} per image, {count_text(self.crossbars_used)} of "
            f"{count_text(self.compiled.arch.crossbars)} crossbars)"
        )

    def _repr_html_(self) -> str:
        """The figures as a table, for notebooks."""
        return html_table((), compiled_rows(self.report()))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """Solvers side by side: a row per solver and pipeline (`pimdse.compiling.comparison.Row`)."""

    rows: tuple[Row, ...]

    def table(self) -> list[dict[str, object]]:
        """The rows as dictionaries, for example for pandas.DataFrame."""
        return [asdict(row) for row in self.rows]

    def __repr__(self) -> str:
        times = ", ".join(f"{r.solver} {'-' if r.timeline_ns is None else time_text(r.timeline_ns)}" for r in self.rows)
        return f"Comparison({times})"

    def _repr_html_(self) -> str:
        """The rows as a table, for notebooks."""
        return records_html(self.table())


def compile_model(
    model: ModelSource,
    arch: str | Path | Arch = "pimcomp_default",
    *,
    pipeline: str | Pipeline = "element",
    solver: str | Solver = "auto",
    weights: str | None = None,
    seed: int = 0,
    time_limit_s: float | None = None,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
) -> CompiledModel:
    """Compile a network for a chip.

    model: an ONNX file, an onnx.ModelProto, a node list of PIMCOMP-NN, or the name of a shipped network. arch: a chip's
    YAML, a simulator's config.json, the name of a shipped chip, or an Arch. pipeline: "element" (one image soonest) or
    "batch" (most images per second). solver: a name (`pimcomp.solvers()`), with options behind it
    ("ga:iterations=200"), or anything that implements `pimcomp.ir.plan.Solver`. weights: "random:SEED" replaces the
    file's. time_limit_s: bounds the solver; None: its own budget.

    Raises ModelError, UnsupportedOp, ConfigError, CapacityError.
    """
    recipe = make_recipe(
        model=model, weights=weights, arch=arch, solver=solver, pipeline=pipeline, time_limit_s=time_limit_s, seed=seed,
        options=options,
    )  # fmt: skip
    return CompiledModel(build(recipe, solver=get_solver(solver) if isinstance(solver, str) else solver, source=model))


def verify_folder(
    folder: str | Path,
    model: "ModelSource | None" = None,
    *,
    weights: str | None = None,
    images: int = 4,
    seed: int = 0,
) -> VerifyReport:
    """Execute the program in a folder, or its segments in order, and compare every output with ONNX Runtime's.

    model, weights: as for `compile_model`; without, what the folder says, as for several networks. images: how many
    different ones at least; seed: decides them. Raises ModelError for files that do not belong together.
    """
    path = Path(folder)
    if is_segments_folder(path):
        return prove_segments(path, read_segments(path).wholes(model), images=images, seed=seed)
    network = network_of_folder(path, None)[0] if model is None else load_network(model, weights=weights)
    return verify_program(path, network, images=images, seed=seed)


def compare(
    model: ModelSource,
    arch: str | Path | Arch = "pimcomp_default",
    *,
    solvers: Sequence[str] = SOLVER_NAMES,
    pipeline: str | Pipeline = "element",
    weights: str | None = None,
    seed: int = 0,
    time_limit_s: float | None = None,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008  frozen
) -> Comparison:
    """Several solvers on one network and chip: figures, proven bounds and the time each took.

    Arguments as for `compile_model`. A solver without a plan has a row that says why. Raises ModelError, UnsupportedOp,
    ConfigError.
    """
    names = [canonical(name) for name in solvers]
    recipe = make_recipe(
        model=model, weights=weights, arch=arch, solver="auto", pipeline=pipeline, time_limit_s=time_limit_s, seed=seed,
        options=options,
    )  # fmt: skip
    return Comparison(tuple(compared(load_network(model, weights=weights), recipe, names)))


def archs() -> tuple[str, ...]:
    """Names of the shipped chips, for `load_arch` and wherever a chip is expected."""
    return list_archs()


def models() -> tuple[ModelEntry, ...]:
    """The shipped networks: name, origin, what it is."""
    return list_models()


def solvers() -> tuple[SolverInfo, ...]:
    """The solvers: name, how it decides, what it proves."""
    return describe()
