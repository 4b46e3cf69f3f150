"""Numbers for people: 1234567 ns is 1.23 ms, and back."""

import math
import re

_TIME = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ"), (1.0, "pJ"))
_POWER = ((1e3, "W"), (1.0, "mW"), (1e-3, "uW"))
_ENERGY_DELAY = ((1e21, "J s"), (1e18, "mJ s"), (1e15, "uJ s"), (1e12, "nJ s"), (1e9, "pJ s"), (1e6, "fJ s"))
_SIZE = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
# Unit of a stored figure -> (factor, unit) to show it in, largest first. Other units are shown as they are.
SCALES = {"ns": _TIME, "pJ": _ENERGY, "mW": _POWER, "pJ ns": _ENERGY_DELAY, "bytes": _SIZE}
# What people may write.
_WORDS = {
    **SCALES,
    "pJ ns": (*_ENERGY_DELAY, (1.0, "pJ ns")),
    "bytes": (*_SIZE, (1.0, "bytes")),
    "mm2": ((100.0, "cm2"), (1.0, "mm2")),
    "images/s": ((1.0, "images/s"), (1.0, "/s")),
    "% or dB": ((1.0, "%"), (1.0, "dB")),
}
_NUMBER = re.compile(r"\s*([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(\S.*?|)\s*")


def _scaled(value: float, units: tuple[tuple[float, str], ...], digits: int) -> str:
    """`value` in the largest unit that leaves at least 1, with so many significant digits."""
    factor, unit = next((u for u in units if abs(value) >= u[0]), units[-1])
    scaled = value / factor
    text = f"{scaled:.{digits}g}" if abs(scaled) < 10**digits else f"{scaled:.0f}"
    return f"{text} {unit}"


def figure_text(value: float, unit: str, digits: int = 3) -> str:
    """A figure stored in `unit`, with the unit it is best read in."""
    if unit in SCALES:
        return _scaled(value, SCALES[unit], digits)
    if unit == "% or dB":
        return f"{value:.1f}"
    return f"{value:,.0f} {unit}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g} {unit}"


def time_text(ns: float, digits: int = 3) -> str:
    """A duration."""
    return _scaled(ns, _TIME, digits)


def energy_text(pj: float, digits: int = 3) -> str:
    """An energy."""
    return _scaled(pj, _ENERGY, digits)


def power_text(mw: float, digits: int = 3) -> str:
    """A power."""
    return _scaled(mw, _POWER, digits)


def rate_text(per_s: float, digits: int = 3) -> str:
    """Images per second."""
    return figure_text(per_s, "images/s", digits)


def period_text(period_ns: float, images_per_round: int, digits: int = 3) -> str:
    """A period with the rate that it means."""
    rounds = f", {images_per_round} images per round" if images_per_round > 1 else ""
    rate = rate_text(1e9 / period_ns if period_ns else 0.0)
    return f"{time_text(period_ns, digits)} per image{rounds}: {rate}"


def count_text(value: int) -> str:
    """A count with thousands separators."""
    return f"{value:,}"


def share_text(part: float, whole: float) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def size_text(size_bytes: float) -> str:
    """A size in bytes."""
    return _scaled(size_bytes, _SIZE, 3)


def read_quantity(text: str, unit: str, *, bare: bool) -> float:
    """A number with its unit ("3 mJ", "8,000") in `unit`; bare: a number alone is meant in `unit`.

    Raises ValueError saying what is expected.
    """
    words = _WORDS.get(unit, ((1.0, unit),))
    bare = bare or all(factor == 1.0 for factor, _ in words)
    factors = {word.lower(): float(factor) for factor, word in words}
    match = _NUMBER.fullmatch(text)
    word = match[2].lower().replace("\u00b5", "u").replace("\u03bc", "u") if match else ""
    try:
        number = float(match[1].replace(",", "")) if match else math.nan
    except ValueError:
        number = math.nan
    number *= factors.get(word, 1.0)
    if not math.isfinite(number) or (word not in factors if word else not bare):
        known = ", ".join(word for _, word in words)
        raise ValueError(f"expected a number {'with or without' if bare else 'with'} a unit ({known}), found {text!r}")
    return number
