"""Reads the `sweep:` section of a chip's YAML file.

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

import difflib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pimcomp.config.validation import Section, found_text, validate
from pimcomp.errors import ConfigError, did_you_mean
from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from spaces.metrics import METRICS
from spaces.space import CROSSBAR_SIZE, Choice, FloatRange, IntRange, Limit, Parameter, Scalar, Sweep, arch_value

# Part of a chip's identity, not of its design.
_NOT_SEARCHABLE = ("name", "interconnect", "noc_file", "noc_table", "psum_bits")


class _Range(Section):
    low: float = Field(json_schema_extra={"expected": "a number"})
    high: float = Field(json_schema_extra={"expected": "a number"})
    step: int = Field(1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "_Range":
        if self.low > self.high:
            raise ValueError(f"expected low <= high, found {self.low:g} > {self.high:g}")
        if self.log and (self.low <= 0 or self.step != 1):
            raise ValueError("log: true needs low > 0 and no step")
        return self


class _Limit(Section):
    min: float | None = Field(None, json_schema_extra={"expected": "a number"})
    max: float | None = Field(None, json_schema_extra={"expected": "a number"})


class _Settings(Section):
    model: str = "resnet18"
    weights: str | None = Field(None, json_schema_extra={"expected": "text like random:0"})
    trials: int = Field(24, ge=1)
    jobs: int = Field(1, ge=1)
    sampler: Literal["tpe", "nsga2", "qmc", "random"] = "tpe"
    seed: int = Field(0, ge=0)
    time_limit_s: float = Field(5.0, gt=0)
    solvers: list[str] = Field(min_length=1, json_schema_extra={"expected": "a list of solvers"})
    pipelines: list[Literal["element", "batch"]] = Field(
        ["element", "batch"], min_length=1, json_schema_extra={"expected": "a list of element and batch"}
    )
    objectives: list[str] = Field(
        ["latency_ns", "crossbars"],
        min_length=2,
        max_length=3,
        json_schema_extra={"expected": "a list of 2 or 3 metrics"},
    )
    limits: dict[str, Any] = Field({}, json_schema_extra={"expected": "a section of metrics"})
    space: dict[str, Any] = Field(min_length=1, json_schema_extra={"expected": "a section of chip parameters"})


class _Document(Section):
    sweep: _Settings


def parse_sweep(section: object, *, arch: Arch, file: str, solver_names: Sequence[str]) -> Sweep:
    """Check the `sweep:` section of `file` against the chip it belongs to.

    Raises ConfigError naming file, field and rule.
    """
    if section is None:
        raise ConfigError(f"{file}: sweep", "missing: a sweep needs at least `solvers` and `space` there")
    model = validate(_Document, {"sweep": section}, file).sweep
    where = f"{file}: sweep"
    metrics = [m.name for m in METRICS]
    _known(model.solvers, solver_names, f"{where}.solvers")
    _known(model.pipelines, tuple(Pipeline), f"{where}.pipelines")
    _known(model.objectives, metrics, f"{where}.objectives")
    _known(list(model.limits), metrics, f"{where}.limits")
    if "area_mm2" in model.objectives and arch.area_mm2 == 0:
        raise ConfigError(f"{where}.objectives", "area_mm2 needs a chip with an `area:` section")
    limits = [(name, validate(_Limit, value, f"{where}.limits.{name}")) for name, value in sorted(model.limits.items())]
    return Sweep(
        name=Path(file).stem,
        file=file,
        arch=arch,
        model=model.model,
        weights=model.weights,
        parameters=_parameters(model.space, arch, f"{where}.space"),
        solvers=tuple(model.solvers),
        pipelines=tuple(Pipeline(p) for p in model.pipelines),
        objectives=tuple(model.objectives),
        limits=tuple(Limit(metric=name, low=limit.min, high=limit.max) for name, limit in limits),
        trials=model.trials,
        jobs=model.jobs,
        sampler=model.sampler,
        seed=model.seed,
        time_limit_s=model.time_limit_s,
    )


def _known(names: Sequence[str], known: Sequence[str], where: str) -> None:
    for position, name in enumerate(names):
        if name not in known:
            raise ConfigError(where, f"expected some of {', '.join(known)}; found {name!r}{did_you_mean(name, known)}")
        if name in names[:position]:
            raise ConfigError(where, f"{name!r} is listed twice")


def _parameters(space: dict[str, Any], arch: Arch, where: str) -> tuple[Parameter, ...]:
    known = [CROSSBAR_SIZE, *(f.name for f in fields(Arch) if f.name not in _NOT_SEARCHABLE)]
    for name in space:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
            raise ConfigError(f"{where}.{name}", f"unknown chip parameter; {hint}")
    for name in ("crossbar_rows", "crossbar_cols"):
        if CROSSBAR_SIZE in space and name in space:
            raise ConfigError(f"{where}.{name}", f"{CROSSBAR_SIZE} sets it already: give one of them")
    return tuple(_parameter(name, value, arch, f"{where}.{name}") for name, value in sorted(space.items()))


def _parameter(name: str, value: object, arch: Arch, where: str) -> Parameter:
    own = arch_value(arch, name)
    if isinstance(value, list):
        return _choice(name, value, own, where)
    if not isinstance(value, dict):
        raise ConfigError(where, f"expected a list of values or {{low: .., high: ..}}, found {found_text(value)}")
    if isinstance(own, (bool, str)):
        raise ConfigError(where, f"expected a list of values like [{found_text(own)}], found a range")
    limits = validate(_Range, value, where)
    if isinstance(own, float):
        if limits.step != 1:
            raise ConfigError(f"{where}.step", "only whole numbers have steps; list the values instead")
        return FloatRange(name=name, low=limits.low, high=limits.high, log=limits.log)
    low, high = int(limits.low), int(limits.high)
    if (low, high) != (limits.low, limits.high):
        raise ConfigError(where, f"expected whole numbers, found {limits.low:g} to {limits.high:g}")
    _positive(own, low, f"{where}.low")
    return IntRange(name=name, low=low, high=high - (high - low) % limits.step, step=limits.step, log=limits.log)


def _choice(name: str, values: list[object], own: Scalar, where: str) -> Choice:
    kind = type(own)
    checked: list[Scalar] = []
    for position, value in enumerate(values):
        if not isinstance(value, (int, float, bool, str)) or not (
            type(value) is kind or (kind is float and type(value) is int)
        ):
            raise ConfigError(f"{where}[{position}]", f"expected a value like {own!r}, found {found_text(value)}")
        _positive(own, value, f"{where}[{position}]")
        checked.append(kind(value))
    if not checked:
        raise ConfigError(where, "expected at least one value, found an empty list")
    if len(set(checked)) < len(checked):
        raise ConfigError(where, "a value is listed twice")
    return Choice(name=name, values=tuple(checked))


def _positive(own: Scalar, value: object, where: str) -> None:
    """Counts and sizes of the chip that are at least 1 stay so; nothing becomes negative."""
    if isinstance(own, (bool, str)) or isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        return
    least = 1 if isinstance(own, int) and own >= 1 else 0
    if value < least:
        raise ConfigError(where, f"expected >= {least}, found {value:g}")
