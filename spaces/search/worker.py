"""A worker process: judges one point per message of its parent, and never outlives it."""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from pimcomp.errors import PimdseError
from spaces.candidate import MakeEvaluator
from spaces.search.journal import working
from spaces.search.storage import Place, attach
from spaces.search.trial import run_trial
from spaces.space import Sweep


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its network."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A trial exists in the study."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """A trial is stored."""

    number: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot go on, for a reason the user should read."""

    message: str


Report = Ready | Begun | Done | Failed


def worker_main(connection: Connection, place: Place, sweep: Sweep, make_evaluator: MakeEvaluator) -> None:
    """Body of a worker process: answers every `Work` with `Done` until it gets None or the connection closes."""
    follow_parent()
    with working(place.folder):
        try:
            studies = attach(place, sweep)
            evaluator = make_evaluator(sweep)
            connection.send(Ready())

            def begun(number: int) -> None:
                connection.send(Begun(number))

            while (message := connection.recv()) is not None:
                connection.send(Done(run_trial(studies, sweep, evaluator, message, begun=begun)))
        except (PimdseError, OSError, MemoryError) as error:
            connection.send(Failed(str(error) or type(error).__name__))
        except EOFError:
            return


def follow_parent() -> None:
    """A worker's first act: it leaves Ctrl-C, which reaches the whole process group, to its parent and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
