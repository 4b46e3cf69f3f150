"""What a sweep searches: parameters of the chip, solvers, pipelines, objectives and limits."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline

Scalar = int | float | bool | str
CROSSBAR_SIZE = "crossbar_size"


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
        """By how much `value` breaks the limit, relative to it; <= 0 when it keeps it."""
        over = -math.inf if self.high is None else (value - self.high) / (abs(self.high) or 1.0)
        under = -math.inf if self.low is None else (self.low - value) / (abs(self.low) or 1.0)
        return max(over, under)

    def __str__(self) -> str:
        """The limit as people write it."""
        parts = [f">= {self.low:g}"] if self.low is not None else []
        parts += [f"<= {self.high:g}"] if self.high is not None else []
        return f"{self.metric} {' and '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate: values of the space's parameters (sorted by name), a solver and a pipeline."""

    parameters: tuple[tuple[str, Scalar], ...]
    solver: str
    pipeline: Pipeline

    def as_dict(self) -> dict[str, Scalar]:
        """Parameter name to value, solver and pipeline included: the shape in which points are stored and cached."""
        return {**dict(self.parameters), "solver": self.solver, "pipeline": str(self.pipeline)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A checked `sweep:` section: what to evaluate, how often, what counts as better. `file` only names its origin."""

    name: str
    file: str
    arch: Arch
    model: str
    weights: str | None
    parameters: tuple[Parameter, ...]
    solvers: tuple[str, ...]
    pipelines: tuple[Pipeline, ...]
    objectives: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    trials: int = 24
    jobs: int = 1
    sampler: str = "tpe"
    seed: int = 0
    time_limit_s: float = 5.0

    @property
    def size(self) -> int | None:
        """Number of points of the space; None when a parameter is continuous."""
        counts = [len(self.solvers), len(self.pipelines)]
        for parameter in self.parameters:
            if parameter.values is None:
                return None
            counts.append(len(parameter.values))
        return math.prod(counts)

    def points(self) -> Iterator[Point]:
        """Every point of an enumerable space, in a fixed order."""
        axes = [[(p.name, v) for v in p.values or ()] for p in sorted(self.parameters, key=lambda p: p.name)]
        for combination in itertools.product(self.solvers, self.pipelines, *axes):
            solver, pipeline, *values = combination
            yield Point(parameters=tuple(values), solver=str(solver), pipeline=Pipeline(pipeline))  # type: ignore[arg-type]

    def anchors(self) -> tuple[Point, ...]:
        """The published chip (or the point of the space nearest to it) with every solver and pipeline."""
        values = tuple(sorted((p.name, p.nearest(arch_value(self.arch, p.name))) for p in self.parameters))
        return tuple(Point(parameters=values, solver=s, pipeline=p) for p in self.pipelines for s in self.solvers)


def arch_value(arch: Arch, name: str) -> Scalar:
    """The chip's own value of a parameter of a space."""
    value: Scalar = getattr(arch, "crossbar_rows" if name == CROSSBAR_SIZE else name)
    return value


def with_options(
    sweep: Sweep, *, trials: int | None, jobs: int | None, seed: int | None, model: str | None = None
) -> Sweep:
    """`sweep` with the given options of the command line in place of the file's."""
    return replace(
        sweep,
        trials=sweep.trials if trials is None else trials,
        jobs=sweep.jobs if jobs is None else jobs,
        seed=sweep.seed if seed is None else seed,
        model=sweep.model if model is None else model,
    )
