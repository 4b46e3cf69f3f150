"""Who judges points: this process, or the workers of a Dask cluster, here or on many hosts.

A task is a batch of points; its result is JSON text, read with care: what comes back over a network is data.
"""

import json
import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from pimcomp.errors import ConfigError, PimdseError
from spaces.candidate import Candidate, Evaluator, MakeEvaluator, Verdict
from spaces.space import Fidelity, Point, Sweep

if TYPE_CHECKING:
    from distributed import Client, Future

Judged = tuple[Candidate, str]  # and its content: equal content, equal figures
_ANSWER: TypeAdapter[list[Judged] | str] = TypeAdapter(list[Judged] | str)  # text: an error

_MOMENT_S = 0.02
_COUNT_S = 1.0  # between two looks at how many workers there are
_ANSWER_S = 60  # a cluster that says nothing for so long is not there
_GONE = "does not answer any more: what was finished is stored, and the same command goes on"


@dataclass(frozen=True, slots=True)
class Task:
    """Points to judge at a fidelity. first: the number of the first one, for whoever asked."""

    first: int
    points: tuple[Point, ...]
    fidelity: Fidelity


@dataclass(frozen=True, slots=True)
class Result:
    """A judged task: what its worker said, and what that means."""

    task: Task
    text: str
    judged: list[Judged]

    @property
    def candidate(self) -> Candidate:
        """Of a task with one point."""
        return self.judged[0][0]


class Here:
    """Judges in this process, one task at a time: `Cluster` without one."""

    def __init__(self, sweep: Sweep, make_evaluator: MakeEvaluator) -> None:
        self._sweep, self._make, self._task = sweep, make_evaluator, list[Task]()

    def room(self) -> bool:
        """Without a task."""
        return not self._task

    def submit(self, task: Task) -> None:
        """Hand over a task."""
        self._task.append(task)

    def recall(self) -> None:
        """Take back what is not begun."""
        self._task.clear()

    @property
    def flying(self) -> int:
        """Points of the task."""
        return sum(len(task.points) for task in self._task)

    def finished(self) -> list[Result]:
        """The task, judged now."""
        task = self._task.pop()
        text = judge(self._make, self._sweep, task.points, task.fidelity)
        return [Result(task, text, read(text, task.points))]


class Cluster:
    """Judges tasks on the workers of a Dask cluster, in any order: what a lost worker had is judged by another one, as
    often as Dask's `allowed-failures` says.

    address: of a scheduler, or a scheduler file; None starts one here when there is work, with `sweep.jobs` workers
    that listen to this machine alone.
    """

    def __init__(self, sweep: Sweep, make_evaluator: MakeEvaluator, address: str | None) -> None:
        self._sweep, self._make, self._address = sweep, make_evaluator, address
        self._stack = ExitStack()
        self._client: Client | None = None
        self._tasks: list[tuple[Task, Future[str]]] = []
        self._submitted = 0
        self._threads, self._count_at = 1, 0.0

    def close(self) -> None:
        """End what was started here."""
        self._stack.close()

    @property
    def flying(self) -> int:
        """Points handed over and not yet given back."""
        return sum(len(task.points) for task, _ in self._tasks)

    def room(self) -> bool:
        """Whether a worker is free, or soon will be: the next task of each waits at the scheduler."""
        if self._tasks and time.monotonic() >= self._count_at:
            with self._answering():
                self._threads = max(1, sum(self._connected().nthreads().values()))
            self._count_at = time.monotonic() + _COUNT_S
        return len(self._tasks) < 2 * self._threads

    def submit(self, task: Task) -> None:
        """Hand over a task."""
        client, self._submitted = self._connected(), self._submitted + 1
        key = f"{task.fidelity}-{task.first}-{self._submitted}"
        with self._answering():
            future = client.submit(judge, self._make, self._sweep, task.points, task.fidelity, key=key, pure=False)
        self._tasks.append((task, future))

    def recall(self) -> None:
        """Take back what no worker has begun."""
        with self._answering():
            begun = {key for keys in self._connected().processing().values() for key in keys} if self._tasks else set()
        for pair in [(task, future) for task, future in self._tasks if future.key not in begun and not future.done()]:
            self._tasks.remove(pair)
            pair[1].cancel()

    def finished(self) -> list[Result]:
        """Tasks that were judged since; waits a moment where none was."""
        done = [pair for pair in self._tasks if pair[1].done()]
        if not done:
            time.sleep(_MOMENT_S)
        self._tasks = [pair for pair in self._tasks if pair not in done]
        good = [future for _, future in done if future.status == "finished"]
        with self._answering():
            texts = dict(zip((f.key for f in good), self._connected().gather(good), strict=True))
        results = []
        for task, future in done:
            if future.key in texts:
                results.append(self._result(task, texts[future.key], future))
            elif not future.done():  # its result was lost with the worker that had it: it is judged again
                self._tasks.append((task, future))
            elif self._killed(future) and len(task.points) == 1:
                text = _killed(task)
                results.append(Result(task, text, read(text)))
            else:
                for i, point in enumerate(task.points):
                    self.submit(Task(task.first + i, (point,), task.fidelity))
        return results

    def _killed(self, future: "Future[str]") -> bool:
        """True for a task whose workers died, one after the other. Raises PimdseError for any other failure."""
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise PimdseError(f"{self._name} {_GONE}")
        error = future.exception()
        if isinstance(error, KilledWorker):
            return True
        raise PimdseError(f"{self._name}: a worker failed: {type(error).__name__}: {error}")

    def _result(self, task: Task, text: object, future: "Future[str]") -> Result:
        try:
            judged = read(text, task.points)
            return Result(task, str(text), judged)
        except PimdseError as error:
            with self._answering():
                where = next(iter(self._connected().who_has([future]).values()), ())
            raise PimdseError(f"worker {', '.join(where)}: {error}") from error

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PimdseError(f"{self._name} {_GONE} ({error})") from error

    @property
    def _name(self) -> str:
        return f"cluster {self._address}" if self._address is not None else "the local cluster"

    def _connected(self) -> "Client":
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> "Client":
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it says of lost workers, we say
        where: dict[str, Any] = {"address": self._address}
        try:
            if self._address is None:
                where = {"address": self._stack.enter_context(_local_cluster(self._sweep.jobs))}
            elif Path(self._address).is_file():
                where = {"scheduler_file": self._address}
            client: Client = self._stack.enter_context(Client(**where, timeout=_ANSWER_S))
            return client
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            if self._address is None:
                raise PimdseError(f"the processes of --jobs {self._sweep.jobs} do not start: {error}") from error
            expected = "expected the address of a Dask scheduler, such as tcp://HOST:8786, or its scheduler file"
            raise ConfigError("--cluster", f"{self._name}: {expected}; {error}") from error


Engine = Here | Cluster


@contextmanager
def _local_cluster(jobs: int) -> Iterator[Any]:
    """Worker processes of one thread each, on the loopback device only and without a dashboard."""
    import dask
    from distributed import LocalCluster

    # A task waits at the scheduler, not beside one that is running: a worker that dies has one suspect. It is started
    # again however often: Dask would give it up after some seconds. Dask's workers give memory back above 64 KB, and a
    # compile, which lives on arrays of megabytes, spends a quarter of its time on getting it again.
    kept = "distributed.nanny.pre-spawn-environ."
    dask.config.set(
        {"distributed.scheduler.worker-saturation": 1.0, "distributed.deploy.lost-worker-timeout": "10 days"}
        | {kept + "MALLOC_TRIM_THRESHOLD_": 1 << 30, kept + "MALLOC_MMAP_THRESHOLD_": 32 << 20}
    )
    nobody = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with tempfile.TemporaryDirectory(prefix="pimdse-") as scratch:
        cluster = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs=nobody,
            silence_logs=logging.CRITICAL,
            local_directory=scratch,
            preload=[__name__],
        )
        with cluster:
            yield cluster


def dask_setup(worker: object) -> None:
    """Called by Dask in each local worker: Ctrl-C, which reaches the whole process group, is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def open_engine(sweep: Sweep, make_evaluator: MakeEvaluator, address: str | None) -> Iterator[Engine]:
    """The engine of a sweep: this process for one job, else a cluster."""
    if address is None and sweep.jobs == 1:
        yield Here(sweep, make_evaluator)
        return
    cluster = Cluster(sweep, make_evaluator, address)
    try:
        yield cluster
    finally:
        cluster.close()


@lru_cache(maxsize=2)
def evaluator_of(make_evaluator: MakeEvaluator, sweep: Sweep) -> Evaluator:
    """The judge of a sweep, made once in a process."""
    return make_evaluator(sweep)


def judge(make_evaluator: MakeEvaluator, sweep: Sweep, points: Sequence[Point], fidelity: Fidelity) -> str:
    """Judge points, on whatever worker this runs: the candidates and their contents as JSON, or the error to show."""
    try:
        evaluator = evaluator_of(make_evaluator, sweep)
        return as_text([(evaluator.evaluate(p, fidelity), evaluator.content(p)) for p in points])
    except (PimdseError, OSError, MemoryError) as error:
        return json.dumps(str(error) or type(error).__name__)


def as_text(judged: list[Judged]) -> str:
    """What `read` reads."""
    return _ANSWER.dump_json(judged).decode()


def read(text: Any, points: Sequence[Point] | None = None) -> list[Judged]:
    """The candidates that a task's result describes. points: those it must be about, None where that is known.

    Raises PimdseError for the error of a worker and for a result that is none.
    """
    try:
        found = _ANSWER.validate_json(text)  # whatever a worker sent
    except ValidationError as error:
        raise PimdseError(f"a result is not what was asked for: {error.errors()[-1]['msg']}") from error
    if isinstance(found, str):
        raise PimdseError(found)
    if points is not None and [c.point for c, _ in found] != list(points):
        raise PimdseError("a result is about other points than were asked for")
    return found


def _killed(task: Task) -> str:
    """The result of a point whose workers die."""
    reason = "every process that compiled this point was killed (out of memory?)"
    dead = Candidate(
        point=task.points[0], verdict=Verdict.ERROR, fidelity=task.fidelity, resource="killed", reason=reason,
        excess=10.0,
    )  # fmt: skip
    return as_text([(dead, f"killed {task.points[0]}")])


def spend(
    engine: Engine, ask: Callable[[], Task | None], tell: Callable[[Result], None], stop: Callable[[], bool]
) -> bool:
    """Let the engine judge what `ask` gives until that is None with nothing under way; False if `stop` ended it.

    None from `ask` while something is under way means: not yet.
    """
    while True:
        while not (stopped := stop()) and engine.room() and (task := ask()) is not None:
            engine.submit(task)
        if stopped:
            engine.recall()
        if not engine.flying:
            return not stopped
        for result in engine.finished():
            tell(result)
