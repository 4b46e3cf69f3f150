"""Worker processes of a sweep: hand out work, replace workers that die, end them all."""

import multiprocessing
import multiprocessing.connection
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from optuna.trial import TrialState

from pimcomp.errors import PimdseError
from spaces.candidate import Candidate, MakeEvaluator, Verdict
from spaces.search.agenda import Agenda
from spaces.search.trial import chosen, run_trial
from spaces.search.worker import Begun, Done, Failed, Go, Ready, worker_main
from spaces.space import Point

# A point whose worker dies this often (out of memory, usually) is recorded as an error instead of tried again.
_MAX_DEATHS_PER_POINT = 2
# So many deaths before any trial began: workers cannot even start.
_MAX_DEATHS_IDLE = 3


@dataclass(slots=True, eq=False)
class _Worker:
    """One process; `work` is what it was told to do, `trial` the number it gave that."""

    process: SpawnProcess
    connection: Connection
    ready: bool = False
    work: Go | None = None
    trial: int | None = None


@contextmanager
def _crew(count: int, start: Callable[[], _Worker]) -> Iterator[list[_Worker]]:
    """`count` workers, ended on leaving whatever they do; the list may be changed meanwhile."""
    workers: list[_Worker] = []
    try:
        workers.extend(start() for _ in range(count))
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def work_in_processes(agenda: Agenda, folder: Path, make_evaluator: MakeEvaluator, stop: Callable[[], bool]) -> None:
    """Spend the agenda's budget with `sweep.jobs` processes; returns early, with running trials finished, on `stop`.

    Raises PimdseError if workers cannot work at all.
    """
    # spawn: a fork would copy the threads of numba and OR-Tools in an undefined state
    context = multiprocessing.get_context("spawn")

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        arguments = (theirs, folder, agenda.sweep, make_evaluator)
        process = context.Process(target=worker_main, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    deaths: Counter[str] = Counter()
    with _crew(min(agenda.sweep.jobs, agenda.budget), start) as workers:
        agenda.report(running=len(workers))
        while True:
            _hand_out(agenda, workers, stop)
            running = _running(workers)
            if not running and (stop() or not agenda.wants_more(running=0)):
                return
            for worker in _ended(workers):
                _bury(agenda, worker, deaths)
                workers[workers.index(worker)] = start()
            if _running(workers) < running:
                agenda.report(running=_running(workers))


def _running(workers: list[_Worker]) -> int:
    return sum(w.work is not None for w in workers)


def _hand_out(agenda: Agenda, workers: list[_Worker], stop: Callable[[], bool]) -> None:
    """Give every idle worker a trial, as far as the budget goes."""
    for worker in workers:
        if worker.ready and worker.work is None and not stop() and agenda.wants_more(running=_running(workers)):
            worker.work, worker.trial = Go(agenda.next_fixed()), None
            try:
                worker.connection.send(worker.work)
            except OSError:  # it died meanwhile: `_ended` finds its closed connection
                continue


def _ended(workers: list[_Worker]) -> list[_Worker]:
    """Wait a moment for answers and note them; the workers that died."""
    dead = []
    ready = multiprocessing.connection.wait([w.connection for w in workers], timeout=0.2)
    for worker in [w for w in workers if w.connection in ready]:
        try:
            report = worker.connection.recv()
        except (EOFError, OSError):
            dead.append(worker)
            continue
        match report:
            case Ready():
                worker.ready = True
            case Begun(number):
                worker.trial = number
            case Done():
                worker.work = None
            case Failed(message):
                raise PimdseError(message)
    return dead


def _bury(agenda: Agenda, worker: _Worker, deaths: Counter[str]) -> None:
    """A worker was killed: its trial is lost, so judge its point again, or record that this point kills workers."""
    worker.connection.close()
    worker.process.join()
    if worker.work is None:
        deaths["idle"] += 1
        if deaths["idle"] >= _MAX_DEATHS_IDLE:
            raise PimdseError(
                f"worker processes die at once (status {worker.process.exitcode}); is there enough memory for --jobs?"
            )
        return
    point = worker.work.fixed
    if worker.trial is not None:
        frozen = agenda.study.get_trials(deepcopy=False)[worker.trial]
        if frozen.state is TrialState.COMPLETE:
            return
        point = chosen(frozen)
        agenda.study.tell(worker.trial, state=TrialState.FAIL)
    if point is None or len(point) != len(agenda.sweep.parameters) + 2:
        return
    key = str(sorted(point.items()))
    deaths[key] += 1
    if deaths[key] < _MAX_DEATHS_PER_POINT:
        agenda.retry(point)
    else:
        run_trial(agenda.study, agenda.sweep, _killed, point)


def _killed(point: Point) -> Candidate:
    reason = f"the process compiling this point was killed {_MAX_DEATHS_PER_POINT} times (out of memory?)"
    return Candidate(point=point, verdict=Verdict.ERROR, resource="killed", reason=reason, excess=10.0)
