"""The figures a candidate is judged by: one list for objectives, limits, tables and plots."""

from dataclasses import asdict, dataclass, fields


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
)


def metric(name: str) -> Metric:
    """The metric of that name. Raises KeyError."""
    for candidate in METRICS:
        if candidate.name == name:
            return candidate
    raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one evaluated candidate, per image.

    latency_ns: from the first input byte of an image to its last output byte. period_ns: steady state, per image.
    energy_pj and avg_power_mw: dynamic and static of one pass. area_mm2: 0 where the chip's description has no area.
    bound_ns, gap: proven lower bound of the latency of any program on the chip, and 1 - bound / latency_ns.
    time_limited: a wall-clock limit changed the plan, so that the point may not come out the same again.
    """

    latency_ns: float
    period_ns: float
    throughput_per_s: float
    energy_pj: float
    avg_power_mw: float
    crossbars: int
    crossbars_used: int
    area_mm2: float
    edp_pj_ns: float
    bound_ns: float | None = None
    gap: float | None = None
    solver_status: str = ""
    time_limited: bool = False
    instructions: int = 0
    cores_used: int = 0
    images_per_round: int = 1
    local_peak_bytes: int = 0

    def value(self, name: str) -> float:
        """The figure of a metric name."""
        return float(getattr(self, metric(name).name))

    def as_dict(self) -> dict[str, float | int | str | bool | None]:
        """Field name to value, in field order."""
        return asdict(self)


METRIC_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Metrics))
