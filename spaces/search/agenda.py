"""What a sweep judges next, and when it has judged enough: decided from the stored trials alone."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from pimcomp.ir.brief import brief
from spaces.candidate import Candidate, point_from_json, point_key
from spaces.search.promote import most_promising
from spaces.search.storage import Place, Studies, without_heartbeat
from spaces.search.study import ENUMERATION, Trial, read_trial
from spaces.search.trial import Work, alive, chosen, lost_points
from spaces.space import Fidelity, Scalar, Sweep

# So many repeated points in a row: the sampler finds nothing new.
_MAX_REPEATS = 100
# Timelines are spent on the front of the search after the published chips, after every so many candidates, and at the
# end: not on every change of a young front.
_CHECK_EVERY = 100
_TIMED_PER_CHECK = 8
# Where the space is judged completely, so many timelines are chosen at once, whatever the number of processes.
_WAVE = 8
_WAVES = "waves"
# A point of a shared study that was lost with so many processes is taken for the one that kills them.
_MAX_LOSSES = 5
# How often a host looks for trials of dead ones (several queries each time).
_LOOK_FOR_DEAD_S = 2.0

Values = dict[str, Scalar]


@brief
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a sweep: distinct candidates so far, of how many; all finished trials; trials now running.

    timed: candidates that were timed, at cost fidelity.
    """

    distinct: int
    budget: int
    trials: tuple[Trial, ...]
    timed: tuple[Candidate, ...] = ()
    running: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class InFlight:
    """Work of this process group; begun: it has a trial in the study."""

    work: Work
    begun: bool


Observe = Callable[[Progress], None]


class Agenda:
    """What to judge next, and when to stop: the one mutable object of a sweep, in the process that hands out work.

    place: of the studies; where it is shared, other hosts work on them and may die.
    """

    def __init__(self, studies: Studies, sweep: Sweep, observe: Observe, place: Place) -> None:
        self.studies, self.sweep, self.shared, self.grace_s = studies, sweep, place.shared, place.grace_s
        self.budget = sweep.budget
        self._observe = observe
        self._finished: dict[Fidelity, dict[int, Trial]] = {Fidelity.COST: {}, Fidelity.TIMELINE: {}}
        self._running: dict[Fidelity, list[Values]] = {}
        self._taken: list[Values] = []
        self._lost: list[tuple[Values, int]] = []
        self._checked: tuple[int, int] | None = None
        self._look_for_dead_at = 0.0
        self._silent_since: dict[tuple[str, int], float] = {}
        # The published chips come first, then the ends of the space; a space that fits the budget is enumerated.
        seeds = [p.as_dict() for p in (*sweep.anchors(), *sweep.corners())]
        if sweep.size is not None and sweep.size <= sweep.trials:
            seeds += [p.as_dict() for p in sweep.points()]
        self._complete = ENUMERATION in studies.search.user_attrs
        self._seeds = deque(p for i, p in enumerate(seeds) if p not in seeds[:i])
        self.refresh()
        if self._complete:
            self.budget = self._distinct()

    def refresh(self) -> None:
        """Take note of what changed in the studies."""
        search = self.studies.search
        if self.shared and time.monotonic() >= self._look_for_dead_at:
            self._fail_stale()
            self._look_for_dead_at = time.monotonic() + _LOOK_FOR_DEAD_S
        trials = search.get_trials(deepcopy=False)
        self._lost = lost_points(trials, self.sweep)
        self._taken = [chosen(t) for t in trials if alive(t)]
        self._note(self.sweep.fidelity, trials)
        if self.studies.timed is not None:
            self._note(Fidelity.TIMELINE, self.studies.timed.get_trials(deepcopy=False))

    def _fail_stale(self) -> None:
        """Mark trials whose processes have fallen silent, or never said a word, as lost, wherever they ran."""
        now, silent = time.monotonic(), {}
        for study in [s for s in (self.studies.search, self.studies.timed) if s is not None]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(study)
            for number in without_heartbeat(study):
                since = self._silent_since.get((study.study_name, number), now)
                if now - since > self.grace_s:
                    with suppress(ValueError):  # it has finished, or another host was faster
                        study.tell(number, state=TrialState.FAIL)
                else:
                    silent[study.study_name, number] = since
        self._silent_since = silent

    def _note(self, fidelity: Fidelity, trials: Sequence[FrozenTrial]) -> None:
        known = self._finished[fidelity]
        known |= {t.number: read_trial(t) for t in trials if t.state is TrialState.COMPLETE and t.number not in known}
        self._running[fidelity] = [chosen(t) for t in trials if t.state is TrialState.RUNNING]

    def next(self, in_flight: Sequence[InFlight] = ()) -> Work | None:
        """What to start now beside the work in flight; None: nothing, or nothing yet."""
        if (point := self._next_timed(in_flight)) is not None:
            return Work(Fidelity.TIMELINE, point)
        if not self._room(in_flight):
            return None
        started = [f.work.fixed for f in in_flight]
        for point, _ in self._lost:
            if point not in started:
                return Work(self.sweep.fidelity, point)
        while self._seeds:
            if (point := self._seeds.popleft()) not in self._taken and point not in started:
                return Work(self.sweep.fidelity, point)
        return Work(self.sweep.fidelity)

    def finished(self) -> bool:
        """Whether nothing is left to do, here or elsewhere."""
        return not any(self._running.values()) and not self._room(()) and self._next_timed(()) is None

    def poisoned(self) -> Values | None:
        """A point that was lost so often that it must be what kills the processes."""
        return next((p for p, times in self._lost if times >= _MAX_LOSSES), None) if self.shared else None

    def _room(self, in_flight: Sequence[InFlight]) -> bool:
        """Whether the search wants another trial."""
        trials = list(self._finished[self.sweep.fidelity].values())
        tail = trials[-_MAX_REPEATS:]
        exhausted = len(tail) == _MAX_REPEATS and all(t.duplicate_of is not None for t in tail)
        return self._distinct() + self._under_way(in_flight) < self.budget and not exhausted

    def _under_way(self, in_flight: Sequence[InFlight]) -> int:
        """Trials of the search that run or are about to."""
        waiting = sum(not f.begun and f.work.fidelity is self.sweep.fidelity for f in in_flight)
        return len(self._running[self.sweep.fidelity]) + waiting

    def _distinct(self) -> int:
        return sum(t.duplicate_of is None for t in self._finished[self.sweep.fidelity].values())

    def _next_timed(self, in_flight: Sequence[InFlight]) -> Values | None:
        """The candidate that should be timed now, if it is time for that."""
        if self.studies.timed is None:
            return None
        if self._complete:
            return self._next_of_wave(in_flight)
        limit, allowance = self._due(in_flight)
        timed = [t.candidate for t in self._finished[Fidelity.TIMELINE].values()]
        busy = self._running[Fidelity.TIMELINE] + [
            f.work.fixed for f in in_flight if f.work.fidelity is Fidelity.TIMELINE and f.work.fixed
        ]
        busy = [p for i, p in enumerate(busy) if p not in busy[:i]]
        state = (limit, len(timed))
        if not limit or len(timed) + len(busy) >= allowance or (self._checked == state and not busy):
            return None
        searched = [
            t.candidate for t in self._in_order(Fidelity.COST)[:limit] if t.candidate.feasible
        ]  # fmt: skip
        free = [c for c in searched if c.point.as_dict() not in busy]
        points = most_promising(free, timed, self.sweep.objectives)
        if not points and not busy:
            self._checked = state  # asked again only when something has changed
        return points[0].as_dict() if points else None

    def _next_of_wave(self, in_flight: Sequence[InFlight]) -> Values | None:
        """A point of the wave that is being timed.

        The next wave is chosen when all of the last are known, and stored: so what is timed depends neither on who
        finishes first nor on when a sweep was stopped.
        """
        study = self.studies.of(Fidelity.TIMELINE)
        waves: list[list[Values]] = study.user_attrs.get(_WAVES, [])
        timed = {point_key(t.candidate.point): t.candidate for t in self._finished[Fidelity.TIMELINE].values()}
        busy = self._running[Fidelity.TIMELINE] + [f.work.fixed for f in in_flight if f.work.fixed is not None]
        waiting = [p for wave in waves for p in wave if point_key(point_from_json(p)) not in timed]
        if not waiting and not busy and len(timed) < self.sweep.timed:
            searched = [t.candidate for t in self._in_order(Fidelity.COST) if t.candidate.feasible]
            known = [timed[key] for key in sorted(timed)]
            anchors = [p for p in self.sweep.anchors() if p in {c.point for c in searched}]
            first = [] if waves else anchors
            points = first or most_promising(searched, known, self.sweep.objectives, _WAVE)
            waiting = [point.as_dict() for point in points[: self.sweep.timed - len(timed)]]
            if waiting:
                study.set_user_attr(_WAVES, [*waves, waiting])
        return next((p for p in waiting if p not in busy), None)

    def _due(self, in_flight: Sequence[InFlight]) -> tuple[int, int]:
        """(so many of the distinct candidates are looked at, so many may be timed by now): depends on counts alone."""
        distinct, first = self._distinct(), len(self.sweep.anchors())
        if not self._room(()) and not self._under_way(in_flight):
            return distinct, self.sweep.timed
        checks = distinct // _CHECK_EVERY
        if checks:
            return checks * _CHECK_EVERY, min(self.sweep.timed // 2, first + checks * _TIMED_PER_CHECK)
        return (first, min(self.sweep.timed // 2, first)) if distinct >= first else (0, 0)

    def _in_order(self, fidelity: Fidelity) -> list[Trial]:
        """Distinct finished trials by number."""
        found = self._finished[fidelity]
        return [found[n] for n in sorted(found) if found[n].duplicate_of is None]

    def report(self, *, running: int) -> None:
        """Take note of trials that finished and tell the observer."""
        self.refresh()
        self._observe(self.progress(running=running))

    def progress(self, *, running: int = 0, interrupted: bool = False) -> Progress:
        """The state of the study."""
        search = self._finished[self.sweep.fidelity]
        timed = self._in_order(Fidelity.TIMELINE) if self.studies.timed is not None else []
        return Progress(
            distinct=self._distinct(),
            budget=self.budget,
            trials=tuple(search[n] for n in sorted(search)),
            timed=tuple(t.candidate for t in timed),
            running=running,
            interrupted=interrupted,
        )
