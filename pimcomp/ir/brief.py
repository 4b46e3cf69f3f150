"""A repr that fits on a screen, for dataclasses that hold arrays, graphs or long lists."""

import dataclasses
import reprlib
from enum import Enum
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)

_FEW = 4  # items of a list that are shown
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def brief(cls: Class) -> Class:
    """Class decorator, above @dataclass: repr() gives each field in a few words.

    Arrays are shown by type and shape, dataclasses inside by class and name, lists by their length; fields that have
    their default are left out.
    """
    setattr(cls, "__repr__", _brief_repr)  # noqa: B010  the type checker forbids the assignment
    return cls


def _brief_repr(self: Any) -> str:
    shown = ((f, getattr(self, f.name)) for f in dataclasses.fields(self) if f.repr)
    parts = [f"{f.name}={_in_short(value)}" for f, value in shown if not (_plain(value) and value == f.default)]
    return f"{type(self).__name__}({', '.join(parts)})"


def _in_short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (tuple, list, dict)):
        items = value.values() if isinstance(value, dict) else value
        few = len(value) <= _FEW and all(map(_plain, items))
        return _SHORT.repr(value) if few else f"<{len(value)} item{'s' * (len(value) != 1)}>"
    if dataclasses.is_dataclass(value):
        name = getattr(value, "name", None)
        return f"<{type(value).__name__}{f' {name}' if isinstance(name, str) else ''}>"
    if isinstance(value, (Enum, np.generic)):
        return str(value)
    return f"<{getattr(value, '__name__', type(value).__name__)}>" if callable(value) else _SHORT.repr(value)


def _plain(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
