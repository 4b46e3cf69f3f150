"""Numbers for people: 1234567 ns is 1.23 ms."""

_TIME = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))
_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ"), (1.0, "pJ"))
_POWER = ((1e3, "W"), (1.0, "mW"), (1e-3, "uW"))


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    for factor, unit in units:
        if abs(value) >= factor:
            return (
                f"{value / factor:.3g} {unit}".rstrip()
                if abs(value / factor) < 1000
                else f"{value / factor:.0f} {unit}"
            )
    factor, unit = units[-1]
    return f"{value / factor:.3g} {unit}"


def time_text(ns: float) -> str:
    """A duration."""
    return _scaled(ns, _TIME)


def energy_text(pj: float) -> str:
    """An energy."""
    return _scaled(pj, _ENERGY)


def power_text(mw: float) -> str:
    """A power."""
    return _scaled(mw, _POWER)


def rate_text(per_s: float) -> str:
    """Images per second."""
    return f"{per_s:,.0f} images/s" if per_s >= 100 else f"{per_s:.3g} images/s"


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
