"""What the trials of a sweep say: the front, its knee, what did not work and why, and how the search got there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pimcomp.ir.brief import brief
from pimcomp.plan.pareto import FloatMatrix, knee, non_dominated
from spaces.candidate import Candidate, Trial, Verdict, objective_costs
from spaces.certificate import Certificate, certify
from spaces.hypervolume import history
from spaces.metrics import metric
from spaces.proof import Proof
from spaces.search.study import Enumeration, Stored, best_known
from spaces.space import Fidelity, Scalar, Sweep
from spaces.whole_space import WholeSpace


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Findings:
    """The distinct trials of a sweep, sorted out.

    trials: each at the highest fidelity there is; searched: as the search saw them. front: timed trials that nothing
    dominates in the objectives, by the first objective. knee: the balanced one, None without a front. published: trial
    of the chip as published that is best in the first objective, if one was timed. reasons: (what was short or wrong,
    how often, an example), most frequent first. hypervolume: after each distinct trial, in the figures the search looks
    at, as a share of the box between the best and (1.1 times) the worst value of each objective. proofs: by number and
    network. enumeration, whole, certificate: of a space that was judged completely, else None.
    """

    sweep: Sweep
    content: dict[str, str]
    trials: tuple[Trial, ...]
    searched: tuple[Trial, ...]
    duplicates: int
    front: tuple[Trial, ...]
    knee: Trial | None
    published: Trial | None
    reasons: tuple[tuple[str, int, str], ...]
    hypervolume: tuple[float, ...]
    proofs: dict[tuple[int, str], Proof]
    enumeration: Enumeration | None
    whole: WholeSpace | None
    certificate: Certificate | None

    @property
    def feasible(self) -> tuple[Trial, ...]:
        """Trials with figures that keep all limits."""
        return tuple(t for t in self.trials if t.candidate.feasible)

    @property
    def timed(self) -> tuple[Trial, ...]:
        """Feasible trials whose figures are those of a program."""
        return tuple(t for t in self.feasible if t.candidate.fidelity is Fidelity.TIMELINE)

    @property
    def comparable(self) -> tuple[Candidate, ...]:
        """Feasible candidates with the figures that the search saw, all of its fidelity."""
        seen = [t.candidate for t in self.searched if t.candidate.feasible]
        return tuple(c for c in seen if c.fidelity is Fidelity(self.sweep.fidelity))

    @property
    def skipped(self) -> tuple[Trial, ...]:
        """Trials that were proven not to be worth an evaluation."""
        return tuple(t for t in self.trials if t.candidate.verdict is Verdict.SKIPPED)

    @property
    def errors(self) -> tuple[Trial, ...]:
        """Trials that ended in a defect."""
        return tuple(t for t in self.trials if t.candidate.verdict is Verdict.ERROR)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials there are of each kind, as manifest.yaml and --json have them."""
        kinds = ("feasible", "errors", "skipped", "timed")
        counted = {kind: len(getattr(self, kind)) for kind in kinds}
        return {"distinct": len(self.trials), **counted, "duplicates": self.duplicates}

    @property
    def reason_rows(self) -> list[dict[str, object]]:
        """The reasons by name."""
        return [{"resource": resource, "count": n, "example": text} for resource, n, text in self.reasons]

    def best(self, name: str, among: tuple[Trial, ...] | None = None) -> Trial | None:
        """The timed trial best in a metric; ties by the lower trial number."""
        sign = -1.0 if metric(name).maximize else 1.0
        trials = self.timed if among is None else among
        return min(trials, key=lambda t: (sign * t.candidate.value(name), t.number), default=None)


def find(stored: Stored) -> Findings:
    """Sort out a stored sweep."""
    return sort_out(
        stored.sweep,
        stored.trials,
        stored.timed,
        content=stored.content,
        proofs=stored.proofs,
        enumeration=stored.enumeration,
        whole=stored.whole,
    )


def sort_out(
    sweep: Sweep,
    all_trials: tuple[Trial, ...],
    timed: tuple[Candidate, ...] = (),
    *,
    content: dict[str, str] | None = None,
    proofs: dict[tuple[int, str], Proof] | None = None,
    enumeration: Enumeration | None = None,
    whole: WholeSpace | None = None,
) -> Findings:
    """Sort out the trials of a sweep, running or finished."""
    trials = best_known(all_trials, timed)
    final = [t for t in trials if t.candidate.feasible and t.candidate.fidelity is Fidelity.TIMELINE]
    front, balanced = front_and_knee(sweep, final)
    own = sweep.anchors()[0].parameters
    published = [t for t in final if t.candidate.point.parameters == own]
    return Findings(
        sweep=sweep,
        content=content or {},
        trials=trials,
        searched=best_known(all_trials, ()),
        duplicates=len(all_trials) - len(trials),
        front=front,
        knee=balanced,
        published=min(published, key=lambda t: _cost(sweep, [t])[0, 0], default=None),
        reasons=enumeration.reasons if enumeration is not None else _reasons(trials),
        hypervolume=_progress(sweep, best_known(all_trials, ())),
        proofs=proofs or {},
        enumeration=enumeration,
        whole=whole,
        certificate=certify(whole, timed) if whole is not None else None,
    )


def front_and_knee(sweep: Sweep, trials: Sequence[Trial]) -> tuple[tuple[Trial, ...], Trial | None]:
    """Trials that none of the others dominates, by the first objective, and the balanced one of them."""
    cost = _cost(sweep, trials)
    order = sorted(np.flatnonzero(non_dominated(cost)).tolist(), key=lambda i: tuple(cost[i]))
    front = tuple(trials[i] for i in order)
    return front, front[knee(cost[order])] if front else None


def _cost(sweep: Sweep, trials: Sequence[Trial]) -> FloatMatrix:
    rows = [objective_costs(t.candidate, sweep.objectives) for t in trials]
    return np.array(rows, dtype=np.float64).reshape(-1, len(sweep.objectives))


def _reasons(trials: tuple[Trial, ...]) -> tuple[tuple[str, int, str], ...]:
    bad = [t.candidate for t in trials if not t.candidate.feasible]
    counted = Counter(c.resource for c in bad)
    example = {c.resource: c.reason for c in reversed(bad)}
    return tuple((resource, count, example[resource]) for resource, count in counted.most_common())


def _progress(sweep: Sweep, trials: tuple[Trial, ...]) -> tuple[float, ...]:
    cost = _cost(sweep, [t for t in trials if t.candidate.feasible])
    if not len(cost):
        return (0.0,) * len(trials)
    ideal, worst = cost.min(axis=0), cost.max(axis=0)
    reference = worst + 0.1 * np.abs(worst)
    box = float(np.prod(reference - ideal))
    after_feasible = iter(history(cost, reference))
    steps, last = [], 0.0
    for trial in trials:
        if trial.candidate.feasible:
            last = next(after_feasible) / box if box > 0 else 1.0
        steps.append(last)
    return tuple(steps)


def parameter_names(sweep: Sweep) -> tuple[str, ...]:
    """The parameters of the space, in table order."""
    return tuple(sorted(p.name for p in sweep.parameters))


def parameters(candidate: Candidate) -> dict[str, Scalar]:
    """The chip parameters of a candidate by name."""
    return dict(candidate.point.parameters)
