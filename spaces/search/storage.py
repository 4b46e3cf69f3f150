"""Where the trials of a sweep live: a journal file in its folder, or a database that many hosts share.

A sweep has one study per fidelity: the sampler must not compare figures of different origin.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection

from pimcomp.errors import ConfigError, OutputError
from spaces.metrics import metric
from spaces.search.journal import JOURNAL, Journal
from spaces.search.sampler import PerTrialSampler, quiet
from spaces.space import Fidelity, Sweep

# A trial whose process has not been heard of for this long is judged again by another one.
HEARTBEAT_S = 10
_ATTEMPTS = 5
GRACE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A sweep's folder, and the database that holds its trials (None: the folder's journal).

    heartbeat_s, grace_s: how often a running trial says that its process lives, and how long its silence is believed.
    """

    folder: Path
    database: str | None = None
    heartbeat_s: int = HEARTBEAT_S
    grace_s: int = GRACE_S

    @property
    def shared(self) -> bool:
        """Whether other hosts may work on the same study."""
        return self.database is not None

    def __str__(self) -> str:
        """Where the trials are, as people should read it: without a password."""
        if self.database is None:
            return str(self.folder)
        head, at, tail = self.database.rpartition("@")
        user = head.partition("://")[2].partition(":")[0]
        return f"{head.partition('://')[0]}://{user}@{tail}" if at else self.database


@dataclass(frozen=True, slots=True, eq=False)
class Studies:
    """search: what the sampler sees. timed: timelines of the best of them, None where the search itself looks there."""

    search: Study
    timed: Study | None

    def close(self) -> None:
        """Give the database's connections back."""
        close(self.search._storage)

    def of(self, fidelity: Fidelity) -> Study:
        """The study that a trial of this fidelity belongs to."""
        return self.timed if self.timed is not None and fidelity is Fidelity.TIMELINE else self.search


def study_name(place: Place, fidelity: Fidelity) -> str:
    """Name of a study: a journal holds one sweep, a database many."""
    return f"{place.folder.name}/{fidelity}" if place.shared else str(fidelity)


def attach(place: Place, sweep: Sweep) -> Studies:
    """Open (or create) the studies without any check: for the processes that work on them.

    Raises OutputError when the journal or the database cannot be used.
    """
    quiet()
    storage = _open(place)
    search = _study(storage, place, sweep, sweep.fidelity)
    return Studies(
        search, None if sweep.fidelity is Fidelity.TIMELINE else _study(storage, place, sweep, Fidelity.TIMELINE)
    )


def _open(place: Place) -> BaseStorage:
    path = place.folder / JOURNAL
    try:
        if place.database is None:
            path.open("ab").close()
            return optuna.storages.JournalStorage(Journal(path))
        return database(place)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error


def database(place: Place) -> BaseStorage:
    """The storage of a shared study. Raises ConfigError for a bad address, OutputError for one nobody answers at."""
    try:
        from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, ProgrammingError
    except ImportError:
        raise ConfigError("--storage", "needs sqlalchemy and psycopg: pip install 'pimdse[distributed]'") from None
    for attempt in range(_ATTEMPTS):
        try:
            with answering(place):
                return optuna.storages.get_storage(_rdb(place))
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                "--storage",
                f"expected an address like postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE; {_first_line(error)}",
            ) from None
        except (IntegrityError, ProgrammingError) as error:  # another host is creating the same tables
            if attempt == _ATTEMPTS - 1:
                raise OutputError(f"{place}: {_first_line(error)}") from None
            time.sleep(0.5 * (attempt + 1))
    raise AssertionError("unreachable")


def _rdb(place: Place) -> optuna.storages.RDBStorage:
    url = str(place.database)
    # a connection that a restarted server dropped is noticed before it is used
    engine: dict[str, Any] = {"pool_pre_ping": True} if url.startswith("postgresql") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            url, heartbeat_interval=place.heartbeat_s, grace_period=place.grace_s, engine_kwargs=engine
        )


@contextmanager
def answering(place: Place) -> Iterator[None]:
    """Turn the failures of a database that cannot be reached any more into a clear error."""
    if not place.shared:
        yield
        return
    from sqlalchemy.exc import InterfaceError, OperationalError

    try:
        yield
    except (OperationalError, InterfaceError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        raise OutputError(
            f"{place}: {_first_line(cause)}; what it has stored is safe, and the same command goes on"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def without_heartbeat(study: Study) -> set[int]:
    """Numbers of running trials of a database that have not said once that their process lives.

    A process killed between starting a trial and its first heartbeat leaves such a trial, which Optuna never takes for
    stale.
    """
    from sqlalchemy import text

    backend = getattr(study._storage, "_backend", None)
    if not isinstance(backend, optuna.storages.RDBStorage):
        return set()
    query = text(
        "SELECT t.number FROM trials t LEFT JOIN trial_heartbeats h ON h.trial_id = t.trial_id "
        "WHERE t.study_id = :study AND t.state = 'RUNNING' AND h.trial_id IS NULL"
    )
    with backend.engine.connect() as connection:
        return {int(row[0]) for row in connection.execute(query, {"study": study._study_id})}


def close(storage: BaseStorage) -> None:
    """Give a database's connections back; nothing for a journal."""
    backend = getattr(storage, "_backend", None)
    if isinstance(backend, optuna.storages.RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


def _study(storage: BaseStorage, place: Place, sweep: Sweep, fidelity: Fidelity) -> Study:
    name = study_name(place, fidelity)
    startup = len(sweep.anchors()) + len(sweep.corners()) + 8
    sampler = PerTrialSampler(sweep.sampler, seed=sweep.seed, startup_trials=startup)
    if name in (s.study_name for s in storage.get_all_studies()):  # asking to create it would write a line each time
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    directions = [StudyDirection.MAXIMIZE if metric(o).maximize else StudyDirection.MINIMIZE for o in sweep.objectives]
    return optuna.create_study(
        study_name=name, storage=storage, sampler=sampler, directions=directions, load_if_exists=True
    )
