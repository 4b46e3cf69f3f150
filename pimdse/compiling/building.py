"""From the words of the command line to a compiled network: the one path that compile, verify and pick share."""

import dataclasses
import re
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from pimcomp.compile import compile_network
from pimcomp.config import arch_to_yaml, read_arch
from pimcomp.config.precision_file import read_precision
from pimcomp.emit.choices import check_choices
from pimcomp.emit.outputs import emit, file_names
from pimcomp.emit.report import Report
from pimcomp.errors import ConfigError, check_name, did_you_mean
from pimcomp.foundation.digest import digest
from pimcomp.foundation.own_files import COMPILE, check_free
from pimcomp.frontend import LoadedNetwork, ModelSource, load_network
from pimcomp.frontend.model_index import network_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.brief import brief
from pimcomp.ir.compiled import Compiled
from pimcomp.ir.plan import Judges, MappingProblem, Outcome, Pipeline, Solver
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.plan.precision import with_precision
from pimdse.foundation.versions import versions
from solvers import canonical, get_solver

# Limits of scheduling options: far beyond what is of any use, small enough for every calculation with them.
SWITCHES = {"on": True, "off": False}
MAX_COUNT = 10_000

Observe = Callable[[str, object], None]


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to compile and how; `arch_source` is the user's word for the chip, `solver` is never "auto" here."""

    model: str
    weights: str | None
    arch: Arch
    arch_source: str
    solver: str
    pipeline: Pipeline
    time_limit_s: float | None = None
    seed: int = 0
    options: ScheduleOptions
    precision: dict[str, Precision] = dataclasses.field(default_factory=dict)  # by layer
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()  # of several networks on the chip, `model` is then a name for all
    combine: str = ""  # theirs: "worst", or their weights

    @property
    def label(self) -> str:
        """NAME-ARCH-PIPELINE, usable as a folder's name."""
        return file_label(self.model, self.arch.name, self.pipeline)


def file_label(model: str, *rest: str) -> str:
    """The network's name and more, joined by dashes, usable as a file's or folder's name."""
    return re.sub(r"[^\w.\-]+", "_", "-".join((network_name(model), *rest)))


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Built:
    """A compiled recipe; `stages_s`: wall-clock seconds of each stage, in order."""

    recipe: Recipe
    network: LoadedNetwork
    compiled: Compiled
    stages_s: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class StoredPlan:
    """A solver that answers what was answered before: nothing is searched. The compiler verifies its plan as any."""

    name: str
    outcome: Outcome

    def solve(self, problem: MappingProblem, judges: Judges, *, time_limit_s: float | None, seed: int) -> Outcome:
        """The stored outcome."""
        return self.outcome


def make_recipe(
    *,
    model: ModelSource,
    weights: str | None,
    arch: str | Path | Arch,
    solver: str | Solver,
    pipeline: str,
    time_limit_s: float | None,
    seed: int,
    options: Sequence[str] | ScheduleOptions | None,
) -> Recipe:
    """Check the words of a command, or what a caller of the library gives, whose `options` are no words.

    Raises ConfigError naming the option.
    """
    dashes = "" if isinstance(options, ScheduleOptions) else "--"
    check_name(f"{dashes}pipeline", pipeline, Pipeline)
    chip, notes = (arch, ()) if isinstance(arch, Arch) else read_arch(arch)
    # what a model in memory is called; whether it is one is seen when it is loaded
    in_memory = getattr(getattr(model, "graph", None), "name", "") or "model"
    return Recipe(
        model=str(model) if isinstance(model, str | Path) else in_memory,
        weights=weights,
        arch=chip,
        arch_source="chip.yaml" if isinstance(arch, Arch) else str(arch),
        solver=canonical(solver, f"{dashes}solver") if isinstance(solver, str) else solver.name,
        pipeline=Pipeline(pipeline),
        time_limit_s=time_limit_s,
        seed=seed,
        options=options if isinstance(options, ScheduleOptions) else schedule_options(options or ()),
        notes=notes,
    )


def with_precision_file(recipe: Recipe, file: Path | None) -> Recipe:
    """The recipe with the bits of a precision file, if there is one. Raises ConfigError."""
    return recipe if file is None else dataclasses.replace(recipe, precision=read_precision(file))


def schedule_options(words: Sequence[str]) -> ScheduleOptions:
    """`NAME=VALUE` words as scheduling options. Raises ConfigError naming the word."""
    defaults = {f.name: f.default for f in dataclasses.fields(ScheduleOptions)}
    values: dict[str, int | bool] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            raise ConfigError(f"--set {word}", f"expected NAME=VALUE with NAME one of {', '.join(defaults)}{hint}")
        if name in values:
            raise ConfigError(f"--set {word}", f"expected every option once, found {name} twice")
        if isinstance(defaults[name], bool):
            if text not in SWITCHES:
                raise ConfigError(f"--set {word}", f"expected on or off behind '=', found {text!r}")
            values[name] = SWITCHES[text]
            continue
        try:
            values[name] = int(text)
        except ValueError:
            raise ConfigError(f"--set {word}", f"expected int behind '=', found {text!r}") from None
        if not 1 <= values[name] <= MAX_COUNT:
            raise ConfigError(f"--set {word}", f"expected int from 1 to {MAX_COUNT}")
    return ScheduleOptions(**values)  # type: ignore[arg-type]


def build(
    recipe: Recipe,
    observe: Observe = lambda stage, result: None,
    *,
    solver: Solver | None = None,
    source: "ModelSource | LoadedNetwork | None" = None,
) -> Built:
    """Load the network and compile it, with another solver than the recipe's if one is given.

    source: the network itself, or where it is now, if not where the recipe says.

    Raises ModelError, UnsupportedOp, ConfigError, CapacityError.
    """
    stages: list[tuple[str, float]] = []
    last = time.perf_counter()

    def stage(name: str, result: object) -> None:
        nonlocal last
        now = time.perf_counter()
        stages.append((name, now - last))
        last = now
        observe(name, result)

    if isinstance(source, LoadedNetwork):
        network = source
    else:
        network = load_network(source or recipe.model, weights=recipe.weights)
    stage("load", network)
    compiled = compile_network(
        with_precision(network.graph, recipe.precision, recipe.arch, "--precision"),
        recipe.arch,
        solver or get_solver(recipe.solver),
        pipeline=recipe.pipeline,
        time_limit_s=recipe.time_limit_s,
        seed=recipe.seed,
        options=recipe.options,
        observe=stage,
    )
    # the report names the model as the user did, so that `pimdse verify DIR` finds it again
    origin = dataclasses.replace(
        compiled.provenance, model=recipe.model, weights=recipe.weights or "onnx", notes=recipe.notes,
        precision=tuple(recipe.precision.items()),
    )  # fmt: skip
    compiled = dataclasses.replace(compiled, provenance=origin)
    return Built(recipe=recipe, network=network, compiled=compiled, stages_s=tuple(stages))


BESIDE = ("chip.yaml", "manifest.yaml")


def check_target(
    folder: Path, arch: Arch, *, form: str = "gz", save: Collection[str] = (), inputs: Sequence[str] = ()
) -> None:
    """Refuse now what `write` would refuse in the end. inputs: what the user named for model and chip.

    Raises ConfigError for an unknown form or save, OutputError for a folder that cannot be written or a file there that
    is not ours.
    """
    check_choices(form, save)
    check_free(folder, (*file_names(form, save, arch.total_cores), *BESIDE), COMPILE, inputs)


def write(
    built: Built,
    folder: Path,
    *,
    form: str = "gz",
    save: Collection[str] = (),
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> Report:
    """Write the compiled program's folder, with chip.yaml and manifest.yaml beside it, and return its report.

    beside: further files and their content.

    Raises ConfigError for an unknown form or save, OutputError if the folder cannot be written.
    """
    texts = (arch_to_yaml(built.recipe.arch, built.recipe.notes), manifest(built, form, save))
    own = {name: text.encode() for name, text in zip(BESIDE, texts, strict=True)}
    return emit(built.compiled, folder, form=form, save=save, beside={**own, **beside})


def manifest(built: Built, form: str, save: Collection[str]) -> str:
    """How to make the same files again: command, versions, seed, every setting, the whole chip, what the solver said
    (its plan is in plan.json) and a digest of the network.
    """
    recipe = built.recipe
    words = [
        "pimdse",
        "compile",
        *(recipe.models or [recipe.model]),
        "--arch",
        recipe.arch_source,
        "--solver",
        recipe.solver,
    ]
    words += ["--pipeline", str(recipe.pipeline), "--seed", str(recipe.seed)]
    words += ["--time-limit", f"{recipe.time_limit_s:g}"] if recipe.time_limit_s is not None else []
    words += ["--weights", recipe.weights] if recipe.weights else []
    words += ["--combine", recipe.combine] if recipe.combine else []
    content = {
        "command": shlex.join(words),
        "model": recipe.model,
        **({"models": list(recipe.models), "combine": recipe.combine} if recipe.models else {}),
        "weights": recipe.weights,
        "network_sha256": digest(built.network.graph),
        "arch_source": recipe.arch_source,
        "solver": recipe.solver,
        "pipeline": str(recipe.pipeline),
        "seed": recipe.seed,
        "time_limit_s": recipe.time_limit_s,
        "notes": list(recipe.notes),
        "format": form,
        "save": sorted(save),
        "versions": versions(),
        "schedule": dataclasses.asdict(recipe.options),
        **({"precision": {name: own.given for name, own in recipe.precision.items()}} if recipe.precision else {}),
        "outcome": outcome_data(built.compiled),
        "chip": recipe.arch.described(),
    }
    return yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)


def outcome_data(compiled: Compiled) -> dict[str, Any]:
    """What the solver said, but for its plan."""
    outcome = compiled.outcome
    return {
        "solver": compiled.provenance.solver,
        "status": str(outcome.status),
        "objective_ns": _number(outcome.objective_ns),
        "bound_ns": _number(outcome.bound_ns),
        "notes": list(outcome.notes),
        "time_limited": bool(outcome.time_limited),
    }


def _number(value: float | None) -> float | None:
    """A plain float: YAML knows no numpy."""
    return None if value is None else float(value)
