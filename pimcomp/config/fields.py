"""How a nested file maps on the flat `Arch`: every leaf field of a model names the Arch field it sets.

The YAML schema and the simulator's config.json are two such models, so reading and writing both is one walk.
"""

from collections.abc import Iterator
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from typing import Any

from pydantic import BaseModel, Field

from pimcomp.config.validation import LARGEST, submodel
from pimcomp.ir.arch import Arch

ARCH_DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclass_fields(Arch) if f.default is not MISSING}
REQUIRED = ...  # pydantic's mark of a field without default


def arch_field(
    arch: str,
    about: str,
    *,
    default: object = None,
    expected: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
) -> Any:
    """A model field that sets Arch.`arch`; without `default`, Arch's own default.

    about: meaning and unit, for the reference page. expected: words for the value when its type does not say it all.
    """
    return Field(
        default=ARCH_DEFAULTS[arch] if default is None else default,
        description=about,
        json_schema_extra={"arch": arch, "expected": expected},
        ge=ge,
        gt=gt,
        le=LARGEST if le is None and (ge is not None or gt is not None) else le,
    )


def arch_name(model: type[BaseModel], field: str) -> str:
    """The Arch field that a model's field sets; empty when it sets none."""
    extra = model.model_fields[field].json_schema_extra
    return str(extra.get("arch", "")) if isinstance(extra, dict) else ""


def arch_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(Arch field, dotted path of its key) of every leaf field."""
    for name, field in model.model_fields.items():
        if inner := submodel(field.annotation):
            yield from arch_keys(inner, f"{prefix}{name}.")
        elif arch := arch_name(model, name):
            yield arch, prefix + name


def flatten(model: BaseModel) -> dict[str, Any]:
    """Values of all leaf fields by Arch field name."""
    values: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            values |= flatten(value)
        elif arch := arch_name(type(model), name):
            values[arch] = value
    return values


def nest(model: type[BaseModel], arch: Arch) -> dict[str, Any]:
    """The inverse of `flatten`: the values of `arch` under the nested keys of `model`, in model order."""
    nested: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if inner := submodel(field.annotation):
            nested[name] = nest(inner, arch)
        elif arch_field_name := arch_name(model, name):
            nested[name] = getattr(arch, arch_field_name)
    return nested
