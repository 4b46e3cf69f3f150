"""Typed data at the edge: pydantic models whose errors say file, field, what was expected and what was found."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, Union

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from pimcomp.errors import ConfigError, close_names, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

_WORDS: dict[object, str] = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


LARGEST = 1_000_000_000  # of any number without a limit of its own: times stay within 64 bits of ps


class Section(BaseModel):
    """A group of keys in a file: unknown keys are errors, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def validate(model: type[Model], data: object, source: str) -> Model:
    """`data` as a `model`.

    source: the file, for messages. Raises ConfigError listing every wrong field.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [(tuple(e["loc"]), _message(model, dict(e))) for e in error.errors(include_url=False)]
    if len(problems) == 1:
        loc, message = problems[0]
        raise ConfigError(field_path(source, loc), message)
    lines = "".join(f"\n  {field_path('', loc)}: {message}" for loc, message in problems)
    raise ConfigError(source, f"{len(problems)} problems{lines}")


def field_path(source: str, loc: tuple[int | str, ...]) -> str:
    """`chip.yaml: crossbar.rows` from the source and a path of keys and list positions."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return f"{source}: {path}" if source and path else source or path


def expected_text(field: FieldInfo, found: object = None) -> str:
    """What a field takes, in words: "an integer >= 1". Empty when its type has no short description.

    found: a wrong value; only one that exceeds LARGEST is told of that limit.
    """
    too_large = isinstance(found, int | float) and found > LARGEST
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("expected"):
        return str(extra["expected"])
    annotation = field.annotation
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(annotation))
    limits = [
        text
        for m in field.metadata
        for text in (
            f">= {m.ge}" if isinstance(m, Ge) else "",
            f"> {m.gt}" if isinstance(m, Gt) else "",
            f"<= {m.le}" if isinstance(m, Le) and (m.le != LARGEST or too_large) else "",
            f"< {m.lt}" if isinstance(m, Lt) else "",
        )
        if text
    ]
    word = _WORDS.get(annotation, "")
    return f"{word} {' and '.join(limits)}".strip() if word else ""


def found_text(value: object) -> str:
    """A wrong value, shown with its type, cut to a readable length."""
    if value is None:
        return "nothing"
    word = {bool: "", int: "integer ", float: "number ", str: "text ", list: "list ", dict: "section "}.get(
        type(value), f"{type(value).__name__} "
    )
    shown = ("true" if value else "false") if isinstance(value, bool) else repr(value)
    return word + (shown if len(shown) <= 60 else f"{shown[:57]}...")


def submodel(annotation: object) -> type[BaseModel] | None:
    """The model inside an annotation (itself, or one arm of `X | None`), or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return next((m for a in typing.get_args(annotation) if (m := submodel(a))), None)
    return None


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """(model that owns the last key of `loc`, that key's field): None where the path leaves the models."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for depth, part in enumerate(loc):
        if owner is None:
            return None, None
        field = next((f for n, f in owner.model_fields.items() if part in (n, f.alias)), None)
        if depth < len(loc) - 1:
            owner = submodel(field.annotation) if field else None
    return owner, field


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, dotted path) of every key of a model and its sections."""
    for name, field in model.model_fields.items():
        yield name, prefix + name
        if inner := submodel(field.annotation):
            yield from _all_keys(inner, f"{prefix}{name}.")


def _unknown_key(root: type[BaseModel], owner: type[BaseModel] | None, key: str) -> str:
    """Message for a key that no field takes: close names here, then the same name in another section."""
    known = list(owner.model_fields) if owner else []
    every = dict(_all_keys(root))
    if close := close_names(key, known) or tuple(every[k] for k in close_names(key, every)):
        return f"unknown key; did you mean {close[0]!r}?"
    return f"unknown key; known here: {', '.join(known)}"


def _message(root: type[BaseModel], error: dict[str, Any]) -> str:
    """One pydantic error in the project's words."""
    loc: tuple[int | str, ...] = error["loc"]
    owner, field = _walk(root, loc)
    if error["type"] == "extra_forbidden":
        return _unknown_key(root, owner, str(loc[-1]))
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    inner = root if not loc else submodel(field.annotation) if field else None
    missing = [name for name, key in inner.model_fields.items() if key.is_required()] if inner else []
    if inner:
        optional = "; others have defaults" if len(missing) < len(inner.model_fields) else ""
        expected = f"the keys {', '.join(missing or inner.model_fields)}{optional if missing else ''}"
    else:
        expected = expected_text(field, error["input"]) if field else ""
    if error["type"] == "missing":
        return f"missing: expected {expected}" if expected else "missing"
    if not expected:
        return f"{error['msg']}, found {found_text(error['input'])}"
    found = error["input"]
    words = typing.get_args(field.annotation) if field and typing.get_origin(field.annotation) is Literal else ()
    hint = did_you_mean(found, words) if isinstance(found, str) else ""
    return f"expected {expected}, found {found_text(found)}{hint}"
