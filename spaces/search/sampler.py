"""Samplers that choose by (seed, finished trials) alone: a resumed sweep chooses what an uninterrupted one would."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

DUPLICATE_OF = "duplicate_of"


class PerTrialSampler(BaseSampler):
    """Builds a fresh sampler before every trial, seeded from (seed, trials that were not lost).

    Lost trials (their process was killed) do not count, so that the trial that replaces one draws the same numbers.
    After a trial that repeated an earlier point the next one is drawn at random: a sampler that has converged on a grid
    would otherwise repeat itself.
    """

    def __init__(self, kind: str, *, seed: int, startup_trials: int) -> None:
        self._kind, self._seed, self._startup_trials = kind, seed, startup_trials
        self._inner: BaseSampler = RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Replace the sampler."""
        earlier = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
        alive = [t for t in earlier if t.state is not TrialState.FAIL]
        seed = int(np.random.SeedSequence([self._seed, len(alive)]).generate_state(1)[0])
        repeated = bool(alive) and DUPLICATE_OF in alive[-1].user_attrs
        self._inner = RandomSampler(seed=seed) if repeated else self._build(seed)
        self._inner.before_trial(study, trial)

    def _build(self, seed: int) -> BaseSampler:
        match self._kind:
            case "tpe":
                return TPESampler(seed=seed, n_startup_trials=self._startup_trials)
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=20)
            case "qmc":
                # one sequence for the whole study: its position is kept in the study itself
                return QMCSampler(seed=self._seed, scramble=True, warn_independent_sampling=False)
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


def quiet() -> None:
    """Let Optuna report warnings only: progress is the caller's."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
