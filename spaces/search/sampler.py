"""Samplers that choose by (seed, finished trials) alone: a resumed sweep chooses what an uninterrupted one would."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pimcomp.errors import ConfigError
from spaces.space import Scalar

DUPLICATE_OF = "duplicate_of"
_POPULATION = 20


class _Sequence(QMCSampler):
    """A quasi-random sequence read at a given place: Optuna's own position would lose the place of a killed trial."""

    def __init__(self, *, seed: int, position: int) -> None:
        super().__init__(seed=seed, scramble=True, warn_independent_sampling=False)
        self._position = position

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._position


class _Fixed(BaseSampler):
    """Values that were decided before."""

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self._values = dict(values)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._values[param_name]


class PerTrialSampler(BaseSampler):
    """Builds a fresh sampler before every trial, seeded from (seed, trials that were not lost).

    Lost trials (their process was killed) do not count, so that the trial that replaces one draws the same numbers.
    After a trial that repeated an earlier point the next one is drawn at random: a sampler that has converged on a grid
    would otherwise repeat itself.
    """

    def __init__(self, kind: str, *, seed: int, startup_trials: int) -> None:
        self._kind, self._seed, self._startup_trials = kind, seed, startup_trials
        self._inner: BaseSampler = RandomSampler(seed=seed)
        self._next: Mapping[str, Scalar] | None = None

    def fix(self, values: Mapping[str, Scalar] | None) -> None:
        """Decide the values of the next trial; None leaves them to the sampler."""
        self._next = values

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Replace the sampler."""
        if self._next is not None:
            self._inner, self._next = _Fixed(self._next), None
            return
        earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
        alive = [t for t in earlier if t.state is not TrialState.FAIL]
        seed = int(np.random.SeedSequence([self._seed, len(alive)]).generate_state(1)[0])
        last = next((t for t in reversed(alive) if t.state is TrialState.COMPLETE), None)
        repeated = last is not None and DUPLICATE_OF in last.user_attrs
        self._inner = RandomSampler(seed=seed) if repeated else self._build(seed, len(alive))
        self._inner.before_trial(study, trial)

    def _build(self, seed: int, position: int) -> BaseSampler:
        match self._kind:
            case "tpe":
                return TPESampler(seed=seed, n_startup_trials=self._startup_trials)
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=_POPULATION)
            case "nsga3":
                return NSGAIIISampler(seed=seed, population_size=_POPULATION)
            case "qmc":
                return _Sequence(seed=self._seed, position=position)
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=self._startup_trials)
            case "random":
                return RandomSampler(seed=seed)
            case _:
                raise ValueError(f"unknown sampler {self._kind!r}")

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the current trial's sampler."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the current trial's sampler."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the current trial's sampler."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the current trial's sampler."""
        self._inner.after_trial(study, trial, state, values)


def check_installed(kind: str) -> None:
    """Raise ConfigError if a sampler needs a library that is not installed."""
    if kind == "gp" and importlib.util.find_spec("torch") is None:
        raise ConfigError("sampler", "gp needs torch: pip install 'pimdse[gp]'")


def quiet() -> None:
    """Let Optuna report errors only: progress is the caller's, and a lost trial is no surprise."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
