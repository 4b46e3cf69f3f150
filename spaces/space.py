"""What a sweep searches: the `sweep:` section of a chip's YAML file, checked and frozen.

    sweep:
      model: resnet18                 # a name from `pimdse models`, or a file
      trials: 24
      solvers: [balance, uniform]
      pipelines: [element, batch]
      objectives: [latency_ns, crossbars]
      limits: {crossbars: {max: 20000}}
      space:
        cores: {low: 64, high: 256, step: 8}
        cell_bits: [1, 2, 4]
        bus_width_bytes: {low: 8, high: 64, log: true}

Names under `space` are the fields of `Arch`; `crossbar_size` sets crossbar_rows and crossbar_cols together.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pimcomp.errors import ConfigError
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from spaces.metrics import METRICS

Scalar = int | float | bool | str
SAMPLERS = ("tpe", "nsga2", "qmc", "random")
CROSSBAR_SIZE = "crossbar_size"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """Integers low, low + step, ... up to high; `log`: sampled uniformly in the logarithm (step 1)."""

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def values(self) -> tuple[int, ...]:
        """Every value of the range."""
        return tuple(range(self.low, self.high + 1, self.step))

    def nearest(self, value: Scalar) -> Scalar:
        """The value of the range closest to `value`."""
        return min(self.values, key=lambda v: abs(v - float(value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """Real numbers in [low, high]; `log`: sampled uniformly in the logarithm."""

    name: str
    low: float
    high: float
    log: bool = False

    @property
    def values(self) -> None:
        """None: a continuous range cannot be enumerated."""
        return

    def nearest(self, value: Scalar) -> Scalar:
        """`value` clipped to the range."""
        return min(max(float(value), self.low), self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the listed values."""

    name: str
    values: tuple[Scalar, ...]

    def nearest(self, value: Scalar) -> Scalar:
        """The listed value closest to `value` (the first one for texts that are not listed)."""
        if value in self.values:
            return value
        if isinstance(value, str) or any(isinstance(v, str) for v in self.values):
            return self.values[0]
        return min(self.values, key=lambda v: abs(float(v) - float(value)))


Parameter = IntRange | FloatRange | Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A hard limit on a metric; None is unlimited."""

    metric: str
    low: float | None = None
    high: float | None = None

    def excess(self, value: float) -> float:
        """By how much `value` breaks the limit, relative to it; <= 0 when it keeps it."""
        over = -math.inf if self.high is None else (value - self.high) / (abs(self.high) or 1.0)
        under = -math.inf if self.low is None else (self.low - value) / (abs(self.low) or 1.0)
        return max(over, under)

    def __str__(self) -> str:
        """The limit as people write it."""
        parts = [f">= {self.low:g}"] if self.low is not None else []
        parts += [f"<= {self.high:g}"] if self.high is not None else []
        return f"{self.metric} {' and '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate: values of the space's parameters (sorted by name), a solver and a pipeline."""

    parameters: tuple[tuple[str, Scalar], ...]
    solver: str
    pipeline: Pipeline

    def as_dict(self) -> dict[str, Scalar]:
        """Parameter name to value, solver and pipeline included: the shape in which points are stored and cached."""
        return {**dict(self.parameters), "solver": self.solver, "pipeline": str(self.pipeline)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A checked `sweep:` section: what to evaluate, how often, what counts as better. `file` only names its origin."""

    name: str
    file: str
    arch: Arch
    model: str
    weights: str | None
    parameters: tuple[Parameter, ...]
    solvers: tuple[str, ...]
    pipelines: tuple[Pipeline, ...]
    objectives: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    trials: int = 24
    jobs: int = 1
    sampler: str = "tpe"
    seed: int = 0
    time_limit_s: float = 5.0

    @property
    def size(self) -> int | None:
        """Number of points of the space; None when a parameter is continuous."""
        counts = [len(self.solvers), len(self.pipelines)]
        for parameter in self.parameters:
            if parameter.values is None:
                return None
            counts.append(len(parameter.values))
        return math.prod(counts)

    def points(self) -> Iterator[Point]:
        """Every point of an enumerable space, in a fixed order."""
        axes = [[(p.name, v) for v in p.values or ()] for p in sorted(self.parameters, key=lambda p: p.name)]
        for combination in itertools.product(self.solvers, self.pipelines, *axes):
            solver, pipeline, *values = combination
            yield Point(parameters=tuple(values), solver=str(solver), pipeline=Pipeline(pipeline))  # type: ignore[arg-type]

    def anchors(self) -> tuple[Point, ...]:
        """The published chip (or the point of the space nearest to it) with every solver and pipeline."""
        values = tuple(sorted((p.name, p.nearest(arch_value(self.arch, p.name))) for p in self.parameters))
        return tuple(Point(parameters=values, solver=s, pipeline=p) for p in self.pipelines for s in self.solvers)


def arch_value(arch: Arch, name: str) -> Scalar:
    """The chip's own value of a parameter of a space."""
    value: Scalar = getattr(arch, "crossbar_rows" if name == CROSSBAR_SIZE else name)
    return value


def with_options(sweep: Sweep, *, trials: int | None, jobs: int | None, seed: int | None) -> Sweep:
    """`sweep` with the given options of the command line in place of the file's."""
    return replace(
        sweep,
        trials=sweep.trials if trials is None else trials,
        jobs=sweep.jobs if jobs is None else jobs,
        seed=sweep.seed if seed is None else seed,
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _RangeModel(_Strict):
    low: int | float
    high: int | float
    step: int = Field(1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_RangeModel":
        if self.low > self.high:
            raise ValueError(f"low must be <= high, found {self.low} > {self.high}")
        if self.log and (self.low <= 0 or self.step != 1):
            raise ValueError("log: true needs low > 0 and no step")
        return self


class _LimitModel(_Strict):
    min: int | float | None = None
    max: int | float | None = None


class _SweepModel(_Strict):
    model: str = "resnet18"
    weights: str | None = None
    trials: int = Field(24, ge=1)
    jobs: int = Field(1, ge=1)
    sampler: str = "tpe"
    seed: int = Field(0, ge=0)
    time_limit_s: int | float = Field(5, gt=0)
    solvers: list[str] = Field(min_length=1)
    pipelines: list[str] = Field(["element", "batch"], min_length=1)
    objectives: list[str] = Field(["latency_ns", "crossbars"], min_length=2, max_length=3)
    limits: dict[str, _LimitModel] = {}
    space: dict[str, _RangeModel | list[int | float | bool | str]] = Field(min_length=1)


def parse_sweep(section: object, *, arch: Arch, file: str, solver_names: tuple[str, ...]) -> Sweep:
    """Check the `sweep:` section of `file` against the chip it belongs to.

    Raises ConfigError naming file, field and rule.
    """
    if section is None:
        raise ConfigError(f"{file}.sweep", "missing: expected a section with at least `solvers` and `space`")
    try:
        model = _SweepModel.model_validate(section)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"] if not _is_union_tag(part))
        found = "" if first["type"] == "missing" else f", found {first['input']!r}"
        raise ConfigError(f"{file}.sweep.{path}", f"{first['msg'].lower()}{found}") from None
    where = f"{file}.sweep"
    _known(model.solvers, solver_names, f"{where}.solvers")
    _known(model.pipelines, tuple(Pipeline), f"{where}.pipelines")
    _known(model.objectives, tuple(m.name for m in METRICS), f"{where}.objectives")
    _known(list(model.limits), tuple(m.name for m in METRICS), f"{where}.limits")
    _known([model.sampler], SAMPLERS, f"{where}.sampler")
    parameters = tuple(_parameter(name, value, arch, f"{where}.space") for name, value in sorted(model.space.items()))
    _not_twice(parameters, f"{where}.space")
    return Sweep(
        name=Path(file).stem,
        file=file,
        arch=arch,
        model=model.model,
        weights=model.weights,
        parameters=parameters,
        solvers=tuple(model.solvers),
        pipelines=tuple(Pipeline(p) for p in model.pipelines),
        objectives=tuple(model.objectives),
        limits=tuple(Limit(metric=k, low=v.min, high=v.max) for k, v in sorted(model.limits.items())),
        trials=model.trials,
        jobs=model.jobs,
        sampler=model.sampler,
        seed=model.seed,
        time_limit_s=float(model.time_limit_s),
    )


def _is_union_tag(part: int | str) -> bool:
    # pydantic names the alternative of a union it tried; a user knows nothing of these
    return isinstance(part, str) and (part == "_RangeModel" or part.startswith("list[") or part in ("int", "float"))


def _known(names: list[str], known: tuple[str, ...], where: str) -> None:
    for position, name in enumerate(names):
        if name not in known:
            raise ConfigError(where, f"unknown name {name!r}; expected some of: {', '.join(known)}")
        if name in names[:position]:
            raise ConfigError(where, f"{name!r} is listed twice")


def _not_twice(parameters: tuple[Parameter, ...], where: str) -> None:
    names = {p.name for p in parameters}
    for field in ("crossbar_rows", "crossbar_cols"):
        if CROSSBAR_SIZE in names and field in names:
            raise ConfigError(f"{where}.{field}", f"already set by {CROSSBAR_SIZE}: give one of them")


def _parameter(name: str, value: _RangeModel | list[int | float | bool | str], arch: Arch, where: str) -> Parameter:
    fixed = ("name", "noc_file")
    known = [f.name for f in fields(Arch) if f.name not in fixed]
    if name != CROSSBAR_SIZE and name not in known:
        raise ConfigError(
            f"{where}.{name}", f"unknown chip parameter; expected one of: {', '.join([CROSSBAR_SIZE, *known])}"
        )
    own = arch_value(arch, name)
    if isinstance(value, list):
        return _choice(name, value, own, f"{where}.{name}")
    if isinstance(own, (bool, str)):
        raise ConfigError(f"{where}.{name}", f"expected a list of values like {own!r}, found a range")
    if isinstance(own, float):
        return FloatRange(name=name, low=float(value.low), high=float(value.high), log=value.log)
    if not (isinstance(value.low, int) and isinstance(value.high, int)):
        raise ConfigError(f"{where}.{name}", f"expected integers, found {value.low} to {value.high}")
    if value.low < 1 and own >= 1:
        raise ConfigError(f"{where}.{name}.low", f"expected >= 1, found {value.low}")
    high = value.high - (value.high - value.low) % value.step
    return IntRange(name=name, low=value.low, high=high, step=value.step, log=value.log)


def _choice(name: str, values: list[int | float | bool | str], own: Scalar, where: str) -> Choice:
    if not values:
        raise ConfigError(where, "expected at least one value, found an empty list")
    kind = type(own)
    for value in values:
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(where, f"expected {kind.__name__}, found {value!r}")
    if len(set(values)) < len(values):
        raise ConfigError(where, "a value is listed twice")
    return Choice(name=name, values=tuple(kind(v) for v in values))
