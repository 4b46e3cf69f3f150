"""Worker processes of a sweep: hand out work, replace workers that die, end them all."""

import multiprocessing
import multiprocessing.connection
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from optuna.trial import TrialState

from pimcomp.errors import PimdseError
from spaces.candidate import Candidate, Evaluator, MakeEvaluator, Verdict
from spaces.search.agenda import Agenda, InFlight, Values
from spaces.search.storage import Place
from spaces.search.trial import Work, chosen, run_trial
from spaces.search.worker import Begun, Done, Failed, Ready, worker_main
from spaces.space import Fidelity, Point

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
    work: Work | None = None
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


def work_in_processes(agenda: Agenda, place: Place, make_evaluator: MakeEvaluator, stop: Callable[[], bool]) -> None:
    """Spend the agenda's budget with `sweep.jobs` processes; returns early, with running trials finished, on `stop`.

    Raises PimdseError if workers cannot work at all.
    """
    # spawn: a fork would copy the threads of numba and OR-Tools in an undefined state
    context = multiprocessing.get_context("spawn")

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        arguments = (theirs, place, agenda.sweep, make_evaluator)
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
            if not running and (stop() or agenda.finished()):
                return
            for worker in _ended(workers):
                _bury(agenda, worker, deaths)
                workers[workers.index(worker)] = start()
            if _running(workers) < running or agenda.shared:
                agenda.report(running=_running(workers))


def _running(workers: list[_Worker]) -> int:
    return sum(w.work is not None for w in workers)


def _in_flight(workers: list[_Worker]) -> list[InFlight]:
    return [InFlight(w.work, w.trial is not None) for w in workers if w.work is not None]


def _hand_out(agenda: Agenda, workers: list[_Worker], stop: Callable[[], bool]) -> None:
    """Give every idle worker a trial, as far as the budget goes."""
    for worker in workers:
        if worker.ready and worker.work is None and not stop():
            if (point := agenda.poisoned()) is not None:
                record_killer(agenda, point)
            if (work := agenda.next(_in_flight(workers))) is None:
                return
            worker.work, worker.trial = work, None
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
    study = agenda.studies.of(worker.work.fidelity)
    if worker.trial is not None:
        frozen = study.get_trials(deepcopy=False)[worker.trial]
        if frozen.state.is_finished():
            agenda.refresh()
            return
        point = chosen(frozen) if point is None else point
        study.tell(worker.trial, state=TrialState.FAIL)
    agenda.refresh()
    if point is None or len(point) != len(agenda.sweep.parameters) + 2:
        return
    key = str(sorted(point.items()))
    deaths[key] += 1
    if deaths[key] >= _MAX_DEATHS_PER_POINT:
        record_killer(agenda, point, worker.work.fidelity)


def record_killer(agenda: Agenda, point: Values, fidelity: Fidelity | None = None) -> None:
    """Store a point whose processes die, usually for want of memory, as an error instead of trying it again."""
    work = Work(fidelity or agenda.sweep.fidelity, point)
    run_trial(agenda.studies, agenda.sweep, Evaluator(evaluate=_killed), work)
    agenda.refresh()


def _killed(point: Point, fidelity: Fidelity) -> Candidate:
    reason = "the process compiling this point was killed again and again (out of memory?)"
    return Candidate(
        point=point, verdict=Verdict.ERROR, fidelity=fidelity, resource="killed", reason=reason, excess=10.0
    )
