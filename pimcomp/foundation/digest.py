"""A digest of values: equal content, equal text."""

import dataclasses
import hashlib
from typing import Any

import numpy as np


def digest(value: object) -> str:
    """SHA-256 over a frozen dataclass, its tuples and arrays included."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: object) -> None:
    if isinstance(value, np.ndarray):
        state.update(f"{value.dtype.str}{value.shape}".encode())
        state.update(np.ascontiguousarray(value).data)
    elif isinstance(value, tuple):
        state.update(f"({len(value)}".encode())
        for item in value:
            _feed(state, item)
    elif dataclasses.is_dataclass(value):
        state.update(type(value).__name__.encode())
        for field in dataclasses.fields(value):
            if field.metadata.get("digest", True):
                _feed(state, getattr(value, field.name))
    else:
        state.update(f"{value!r};".encode())
