"""From the words of the command line to a compiled network: the one path that compile, verify and pick share."""

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pimcomp.errors import ConfigError

if TYPE_CHECKING:
    from pimcomp.compile import Compiled
    from pimcomp.frontend import LoadedNetwork
    from pimcomp.ir.arch import Arch
    from pimcomp.ir.plan import Pipeline
    from pimcomp.schedule.options import ScheduleOptions

Observe = Callable[[str, object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to compile and how, as the user said it; `solver` is never "auto" here."""

    model: str
    weights: str | None
    arch: "Arch"
    solver: str
    pipeline: "Pipeline"
    time_limit_s: float = 10.0
    seed: int = 0
    options: "ScheduleOptions"
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """NAME-ARCH-PIPELINE, usable as a folder's name."""
        text = f"{Path(self.model).stem}-{self.arch.name}-{self.pipeline}"
        return re.sub(r"[^\w.\-]+", "_", text)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Built:
    """A compiled recipe; `stages_s`: wall-clock seconds of each stage, in order."""

    recipe: Recipe
    network: "LoadedNetwork"
    compiled: "Compiled"
    stages_s: tuple[tuple[str, float], ...]


def make_recipe(
    *,
    model: str,
    weights: str | None,
    arch: str,
    solver: str,
    pipeline: str,
    time_limit_s: float,
    seed: int,
    options: Sequence[str] | None,
) -> Recipe:
    """Check the command line's words. Raises ConfigError naming the option."""
    from pimcomp.config import read_arch
    from pimcomp.ir.plan import Pipeline

    if pipeline not in tuple(Pipeline):
        raise ConfigError("--pipeline", f"expected {' or '.join(Pipeline)}, found {pipeline!r}")
    chip, notes = read_arch(arch)
    return Recipe(
        model=model,
        weights=weights,
        arch=chip,
        solver=solver_name(solver),
        pipeline=Pipeline(pipeline),
        time_limit_s=time_limit_s,
        seed=seed,
        options=schedule_options(options or ()),
        notes=notes,
    )


def solver_name(name: str) -> str:
    """The registered solver that `name` means; "auto" without a solver of that name is PIMCOMP-NN's default."""
    from solvers import SOLVER_NAMES

    if name == "auto" and "auto" not in SOLVER_NAMES:
        return "balance"
    for known in SOLVER_NAMES:
        if known.lower() == name.lower():
            return known
    raise ConfigError("--solver", f"expected one of {', '.join(('auto', *SOLVER_NAMES))}, found {name!r}")


def schedule_options(words: Sequence[str]) -> "ScheduleOptions":
    """`NAME=VALUE` words as scheduling options. Raises ConfigError naming the word."""
    from pimcomp.schedule.options import ScheduleOptions

    defaults = {f.name: f.default for f in dataclasses.fields(ScheduleOptions)}
    values: dict[str, int | float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in defaults:
            raise ConfigError(f"--set {word}", f"expected NAME=VALUE with NAME one of {', '.join(defaults)}")
        kind = int if isinstance(defaults[name], int) else float
        try:
            values[name] = kind(text)
        except ValueError:
            raise ConfigError(f"--set {word}", f"expected {kind.__name__} behind '=', found {text!r}") from None
        if values[name] < 0:
            raise ConfigError(f"--set {word}", "expected >= 0")
    return ScheduleOptions(**values)  # type: ignore[arg-type]


def build(recipe: Recipe, observe: Observe = lambda stage, result: None) -> Built:
    """Load the network and compile it.

    Raises ModelError, UnsupportedOp, ConfigError, CapacityError.
    """
    from pimcomp.compile import compile_network
    from pimcomp.frontend import load_network
    from solvers import get_solver

    stages: list[tuple[str, float]] = []
    last = time.perf_counter()

    def stage(name: str, result: object) -> None:
        nonlocal last
        now = time.perf_counter()
        stages.append((name, now - last))
        last = now
        observe(name, result)

    network = load_network(recipe.model, recipe.weights)
    stage("load", network)
    compiled = compile_network(
        network.graph,
        recipe.arch,
        get_solver(recipe.solver),
        pipeline=recipe.pipeline,
        time_limit_s=recipe.time_limit_s,
        seed=recipe.seed,
        options=recipe.options,
        observe=stage,
    )
    return Built(recipe=recipe, network=network, compiled=compiled, stages_s=tuple(stages))
