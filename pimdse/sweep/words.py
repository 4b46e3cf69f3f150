"""What people write on a command line for metrics and limits, read."""

import math
import re

from pimcomp.errors import ConfigError, did_you_mean
from pimdse.display.units import read_quantity
from spaces.metrics import ALIASES, METRICS, metric
from spaces.space import Limit

_LIMIT = re.compile(r"\s*([\w@.\-]+)\s*(<=|>=|<|>)\s*([^<>=]+)")
_SHORT = {m.short.lower(): m.name for m in METRICS}
_COUNTS = ("crossbars", "bytes")  # units of whole numbers


def full_name(name: str, option: str) -> str:
    """The full name of a metric: `latency_ns` for `latency`. Raises ConfigError."""
    base, at, network = name.partition("@")
    words = {**_SHORT, **ALIASES, **{m.name: m.name for m in METRICS}}
    if base.lower() not in words:
        known = ", ".join(m.name for m in METRICS)
        raise ConfigError(option, f"expected one of {known}, found {name!r}{did_you_mean(base, words)}")
    return words[base.lower()] + at + network


def read_limit(word: str) -> Limit:
    """`METRIC<=NUMBER` with <=, <, >= or >; the number may have a unit, and must where the metric's name has none."""
    where, match = f"--limit {word}", _LIMIT.fullmatch(word)
    if match is None:
        raise ConfigError(where, "expected METRIC<=NUMBER (or <, >=, >), such as latency<2ms or crossbars<=8000")
    name, unit = full_name(match[1], where), metric(full_name(match[1], where)).unit
    bare = match[1] in ALIASES or match[1].partition("@")[0].lower() == name.partition("@")[0]
    try:
        number = read_quantity(match[3], unit, bare=bare)
    except ValueError as error:
        raise ConfigError(where, str(error)) from None
    if match[2] in ("<", ">"):
        number = _next(number, unit, up=match[2] == ">")
    return Limit(metric=name, high=number) if match[2].startswith("<") else Limit(metric=name, low=number)


def _next(number: float, unit: str, *, up: bool) -> float:
    """The nearest figure above or below."""
    if unit in _COUNTS:
        return math.floor(number) + 1 if up else math.ceil(number) - 1
    return math.nextafter(number, math.inf if up else -math.inf)
