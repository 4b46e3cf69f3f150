"""A space that is small enough is judged completely: every point is estimated, and what may be on the front is kept.

An estimate depends on its point alone: however many processes look, the same points are kept in the same order. A point
takes 8 bytes of memory per figure and 18 besides; the rest is in the study's file.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from pimcomp.plan.pareto import non_dominated
from spaces.candidate import Candidate, Trial, Verdict
from spaces.metrics import metric
from spaces.search.engine import Engine, Judged, Result, Task, read, spend
from spaces.search.store import Store
from spaces.search.study import ENUMERATION, Enumeration, Progress, Report, Stop
from spaces.space import Fidelity, Point, Sweep
from spaces.whole_space import FEASIBLE, POINTS, Columns, WholeSpace, write_whole

_BATCH = 192  # points per task: neighbours share plans, so a few of those


def enumerate_space(store: Store, sweep: Sweep, engine: Engine, report: Report, stop: Stop) -> bool:
    """Estimate every point, leave the figures in the folder, and store those worth keeping as trials, unless that is
    done; False if stopped."""
    size, folder = sweep.size, store.path.parent
    assert size is not None
    stored = store.fact(ENUMERATION)
    if stored is not None and stored["kept"] >= min(sweep.trials, size) and (folder / POINTS).is_file():
        return True
    estimates = Estimates(sweep, size)
    for first, text in store.batches():
        estimates.note(first, read(text))
    tasks = estimates.missing()

    def tell(result: Result) -> None:
        estimates.note(result.task.first, result.judged)
        store.add_batch(result.task.first, result.text)
        report(lambda: Progress(distinct=estimates.known, budget=size, trials=(), running=engine.flying))

    if not spend(engine, lambda: next(tasks, None), tell, stop):
        return False
    write_whole(folder, estimates.whole())
    kept = estimates.worth_keeping(sweep.trials)
    have = len(store.trials(Fidelity.COST))
    trials = [_trial(store, number, place) for number, place in enumerate(kept[have:], start=have)]
    store.add(sweep, Fidelity.COST, trials, {ENUMERATION: asdict(estimates.summary(len(kept)))})
    return True


def _trial(store: Store, number: int, place: int) -> Trial:
    first, text = store.batch_of(place)
    candidate, content = read(text)[place - first]
    return Trial(number=number, candidate=candidate, content=content)


class Estimates:
    """What is known of the points of a space, by their places in its order."""

    def __init__(self, sweep: Sweep, size: int) -> None:
        self._sweep = sweep
        self._columns = Columns(sweep, size)
        self._contents: npt.NDArray[np.uint64] = np.zeros(size, dtype=np.uint64)
        self._seen = np.zeros(size, dtype=bool)
        self._anchors: dict[Point, int] = {}
        self._reasons: dict[str, tuple[int, int, str]] = {}  # how often, the first place, what it said
        self._errors = 0

    @property
    def known(self) -> int:
        """Points that were judged."""
        return int(np.count_nonzero(self._seen))

    def missing(self) -> Iterator[Task]:
        """Tasks for the points that are not known yet."""
        anchors = set(self._sweep.anchors())
        points = enumerate(self._sweep.points())
        while batch := list(itertools.islice(points, _BATCH)):
            self._anchors |= {point: place for place, point in batch if point in anchors}
            for seen, run in itertools.groupby(batch, lambda pair: bool(self._seen[pair[0]])):
                if not seen:
                    places, unseen = zip(*run)
                    yield Task(places[0], unseen, Fidelity.COST)

    def note(self, first: int, judged: Sequence[Judged]) -> None:
        """Take note of a run of points."""
        for place, (candidate, content) in enumerate(judged, start=first):
            self._seen[place] = True
            digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
            self._contents[place] = int.from_bytes(digest, "little")
            self._columns.note(place, candidate)
            if not candidate.feasible:
                self._count(candidate, place)

    def _count(self, candidate: Candidate, place: int) -> None:
        self._errors += candidate.verdict is Verdict.ERROR
        times, before, reason = self._reasons.get(candidate.resource, (0, place + 1, ""))
        first = (place, candidate.reason) if place < before else (before, reason)
        self._reasons[candidate.resource] = (times + 1, *first)

    def whole(self) -> WholeSpace:
        """The figures of all points."""
        return self._columns.whole(self._firsts())

    def _firsts(self) -> npt.NDArray[np.int64]:
        """Per point the first one with the same content."""
        _, first, which = np.unique(self._contents, return_index=True, return_inverse=True)
        firsts: npt.NDArray[np.int64] = first[which].astype(np.int64)
        return firsts

    def worth_keeping(self, trials: int) -> list[int]:
        """Places of the published chips, then of the front of the estimates, the front without that, and so on, until
        there are `trials`. Of points with equal content the first."""
        firsts, places = self._firsts(), np.arange(len(self._seen))
        anchors = [int(firsts[self._anchors[p]]) for p in self._sweep.anchors() if p in self._anchors]
        kept = list(dict.fromkeys(anchors))
        wanted = (firsts == places) & (self._columns.verdict == FEASIBLE)
        wanted[kept] = False
        left = np.flatnonzero(wanted)
        cost = np.stack(
            [(-1.0 if metric(o).maximize else 1.0) * self._columns.figures[o][left] for o in self._sweep.objectives],
            axis=1,
        )
        while len(left) and len(kept) < trials:
            front = non_dominated(cost)
            kept += left[front][np.lexsort(cost[front].T[::-1])].tolist()
            left, cost = left[~front], cost[~front]
        return kept[: max(trials, len(anchors))]

    def summary(self, kept: int) -> Enumeration:
        """What there was."""
        counted = sorted(self._reasons.items(), key=lambda item: (-item[1][0], item[1][1]))
        return Enumeration(
            points=len(self._seen),
            feasible=len(self._seen) - sum(times for _, (times, _, _) in counted),
            errors=self._errors,
            kept=kept,
            reasons=tuple((resource, times, text) for resource, (times, _, text) in counted),
        )
