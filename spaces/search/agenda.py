"""What a sweep judges next, and when it has judged enough."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import TrialState

from spaces.search.study import Trial, read_trial
from spaces.search.trial import point_key, take_over
from spaces.space import Scalar, Sweep

# So many repeated points in a row: the sampler finds nothing new.
_MAX_REPEATS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a sweep: distinct candidates so far, of how many; all finished trials; trials now running."""

    distinct: int
    budget: int
    trials: tuple[Trial, ...]
    running: int = 0
    interrupted: bool = False


Observe = Callable[[Progress], None]


class Agenda:
    """What to judge next, and when to stop: the one mutable object of a sweep, in the process that owns the study."""

    def __init__(self, study: Study, sweep: Sweep, observe: Observe) -> None:
        self.study, self.sweep, self._observe = study, sweep, observe
        self._trials: dict[int, Trial] = {}
        self._distinct: set[str] = set()
        size = sweep.size
        self.budget = min(sweep.trials, size) if size is not None else sweep.trials
        self._queue = deque(take_over(study, sweep))
        # The published chip comes first; a space that fits the budget is enumerated.
        first = [p.as_dict() for p in sweep.anchors()]
        if size is not None and size <= sweep.trials:
            first += [p.as_dict() for p in sweep.points()]
        self._update()
        known = [t.candidate.point.as_dict() for t in self._trials.values()] + list(self._queue)
        for point in first:
            if point not in known:
                self._queue.append(point)
                known.append(point)

    def next_fixed(self) -> dict[str, Scalar] | None:
        """The values of the point that must come next, or None: the sampler chooses."""
        return self._queue.popleft() if self._queue else None

    def retry(self, point: dict[str, Scalar]) -> None:
        """Judge a point whose trial was lost before anything else."""
        self._queue.appendleft(point)

    def wants_more(self, *, running: int) -> bool:
        """Whether another trial should start beside the running ones."""
        tail = list(self._trials.values())[-_MAX_REPEATS:]
        exhausted = len(tail) == _MAX_REPEATS and all(t.duplicate_of is not None for t in tail)
        return len(self._distinct) + running < self.budget and not exhausted

    def report(self, *, running: int) -> None:
        """Take note of trials that finished and tell the observer."""
        self._update()
        self._observe(self.progress(running=running))

    def progress(self, *, running: int = 0, interrupted: bool = False) -> Progress:
        """The state of the study."""
        return Progress(
            distinct=len(self._distinct),
            budget=self.budget,
            trials=tuple(self._trials[n] for n in sorted(self._trials)),
            running=running,
            interrupted=interrupted,
        )

    def _update(self) -> None:
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if frozen.number not in self._trials:
                trial = read_trial(frozen)
                self._trials[frozen.number] = trial
                self._distinct.add(point_key(trial.candidate.point))
