"""Numbers for people: 1234567 ns is 1.23 ms."""

_TIME = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ"), (1.0, "pJ"))
_POWER = ((1e3, "W"), (1.0, "mW"), (1e-3, "uW"))


def _scaled(value: float, units: tuple[tuple[float, str], ...], digits: int) -> str:
    """`value` in the largest unit that leaves at least 1, with so many significant digits."""
    factor, unit = next((u for u in units if abs(value) >= u[0]), units[-1])
    scaled = value / factor
    text = f"{scaled:.{digits}g}" if abs(scaled) < 10**digits else f"{scaled:.0f}"
    return f"{text} {unit}"


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
    return f"{per_s:,.0f} images/s" if per_s >= 10 ** (digits - 1) else f"{per_s:.{digits}g} images/s"


def count_text(value: int) -> str:
    """A count with thousands separators."""
    return f"{value:,}"


def share_text(part: float, whole: float) -> str:
    """A share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def size_text(size_bytes: float) -> str:
    """A size in bytes."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes:.0f} B"
