"""What the evaluation of one point says: figures, or the reason why there are none. Plain data, which survives JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pimcomp.ir.brief import brief
from pimcomp.ir.plan import Pipeline
from spaces.inside import Inside
from spaces.metrics import Metrics, metric
from spaces.proof import Proof
from spaces.space import Fidelity, Limit, Point, Sweep


class Verdict(StrEnum):
    """feasible: all figures, all limits kept. infeasible: no chip, does not fit, or breaks a limit. error: a defect.
    skipped: no program for this chip can beat a candidate that was timed."""

    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    SKIPPED = "skipped"
    ERROR = "error"


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A point and its verdict.

    metrics: set for feasible points and for those that only break a limit. excess: how far from feasible, relative to
    the supply or limit (0 when feasible). resource: what was short (a key to count reasons by); reason: the full text.
    crossbars: of the chip, None if it is no chip. fidelity: where the figures come from. by_network: the figures of
    each of several networks, which `metrics` combines. inside: what its programs look like, where there are some;
    proofs: what their execution showed, where that was asked for.
    """

    point: Point
    verdict: Verdict
    fidelity: Fidelity = Fidelity.TIMELINE
    metrics: Metrics | None = None
    by_network: tuple[tuple[str, Metrics], ...] = ()
    crossbars: int | None = None
    resource: str = ""
    reason: str = ""
    excess: float = 0.0
    inside: tuple[Inside, ...] = ()
    proofs: tuple[Proof, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether it can be on a front."""
        return self.verdict is Verdict.FEASIBLE

    def value(self, name: str) -> float:
        """A figure by its name, `NAME@NETWORK` for one network. Raises ValueError for a candidate without figures."""
        base, _, network = name.partition("@")
        figures = dict(self.by_network).get(network, self.metrics) if network else self.metrics
        if figures is None:
            raise ValueError(f"{self.point} has no figures")
        return figures.value(base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A judged candidate: its number at its fidelity, the trial that has the same content and was judged in its place,
    that content, and what the sampler noted when it chose the point."""

    number: int
    candidate: Candidate
    duplicate_of: int | None = None
    content: str = field(default="", compare=False, repr=False)
    marks: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


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


def point_key(point: Point) -> str:
    """A point as text: equal points have equal keys."""
    return json.dumps(point.as_dict(), sort_keys=True)


def no_bound(point: Point) -> Candidate | None:
    """A judge without proofs."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """The judge of a sweep. None of its functions raises for a point that is merely bad.

    evaluate: figures of a point at a fidelity, or why there are none. content: what decides the figures, as text; two
    points with equal content are judged once. bound: a candidate whose figures no program of the point can beat (0 or
    infinity where nothing is proven), or an infeasible one where a limit is proven to break; None: nothing is known.
    """

    evaluate: Callable[[Point, Fidelity], Candidate]
    content: Callable[[Point], str] = point_key
    bound: Callable[[Point], Candidate | None] = no_bound


MakeEvaluator = Callable[[Sweep], Evaluator]
"""Prepares the judge of a sweep (loads its networks); a module-level function, so that worker processes can call it."""


def objective_costs(candidate: Candidate, objectives: tuple[str, ...]) -> tuple[float, ...]:
    """The objectives of a candidate that has figures, each turned so that less is better."""
    return tuple(-candidate.value(o) if metric(o).maximize else candidate.value(o) for o in objectives)
