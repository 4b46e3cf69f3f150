"""What a sweep searches: parameters of the chip, solvers, pipelines, objectives and limits."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

from pimcomp.frontend.model_index import network_name
from pimcomp.ir.arch import Arch
from pimcomp.ir.brief import brief
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.precision import Precision
from pimcomp.ir.schedule_options import ScheduleOptions
from spaces.metrics import OF_THE_CHIP

Scalar = int | float | bool | str
CROSSBAR_SIZE = "crossbar_size"
CHIP = "chip"
PRECISION = "precision"
AUTO = "auto"  # adc_bits: as many as are needed
OPTIONS = ScheduleOptions()
OPTION_NAMES: tuple[str, ...] = tuple(f.name for f in fields(ScheduleOptions))


class Fidelity(StrEnum):
    """How a candidate's figures came about: closed forms of its plan, the timeline of its program, or the same of a
    program that was executed, too."""

    COST = "cost"
    TIMELINE = "timeline"
    EXECUTED = "executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network of a sweep: a shipped name or a file, and where its weights come from (None: the model)."""

    model: str
    weights: str | None = None

    @property
    def label(self) -> str:
        """Short name for tables and objectives."""
        return network_name(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntRange:
    """Integers low, low + step, ... up to high; `log`: sampled uniformly in the logarithm (step 1)."""

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def values(self) -> tuple[int, ...]:
        """Every value of the range."""
        return tuple(range(self.low, self.high + 1, self.step))

    def nearest(self, value: Scalar) -> Scalar:
        """The value of the range closest to `value`."""
        return min(self.values, key=lambda v: abs(v - float(value)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRange:
    """Real numbers in [low, high]; `log`: sampled uniformly in the logarithm."""

    name: str
    low: float
    high: float
    log: bool = False

    @property
    def values(self) -> None:
        """None: a continuous range cannot be enumerated."""
        return

    def nearest(self, value: Scalar) -> Scalar:
        """`value` clipped to the range."""
        return min(max(float(value), self.low), self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the listed values."""

    name: str
    values: tuple[Scalar, ...]

    def nearest(self, value: Scalar) -> Scalar:
        """The listed value closest to `value` (the first one for texts that are not listed)."""
        if value in self.values:
            return value
        if isinstance(value, str) or any(isinstance(v, str) for v in self.values):
            return self.values[0]
        return min(self.values, key=lambda v: abs(float(v) - float(value)))


Parameter = IntRange | FloatRange | Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A hard limit on a metric; None is unlimited."""

    metric: str
    low: float | None = None
    high: float | None = None

    def excess(self, value: float) -> float:
        """By how much `value` breaks the limit, relative to it; <= 0 when it keeps it (or is not known: NaN)."""
        if math.isnan(value):
            return -math.inf
        over = -math.inf if self.high is None else (value - self.high) / (abs(self.high) or 1.0)
        under = -math.inf if self.low is None else (self.low - value) / (abs(self.low) or 1.0)
        return max(over, under)

    def __str__(self) -> str:
        """The limit as people write it."""
        parts = [f">= {self.low:g}"] if self.low is not None else []
        parts += [f"<= {self.high:g}"] if self.high is not None else []
        return f"{self.metric} {' and '.join(parts)}"


Parameters = tuple[tuple[str, Scalar], ...]  # values of a space's parameters, sorted by name
PrecisionFile = tuple[str, tuple[tuple[str, Precision], ...]]  # and the bits that it gives layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate: values of the space's parameters (sorted by name), a solver and a pipeline."""

    parameters: Parameters
    solver: str
    pipeline: Pipeline

    def as_dict(self) -> dict[str, Scalar]:
        """Parameter name to value, solver and pipeline included: the shape in which points are stored and cached."""
        return {**dict(self.parameters), "solver": self.solver, "pipeline": str(self.pipeline)}


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A checked `sweep:` section: what to evaluate, how often, what counts as better. `file` only names its origin.

    arch: the chip that the search starts from; other_chips: more to start from, chosen by a parameter `chip`.
    segments: whether networks larger than a chip run on it in segments.
    precisions: what the files say that a parameter `precision` lists.
    combine: how the figures of several networks become one ("worst", "mean"). fidelity: what the search looks at; at
    COST the front is timed, with at most `timed` timelines, and a space of up to `enumerate` points is judged
    completely, and `trials` of them are kept. lag: a proposal knows all verdicts but those on the last lag - 1 distinct
    ones before it.
    """

    name: str
    file: str
    arch: Arch
    networks: tuple[Network, ...]
    parameters: tuple[Parameter, ...]
    solvers: tuple[str, ...]
    pipelines: tuple[Pipeline, ...]
    objectives: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    other_chips: tuple[Arch, ...] = ()
    segments: bool = False
    precisions: tuple[PrecisionFile, ...] = ()
    combine: str = "worst"
    fidelity: Fidelity = Fidelity.TIMELINE
    timed: int = 40
    trials: int = 24
    enumerate: int = 200_000
    jobs: int = 1
    sampler: str = "tpe"
    lag: int = 16
    seed: int = 0
    time_limit_s: float | None = None

    @property
    def model(self) -> str:
        """The networks' names, for titles."""
        return " + ".join(n.label for n in self.networks)

    def judges(self, name: str) -> bool:
        """Whether an objective or limit is on that metric."""
        asked = (*self.objectives, *(limit.metric for limit in self.limits))
        return any(wanted.partition("@")[0] == name for wanted in asked)

    @property
    def size(self) -> int | None:
        """Number of points of the space; None when a parameter is continuous."""
        counts = [len(self.solvers), len(self.pipelines)]
        for parameter in self.parameters:
            if parameter.values is None:
                return None
            counts.append(len(parameter.values))
        return math.prod(counts)

    @property
    def complete(self) -> bool:
        """Whether every point is judged, so that no sampler chooses."""
        return self.fidelity is Fidelity.COST and self.size is not None and self.size <= self.enumerate

    @property
    def budget(self) -> int:
        """Distinct candidates to judge: no more than there are."""
        return self.trials if self.size is None else min(self.trials, self.size)

    @property
    def axes(self) -> tuple[tuple[str, tuple[Scalar, ...]], ...]:
        """Names and values of the dimensions of an enumerable space, those that change slowest first, solver and
        pipeline at the end."""
        ordered = sorted(self.parameters, key=lambda p: (p.name not in _SHAPES, p.name not in _CORES, p.name))
        parameters = tuple((p.name, p.values or ()) for p in ordered)
        return (*parameters, ("solver", self.solvers), ("pipeline", tuple(map(str, self.pipelines))))

    def points(self) -> Iterator[Point]:
        """Every point of an enumerable space, in the order of its axes: those with most in common follow each other."""
        axes = [[(name, value) for value in values] for name, values in self.axes[:-2]]
        for values in itertools.product(*axes):
            parameters = tuple(sorted(values))
            for solver, pipeline in itertools.product(self.solvers, self.pipelines):
                yield Point(parameters=parameters, solver=solver, pipeline=pipeline)

    def anchors(self) -> tuple[Point, ...]:
        """The published chips (or the points of the space nearest to them) with every solver and pipeline."""
        return tuple(
            Point(parameters=self.nearest(chip), solver=s, pipeline=p)
            for chip in (self.arch, *self.other_chips)
            for p in self.pipelines
            for s in self.solvers
        )

    def corners(self) -> tuple[Point, ...]:
        """The smallest and the largest chip of the space, otherwise as published: the ends of a front over size."""
        ends = []
        for end in (min, max):
            values = dict(self.nearest(self.arch))
            for parameter in self.parameters:
                if parameter.name in _SIZES:
                    values[parameter.name] = end(_ends(parameter))
            ends.append(tuple(sorted(values.items())))
        return tuple(Point(parameters=v, solver=self.solvers[0], pipeline=p) for v in ends for p in self.pipelines)

    def nearest(self, chip: Arch) -> tuple[tuple[str, Scalar], ...]:
        """The parameters of the point closest to a chip with the default compile options."""
        return tuple(sorted((p.name, p.nearest(own_value(chip, p.name))) for p in self.parameters))


_SIZES = ("cores", "chips", "crossbars_per_core")
# What partitions depend on, and plans: the slowest to change in an enumeration.
_CROSSBARS = (CROSSBAR_SIZE, "crossbar_rows", "crossbar_cols", "cell_bits", "weight_bits", "crossbars_per_core")
_SHAPES = (CHIP, PRECISION, *_CROSSBARS)
_CORES = ("cores", "chips")


def _ends(parameter: Parameter) -> tuple[float, float]:
    if isinstance(parameter, Choice):
        numbers = [v for v in parameter.values if isinstance(v, (int, float))]
        return min(numbers), max(numbers)
    return parameter.low, parameter.high


def own_value(arch: Arch, name: str) -> Scalar:
    """A chip's own value of a parameter of a space, or the default of a compile option."""
    if name == CHIP:
        return arch.name
    value: Scalar = getattr(OPTIONS, name) if name in OPTION_NAMES else getattr(arch, _FIELD.get(name, name))
    return value


_FIELD = {CROSSBAR_SIZE: "crossbar_rows", PRECISION: "weight_bits"}


def each_network(objectives: tuple[str, ...], networks: tuple[Network, ...]) -> tuple[str, ...]:
    """Objectives per network (`NAME@NETWORK`), where a figure differs between networks."""
    per_network = [[o] if o in OF_THE_CHIP else [f"{o}@{n.label}" for n in networks] for o in objectives]
    return tuple(name for names in per_network for name in names)
