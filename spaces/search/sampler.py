"""Points to try next, proposed by Optuna's samplers behind ask and tell, in memory.

A proposal depends on the sweep's seed, its own number, and what was told before it: a sweep that goes on proposes what
an uninterrupted one would have.
"""

import importlib.util
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState, create_trial

from pimcomp.errors import ConfigError
from spaces.candidate import Candidate, point_from_json
from spaces.metrics import metric
from spaces.space import Choice, FloatRange, IntRange, Parameter, Point, Sweep

# Where Optuna and its dashboard look for the constraints of a trial: a list, violated where positive.
CONSTRAINTS = "constraints"
_POPULATION = 20
# Where a proposal takes longer than most candidates: a Gaussian process inverts a matrix of its trials, an estimator of
# densities looks at every trial for each of its axes.
_DEPTHS = {"gp": 2_000, "tpe": 5_000}


def distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """The axes of the space as Optuna knows them, in the order in which they are decided."""
    axes: dict[str, BaseDistribution] = {
        "solver": CategoricalDistribution(list(sweep.solvers)),
        "pipeline": CategoricalDistribution([str(p) for p in sweep.pipelines]),
    }
    return axes | {p.name: _distribution(p) for p in sorted(sweep.parameters, key=lambda p: p.name)}


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case IntRange():
            return IntDistribution(parameter.low, parameter.high, step=parameter.step, log=parameter.log)
        case FloatRange():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Choice():
            return CategoricalDistribution(list(parameter.values))


def directions(sweep: Sweep) -> list[StudyDirection]:
    """Whether less or more is better, per objective."""
    return [StudyDirection.MAXIMIZE if metric(o).maximize else StudyDirection.MINIMIZE for o in sweep.objectives]


def objective_values(candidate: Candidate, sweep: Sweep) -> list[float]:
    """The figures of the objectives; infinitely bad where there are none."""
    if candidate.metrics is not None:
        return [candidate.value(o) for o in sweep.objectives]
    return [-np.inf if metric(o).maximize else np.inf for o in sweep.objectives]


def excess_of(candidate: Candidate) -> float:
    """The value of the constraint: positive for what can be on no front."""
    return 0.0 if candidate.feasible else max(candidate.excess, 1e-9)


class Proposer:
    """The study in memory: proposals have the numbers 0, 1, ... in the order in which they are added or asked for."""

    def __init__(self, sweep: Sweep) -> None:
        quiet()
        self._sweep, self._axes = sweep, distributions(sweep)
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, directions=directions(sweep))
        self._count = 0

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the sampler remembers besides its trials."""
        notes: Mapping[str, Any] = self._storage.get_study_system_attrs(0)
        return notes

    def remember(self, notes: Mapping[str, Any]) -> None:
        """Give back `notes` of an earlier run."""
        for name, value in notes.items():
            self._storage.set_study_system_attr(0, name, value)

    def add(self, point: Point, marks: Mapping[str, Any]) -> None:
        """A proposal that was decided before. marks: what the sampler noted with it."""
        known = create_trial(
            state=TrialState.RUNNING, params=point.as_dict(), distributions=self._axes, system_attrs=dict(marks)
        )
        self._study.add_trial(known)
        self._count += 1

    def ask(self, *, at_random: bool) -> tuple[Point, dict[str, Any]]:
        """The next proposal, and what the sampler notes with it. at_random: by chance, whatever the sampler."""
        with warnings.catch_warnings():  # of figures that are infinite, and of what Optuna calls experimental
            warnings.simplefilter("ignore")
            self._study.sampler = _sampler(self._sweep, self._count, at_random=at_random)
            self._count += 1
            trial = self._study.ask(self._axes)
        return point_from_json(trial.params), dict(self._storage.get_trial(trial.number).system_attrs)

    def tell(self, number: int, candidate: Candidate) -> None:
        """The verdict on a proposal."""
        self._storage.set_trial_system_attr(number, CONSTRAINTS, [excess_of(candidate)])
        self._storage.set_trial_state_values(number, TrialState.COMPLETE, objective_values(candidate, self._sweep))


class _Sequence(QMCSampler):
    """A quasi-random sequence read at a given place: Optuna's own position would lose the place of a killed trial."""

    def __init__(self, *, seed: int, position: int) -> None:
        super().__init__(seed=seed, scramble=True, warn_independent_sampling=False)
        self._position = position

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._position


def _sampler(sweep: Sweep, number: int, *, at_random: bool) -> BaseSampler:
    """A fresh sampler for a proposal, seeded from (seed, number)."""
    seed = int(np.random.SeedSequence([sweep.seed, number]).generate_state(1)[0])
    startup = len(sweep.anchors()) + len(sweep.corners()) + 8
    match "random" if at_random else sweep.sampler:
        case "tpe":
            # All axes at once: half the time of one after the other, and better fronts (docs/sweep.md).
            return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=_POPULATION)
        case "nsga3":
            return NSGAIIISampler(seed=seed, population_size=_POPULATION)
        case "qmc":
            return _Sequence(seed=sweep.seed, position=number)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=startup)
        case "random":
            return RandomSampler(seed=seed)
        case unknown:
            raise ValueError(f"unknown sampler {unknown!r}")


def check_installed(kind: str) -> None:
    """Raise ConfigError if a sampler needs a library that is not installed."""
    if kind == "gp" and importlib.util.find_spec("torch") is None:
        raise ConfigError("sampler", "gp needs torch: pip install 'pimdse[gp]'")


def advice(sweep: Sweep) -> str | None:
    """What to say of a sampler that is asked for more trials than it can follow; None if it can."""
    depth = _DEPTHS.get(sweep.sampler)
    if sweep.complete or depth is None or sweep.budget <= depth:
        return None
    return (
        f"sampler {sweep.sampler}: with more than {depth:,} trials each proposal takes longer than most candidates; "
        "nsga2 takes half of tpe's time, qmc and random next to none; a larger enumerate judges the whole space"
    )


def quiet() -> None:
    """Let Optuna report errors only: progress is the caller's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
