"""What the evaluation of one point says, in a form that survives JSON: figures, or the reason why there are none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from pimcomp.ir.plan import Pipeline
from spaces.metrics import METRIC_FIELDS, Metrics
from spaces.space import Limit, Point, Sweep


class Verdict(StrEnum):
    """feasible: all figures, all limits kept. infeasible: no chip, does not fit, or breaks a limit. error: a defect."""

    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A point and its verdict.

    metrics: set for feasible points and for those that only break a limit. excess: how far from feasible, relative to
    the supply or limit (0 when feasible). resource: what was short (a key to count reasons by); reason: the full text.
    crossbars: of the chip, None if it is no chip.
    """

    point: Point
    verdict: Verdict
    metrics: Metrics | None = None
    crossbars: int | None = None
    resource: str = ""
    reason: str = ""
    excess: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether it can be on a front."""
        return self.verdict is Verdict.FEASIBLE

    def to_json(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {
            "point": self.point.as_dict(),
            "verdict": str(self.verdict),
            "metrics": self.metrics.as_dict() if self.metrics else None,
            "crossbars": self.crossbars,
            "resource": self.resource,
            "reason": self.reason,
            "excess": self.excess,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Candidate":
        """The inverse of `to_json`."""
        metrics = cast(dict[str, Any] | None, data["metrics"])
        return Candidate(
            point=point_from_json(data["point"]),
            verdict=Verdict(data["verdict"]),
            metrics=Metrics(**{k: metrics[k] for k in METRIC_FIELDS}) if metrics else None,
            crossbars=data["crossbars"],
            resource=data["resource"],
            reason=data["reason"],
            excess=data["excess"],
        )


def point_from_json(data: Mapping[str, Any]) -> Point:
    """The inverse of `Point.as_dict`."""
    parameters = tuple(sorted((k, v) for k, v in data.items() if k not in ("solver", "pipeline")))
    return Point(parameters=parameters, solver=data["solver"], pipeline=Pipeline(data["pipeline"]))


def judge(candidate: Candidate, limits: tuple[Limit, ...]) -> Candidate:
    """`candidate`, infeasible if its figures break a limit (the figures stay)."""
    if candidate.metrics is None or not candidate.feasible:
        return candidate
    broken = [(limit.excess(candidate.metrics.value(limit.metric)), limit) for limit in limits]
    broken = [(excess, limit) for excess, limit in broken if excess > 0]
    if not broken:
        return candidate
    text = "; ".join(
        f"{limit.metric} = {candidate.metrics.value(limit.metric):g} breaks {limit}" for _, limit in broken
    )
    return replace(
        candidate,
        verdict=Verdict.INFEASIBLE,
        resource=f"limit: {broken[0][1]}",
        reason=text,
        excess=sum(excess for excess, _ in broken),
    )


Evaluate = Callable[[Point], Candidate]
"""Judges a point. Never raises for a point that is merely bad."""

MakeEvaluator = Callable[[Sweep], Evaluate]
"""Prepares the judge of a sweep (loads its network); a module-level function, so that worker processes can call it."""
