"""Options of solvers: fields of their dataclasses, each with what it means; and the text that sets them.

A solver with options is written NAME:OPTION=VALUE:OPTION=VALUE; a comma separates as well as a colon.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import Field, field, fields
from typing import TypeVar

from pimcomp.errors import ConfigError, check_name, did_you_mean

OptionValue = int | float | bool | str
MAX_OPTION = 1e9  # far beyond what is of any use to any of them
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
T = TypeVar("T", bound=OptionValue)


def setting(default: T, meaning: str, choices: tuple[str, ...] = ()) -> T:
    """A field of a solver's dataclass that a user may set; `meaning` is what `pimdse solvers NAME` says of it.

    choices: of a text, the ones there are, if not any will do.
    """
    found: T = field(default=default, metadata={"meaning": meaning, "choices": choices})
    return found


def options_of(cls: type) -> dict[str, "Field[OptionValue]"]:
    """The options of a solver's class, in their order."""
    return {f.name: f for f in fields(cls) if f.init}


def kind_of(found: "Field[OptionValue]") -> str:
    """What an option takes, in words."""
    choices: tuple[str, ...] = found.metadata.get("choices", ())
    return f"one of {', '.join(choices)}" if choices else _KINDS[type(found.default)]


def split_spec(text: str) -> tuple[str, list[str]]:
    """(name, ["OPTION=VALUE", ...]) of a solver with options."""
    name, *settings = (part.strip() for part in re.split("[:,]", text))
    return name, settings


def split_list(text: str) -> Iterator[str]:
    """The solvers of a list with commas: a part like OPTION=VALUE belongs to the solver in front of it."""
    return joined(part for part in text.split(",") if part.strip())


def joined(parts: Iterable[str]) -> Iterator[str]:
    """Parts of a list, with every OPTION=VALUE put behind the solver in front of it."""
    specs: list[str] = []
    for part in parts:
        if specs and re.match(r"\s*\w+\s*=", part):
            specs[-1] += f":{part.strip()}"
        else:
            specs.append(part.strip())
    return iter(specs)


def read_options(name: str, cls: type, settings: Iterable[str]) -> dict[str, OptionValue]:
    """The values of OPTION=VALUE texts. Raises ConfigError for an unknown option or a value of the wrong kind."""
    known = options_of(cls)
    values: dict[str, OptionValue] = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        where = f"solver.{name}.{key}"
        check_option(name, cls, key)
        if key in values:
            raise ConfigError(where, "expected every option once, found it twice")
        if not equals:
            raise ConfigError(where, f"expected a value; {_syntax(name, known)}")
        values[key] = _value(where, text, known[key], _syntax(name, known))
    return values


def check_option(name: str, cls: type, key: str) -> None:
    """Raise ConfigError unless the solver has the option."""
    known = options_of(cls)
    if key not in known:
        what = f"known: {', '.join(sorted(known))}{did_you_mean(key, known)}" if known else f"{name} has none"
        raise ConfigError(f"solver.{name}.{key}", f"unknown option; {what}")


def _syntax(name: str, known: dict[str, "Field[OptionValue]"]) -> str:
    words = (f"{f.name}={str(f.default).lower()}" for f in list(known.values())[:2])
    return f"options are written as in {':'.join((name, *words))}"


def _value(where: str, text: str, found: "Field[OptionValue]", syntax: str) -> OptionValue:
    """The text as a value of the default's kind. Raises ConfigError if it is none."""
    kind = type(found.default)
    if choices := found.metadata.get("choices", ()):
        check_name(where, text, choices)
    error = ConfigError(where, f"expected {_KINDS[kind]}, found {text!r}; {syntax}")
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise error
        return text.lower() == "true"
    try:
        value: OptionValue = {int: int, float: float}.get(kind, str)(text)
    except ValueError:
        raise error from None
    if isinstance(value, (int, float)) and not 0 <= value <= MAX_OPTION:  # NaN is not
        raise ConfigError(where, f"expected {_KINDS[kind]} from 0 to {MAX_OPTION:g}, found {text!r}")
    return value
