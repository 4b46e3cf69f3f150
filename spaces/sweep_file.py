"""Reads the `sweep:` section of a chip's YAML file.

    sweep:
      model: resnet18                 # a name from `pimdse models`, or a file; `models: [..]` for several
      trials: 24
      solvers: [balance, uniform]
      pipelines: [element, batch]
      objectives: [latency_ns, crossbars]
      limits: {crossbars: {max: 20000}}
      space:
        cores: {low: 64, high: 256, step: 8}
        cell_bits: [1, 2, 4]
        bus_width_bytes: {low: 8, high: 64, log: true}
        images_per_round: [1, 2, 4]

Names under `space` are the fields of `Arch` and of `ScheduleOptions`; `crossbar_size` sets crossbar_rows and
crossbar_cols together, `chip` lists published chips to start from, `precision` bits of all layers' weights, or files
with those of single layers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pimcomp.config.validation import Section, found_text, validate
from pimcomp.errors import ConfigError, check_name, did_you_mean
from pimcomp.ir.arch import Arch
from pimcomp.ir.arch_rules import WORDS
from pimcomp.ir.plan import Pipeline
from solvers import canonical
from solvers.options import joined
from spaces.metrics import ALIASES, LIMITS_ONLY, METRICS
from spaces.space import (
    AUTO,
    CHIP,
    CROSSBAR_SIZE,
    OPTION_NAMES,
    PRECISION,
    Choice,
    Fidelity,
    FloatRange,
    IntRange,
    Limit,
    Network,
    Parameter,
    Scalar,
    Sweep,
    each_network,
    own_value,
)

_MOST_VALUES = 1_000_000  # of a range of whole numbers

# Part of a chip's identity, not of its design.
_NOT_SEARCHABLE = ("name", "interconnect", "noc_file", "noc_table", "psum_bits", "cut_off", "rating")


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

    @model_validator(mode="after")
    def _ordered(self) -> "_Limit":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected min <= max, found {self.min:g} > {self.max:g}")
        return self


class _Network(Section):
    model: str = Field(min_length=1, json_schema_extra={"expected": "a model"})
    weights: str | None = Field(None, json_schema_extra={"expected": "text like random:0"})


class _Settings(Section):
    model: str | None = Field(None, min_length=1, json_schema_extra={"expected": "a model"})
    models: list[Any] | None = Field(None, min_length=1, json_schema_extra={"expected": "a list of models"})
    combine: Literal["worst", "mean", "each"] = "worst"
    weights: str | None = Field(None, json_schema_extra={"expected": "text like random:0"})
    segments: bool = False
    fidelity: Literal["cost", "timeline"] = "timeline"
    timed: int = Field(40, ge=1)
    trials: int = Field(24, ge=1)
    enumerate: int = Field(200_000, ge=0)
    jobs: int = Field(1, ge=1)
    sampler: Literal["tpe", "nsga2", "nsga3", "qmc", "gp", "random"] = "tpe"
    lag: int = Field(16, ge=1)
    seed: int = Field(0, ge=0, lt=1 << 63)
    time_limit_s: float | None = Field(None, gt=0, json_schema_extra={"expected": "a number > 0"})
    solvers: list[str] = Field(min_length=1, json_schema_extra={"expected": "a list of solvers"})
    pipelines: list[str] = Field(
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


# What the sweep takes as it is.
_AS_GIVEN = {"segments", "timed", "trials", "enumerate", "jobs", "sampler", "lag", "seed", "time_limit_s"}


class _Document(Section):
    sweep: _Settings


def parse_sweep(section: object, *, arch: Arch, file: str, load_chip: Callable[[str], Arch]) -> Sweep:
    """Check the `sweep:` section of `file` against the chip it belongs to. load_chip: reads a chip by name.

    Raises ConfigError naming file, field and rule.
    """
    if section is None:
        raise ConfigError(f"{file}: sweep", "missing: a sweep needs at least `solvers` and `space` there")
    model = validate(_Document, {"sweep": section}, file).sweep
    where = f"{file}: sweep"
    try:
        solvers = tuple(canonical(spec) for spec in joined(model.solvers))
    except ConfigError as error:
        raise ConfigError(f"{where}.solvers", str(error)) from None
    _known(solvers, solvers, f"{where}.solvers")  # none twice
    _known(model.pipelines, tuple(Pipeline), f"{where}.pipelines")
    networks = _networks(model, where)
    limits = {ALIASES.get(name, name): value for name, value in sorted(model.limits.items())}
    metrics = [m.name for m in METRICS]
    _known(list(limits), metrics, f"{where}.limits")
    checked = [(name, validate(_Limit, value, f"{where}.limits.{name}")) for name, value in limits.items()]
    parameters = _parameters(model.space, arch, f"{where}.space")
    objectives = _objectives(model, networks, where)
    if model.segments:
        _check_segments(arch, parameters, f"{where}.segments")
    return Sweep(
        name=Path(file).stem,
        file=file,
        arch=arch,
        other_chips=tuple(
            load_chip(str(name)) for p in parameters if p.name == CHIP for name in p.values or () if name != arch.name
        ),
        networks=networks,
        combine="worst" if model.combine == "each" else model.combine,
        parameters=parameters,
        solvers=solvers,
        pipelines=tuple(Pipeline(p) for p in model.pipelines),
        objectives=objectives,
        limits=tuple(Limit(metric=name, low=limit.min, high=limit.max) for name, limit in checked),
        fidelity=Fidelity(model.fidelity),
        **model.model_dump(include=_AS_GIVEN),
    )


def _check_segments(arch: Arch, parameters: Sequence[Parameter], where: str) -> None:
    names = [p.name for p in parameters]
    if not arch.row_write_ns and "row_write_ns" not in names:
        raise ConfigError(where, f"{arch.name} has no crossbar.write.row_ns: reloading weights would be free")
    if PRECISION in names:
        raise ConfigError(where, "not together with `precision`: it names layers of a whole network")


def section_schema(solver_names: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of the `sweep:` section, from its models and the names that are only known when it is parsed.

    What it refers to is under its own "$defs", and is expected under those of the whole file.
    """
    schema = _Settings.model_json_schema()
    shared = {"Values": {"anyOf": [{"type": "array", "minItems": 1}, _Range.model_json_schema()]}}
    shared |= {"Limit": _Limit.model_json_schema(), "Network": _Network.model_json_schema()}
    values, limit, network = ({"$ref": f"#/$defs/{name}"} for name in shared)
    metrics = [m.name for m in METRICS]
    searched = [m for m in [*metrics, *ALIASES] if m not in LIMITS_ONLY]
    properties = schema["properties"]
    properties["solvers"]["items"] = _any_of(solver_names)
    properties["pipelines"]["items"] = {"enum": [str(p) for p in Pipeline]}
    properties["objectives"]["items"] = _any_of(searched)
    properties["models"]["anyOf"][0]["items"] = {"anyOf": [{"type": "string"}, network]}
    properties["limits"] |= {"properties": dict.fromkeys([*metrics, *ALIASES], limit), "additionalProperties": False}
    properties["space"] |= {"properties": dict.fromkeys(_searchable(), values), "additionalProperties": False}
    return schema | {"$defs": shared}


def _any_of(names: Sequence[str]) -> dict[str, Any]:
    """Text of any kind, of which an editor suggests the names: options or a network may stand behind them."""
    return {"anyOf": [{"enum": list(names)}, {"type": "string"}]}


def _networks(model: _Settings, where: str) -> tuple[Network, ...]:
    """The section's network or networks, each under a label of its own."""
    if model.models is None:
        return (Network(model=model.model or "resnet18", weights=model.weights),)
    if model.model is not None:
        raise ConfigError(f"{where}.models", "`model` names a network already: give one of them")
    networks = []
    for position, entry in enumerate(model.models):
        at = f"{where}.models[{position}]"
        if isinstance(entry, str):
            networks.append(Network(model=entry, weights=model.weights))
        elif isinstance(entry, dict):
            found = validate(_Network, entry, at)
            networks.append(Network(model=found.model, weights=found.weights or model.weights))
        else:
            raise ConfigError(at, f"expected a model or {{model: .., weights: ..}}, found {found_text(entry)}")
    labels = [n.label for n in networks]
    for position, label in enumerate(labels):
        if label in labels[:position]:
            raise ConfigError(f"{where}.models[{position}]", f"a network called {label!r} is listed twice")
    return tuple(networks)


def _objectives(model: _Settings, networks: tuple[Network, ...], where: str) -> tuple[str, ...]:
    """The objectives with their full names, one per network where that is asked for."""
    known = [m.name for m in METRICS if m.name not in LIMITS_ONLY]
    labels = {n.label for n in networks}
    names = []
    for name in model.objectives:
        base, at, network = name.partition("@")
        base = ALIASES.get(base, base)
        if at and network not in labels:
            raise ConfigError(
                f"{where}.objectives", f"expected a network of the sweep behind '@' ({', '.join(sorted(labels))}), "
                f"found {network!r}{did_you_mean(network, labels)}"
            )  # fmt: skip
        _known([base], known, f"{where}.objectives")
        names.append(base + at + network)
    _known(names, names, f"{where}.objectives")  # none twice
    if model.combine == "each" and len(networks) > 1:
        if any("@" in n for n in names):
            raise ConfigError(f"{where}.objectives", "combine: each makes objectives of every network: name none there")
        names = list(each_network(tuple(names), networks))
    if len(names) > _MAX_OBJECTIVES:
        raise ConfigError(
            f"{where}.objectives", f"expected at most {_MAX_OBJECTIVES}, found {len(names)}: {', '.join(names)}"
        )
    return tuple(names)


_MAX_OBJECTIVES = 3


def _known(names: Sequence[str], known: Sequence[str], where: str) -> None:
    for position, name in enumerate(names):
        if name not in known:
            raise ConfigError(where, f"expected some of {', '.join(known)}; found {name!r}{did_you_mean(name, known)}")
        if name in names[:position]:
            raise ConfigError(where, f"{name!r} is listed twice")


def _searchable() -> list[str]:
    """Every name that may stand under `space`."""
    own = (f.name for f in fields(Arch) if f.name not in _NOT_SEARCHABLE)
    return [CROSSBAR_SIZE, CHIP, PRECISION, *own, *OPTION_NAMES]


def _parameters(space: dict[str, Any], arch: Arch, where: str) -> tuple[Parameter, ...]:
    known = _searchable()
    for name in space:
        if name not in known:
            hint = did_you_mean(name, known) or f"; expected one of {', '.join(known)}"
            raise ConfigError(f"{where}.{name}", f"unknown chip parameter or compile option{hint}")
    for name in ("crossbar_rows", "crossbar_cols"):
        if CROSSBAR_SIZE in space and name in space:
            raise ConfigError(f"{where}.{name}", f"{CROSSBAR_SIZE} sets it already: give one of them")
    return tuple(_parameter(name, value, arch, f"{where}.{name}") for name, value in sorted(space.items()))


def _parameter(name: str, value: object, arch: Arch, where: str) -> Parameter:
    own = own_value(arch, name)
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
    if (count := (high - low) // limits.step + 1) > _MOST_VALUES:
        raise ConfigError(where, f"expected at most {_MOST_VALUES:,} values, found {count:,}: raise step or lower high")
    return IntRange(name=name, low=low, high=high - (high - low) % limits.step, step=limits.step, log=limits.log)


def _choice(name: str, values: list[object], own: Scalar, where: str) -> Choice:
    kind = type(own)
    checked: list[Scalar] = []
    for position, value in enumerate(values):
        if isinstance(value, str) and (name == PRECISION or (name == "adc_bits" and value == AUTO)):
            checked.append(value)
            continue
        if not isinstance(value, (int, float, bool, str)) or not (
            type(value) is kind or (kind is float and type(value) is int)
        ):
            raise ConfigError(f"{where}[{position}]", f"expected a value like {own!r}, found {found_text(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{where}[{position}]", f"expected a finite number, found {value}")
        if isinstance(value, str) and name in WORDS:
            check_name(f"{where}[{position}]", value, WORDS[name])
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
