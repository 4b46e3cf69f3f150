"""The figures a candidate is judged by: one list for objectives, limits, tables and plots."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import geometric_mean

from pimcomp.ir.arch import Arch
from pimcomp.ir.report import Bounds


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: name (a field of `Metrics`), title, heading of narrow columns, unit, whether more is better."""

    name: str
    title: str
    short: str
    unit: str
    maximize: bool = False


METRICS: tuple[Metric, ...] = (
    Metric("latency_ns", "latency of one image", "latency", "ns"),
    Metric("period_ns", "time per image in steady state", "period", "ns"),
    Metric("throughput_per_s", "throughput", "throughput", "images/s", maximize=True),
    Metric("crossbars", "crossbars of the chip", "crossbars", "crossbars"),
    Metric("crossbars_used", "crossbars the plan occupies", "used", "crossbars"),
    Metric("energy_pj", "energy per image", "energy", "pJ"),
    Metric("avg_power_mw", "average power", "power", "mW"),
    Metric("area_mm2", "area", "area", "mm2"),
    Metric("edp_pj_ns", "energy times latency", "EDP", "pJ ns"),
    Metric("accuracy", "accuracy (top-1 in %, or dB)", "accuracy", "% or dB", maximize=True),
    Metric("local_peak_bytes", "local memory of the fullest core", "memory", "bytes"),
)
# Words people use for a metric.
ALIASES = {"edp": "edp_pj_ns", "local_memory_bytes": "local_peak_bytes", "area": "area_mm2"}
# Only programs have it: a limit, but nothing to search by.
LIMITS_ONLY = ("local_peak_bytes",)
# Takes an execution of the network: known where an objective or limit asks for it.
ACCURACY = "accuracy"
# The same for every network on a chip.
OF_THE_CHIP = ("crossbars", "area_mm2")


def metric(name: str) -> Metric:
    """The metric of that name; `NAME@NETWORK` is the metric NAME of one of several networks. Raises KeyError."""
    base, _, network = name.partition("@")
    for candidate in METRICS:
        if candidate.name == base:
            if not network:
                return candidate
            return replace(
                candidate,
                name=name,
                title=f"{candidate.title}, {network}",
                short=f"{candidate.short} {network}",
            )
    raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one evaluated candidate, per image.

    latency_ns: from the first input byte of an image to its last output byte. period_ns: steady state, per image.
    energy_pj and avg_power_mw: dynamic and static of one pass. area_mm2: by models alone where the chip has none.
    bound_ns, gap: proven lower bound of the latency of any program on the chip, and 1 - bound / latency_ns.
    bound_period_ns, gap_period: the same for the period. accuracy: in percent, of networks without labels in dB; None
    where nobody asked. instructions_per_round, local_peak_bytes: None where there is
    no program (cost fidelity).
    segments, reload_ns: programs that follow each other where the chip is too small, and the time of writing crossbars
    between them for one image, which the times contain; 1 and 0 for a program that stays.
    time_limited: a wall-clock limit changed the plan, so that the point may not come out the same again.
    """

    # In JSON: no figure of another version, and infinity as such.
    __pydantic_config__ = {"extra": "forbid", "ser_json_inf_nan": "constants"}  # noqa: RUF012  not a field

    latency_ns: float
    period_ns: float
    throughput_per_s: float
    energy_pj: float
    avg_power_mw: float
    crossbars: int
    crossbars_used: int
    area_mm2: float
    edp_pj_ns: float
    accuracy: float | None = None
    bound_ns: float | None = None
    bound_period_ns: float | None = None
    gap: float | None = None
    gap_period: float | None = None
    solver_status: str = ""
    time_limited: bool = False
    instructions_per_round: int | None = None
    cores_used: int = 0
    images_per_round: int = 1
    local_peak_bytes: int | None = None
    segments: int = 1
    reload_ns: float = 0.0

    def value(self, name: str) -> float:
        """The figure of a metric name; NaN where it is not known."""
        figure = getattr(self, metric(name).name)
        return math.nan if figure is None else float(figure)

    def as_dict(self) -> dict[str, float | int | str | bool | None]:
        """Field name to value, in field order."""
        return asdict(self)


def metrics_on(
    arch: Arch, bound: Bounds, *, latency_ns: float, period_ns: float, energy_pj: float, images: int = 1, used: int = 0
) -> Metrics:
    """The figures that follow from a chip, bounds, times, energy of an image, and how many a round computes.

    used: crossbars that the plan occupies.
    """
    return Metrics(
        latency_ns=latency_ns,
        period_ns=period_ns,
        throughput_per_s=1e9 / period_ns,
        energy_pj=energy_pj,
        avg_power_mw=energy_pj * images / latency_ns,
        crossbars=arch.crossbars,
        crossbars_used=used,
        area_mm2=arch.area_mm2,
        edp_pj_ns=energy_pj * latency_ns,
        bound_ns=bound.latency_ns,
        bound_period_ns=bound.period_ns,
        gap=1.0 - bound.latency_ns / latency_ns,
        gap_period=1.0 - bound.period_ns / period_ns,
        images_per_round=images,
    )


METRIC_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Metrics))


def combine(parts: Sequence[Metrics], how: str) -> Metrics:
    """One set of figures for several networks on the same chip.

    how: "worst" takes every figure's worst, "mean" the geometric mean, which no network dominates by being larger.
    Bounds combine like the figures they bound, so that they stay bounds.
    """
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        **{name: _figure(name, parts, how) for name in _COMBINED},  # type: ignore[arg-type]
        gap=max((p.gap for p in parts if p.gap is not None), default=None),
        gap_period=max((p.gap_period for p in parts if p.gap_period is not None), default=None),
        solver_status=max((p.solver_status for p in parts), key=lambda s: (s != "optimal", s)),
        time_limited=any(p.time_limited for p in parts),
        instructions_per_round=_total([p.instructions_per_round for p in parts]),
        cores_used=max(p.cores_used for p in parts),
        images_per_round=max(p.images_per_round for p in parts),
        local_peak_bytes=max((p.local_peak_bytes for p in parts if p.local_peak_bytes is not None), default=None),
        segments=max(p.segments for p in parts),
        reload_ns=max(p.reload_ns for p in parts),
    )


_COMBINED = (
    *("latency_ns", "period_ns", "throughput_per_s", "energy_pj", "avg_power_mw", "crossbars_used", "edp_pj_ns"),
    *("bound_ns", "bound_period_ns", "accuracy"),
)


_MAXIMIZED = {m.name for m in METRICS if m.maximize}


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _figure(name: str, parts: Sequence[Metrics], how: str) -> float | int | None:
    values = [getattr(p, name) for p in parts]
    if any(v is None for v in values):
        return None
    if how == "mean" and all(v > 0 for v in values):
        mean = geometric_mean(values)
        return round(mean) if name == "crossbars_used" else mean
    worst: Callable[..., float | int] = min if name in _MAXIMIZED else max
    return worst(values)
