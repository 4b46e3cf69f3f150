"""Where a sweep's results live: one SQLite file in its folder, written by the one process that runs the sweep.

Every write is a transaction, so that a kill at any moment loses nothing that was finished. Optuna's own tables stand
beside ours and are filled in the same transactions: `optuna-dashboard sqlite:///results/NAME/study.db` opens them.
"""

import fcntl
import json
import os
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pimcomp.errors import OutputError, PimdseError
from spaces.candidate import Trial
from spaces.search.optuna_tables import empty_tables, show
from spaces.space import Fidelity, Sweep

STUDY = "study.db"
_OLD_JOURNAL = "journal.log"
_OF_EARLIER = f": its {_OLD_JOURNAL} was made by an earlier version; sweep again, into another --out"
_OWNER_LOCK = ".sweep.lock"
_TABLES = """
BEGIN;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE candidates (
    fidelity TEXT NOT NULL, number INTEGER NOT NULL, candidate BLOB NOT NULL, PRIMARY KEY (fidelity, number)
);
CREATE TABLE batches (first INTEGER PRIMARY KEY, judged BLOB NOT NULL);
COMMIT;
"""


_JSON = TypeAdapter(Trial)


class Store:
    """The open file of a sweep. Its methods raise OutputError where the file or the disk fails."""

    def __init__(self, folder: Path) -> None:
        """Open the file, which must exist. Raises OutputError."""
        self.path = folder / STUDY
        if not self.path.is_file():
            raise OutputError(f"{folder}: no sweep is stored there (expected a file {STUDY})" + _instead(folder))
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        with self._said():
            found = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "facts" not in found:
            self.close()
            raise OutputError(f"{self.path}: no sweep was started in it: delete it, or use another --out")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            kept = "every trial finished so far is kept in it, and the same command goes on"
            if "malformed" in str(error) or "not a database" in str(error):
                kept = "the file is damaged: sweep into another --out"
            raise OutputError(f"{self.path}: {error}; {kept}") from error

    def another_version(self, error: ValidationError) -> OutputError:
        """What to raise where something stored is not what was expected."""
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return OutputError(
            f"{self.path}: stored by another version of pimdse ({where}: {first['msg']}): sweep into another --out"
        )

    def fact(self, name: str) -> Any:
        """What was stored under a name; None if nothing was."""
        with self._said():
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def trials(self, fidelity: Fidelity) -> tuple[Trial, ...]:
        """What was judged at a fidelity, by number."""
        query = "SELECT candidate FROM candidates WHERE fidelity = ? ORDER BY number"
        with self._said():
            found = self._db.execute(query, (fidelity,)).fetchall()
        try:
            return tuple(_JSON.validate_json(data) for (data,) in found)
        except ValidationError as error:
            raise self.another_version(error) from None

    def add(
        self, sweep: Sweep, fidelity: Fidelity, trials: Iterable[Trial], facts: Mapping[str, Any] | None = None
    ) -> None:
        """Store trials and facts, all or none. An execution takes the place of an earlier one."""
        with self._transaction():
            for trial in trials:
                values = fidelity, trial.number, _JSON.dump_json(trial)
                self._db.execute("INSERT OR REPLACE INTO candidates VALUES (?, ?, ?)", values)
                if fidelity is not Fidelity.EXECUTED:
                    show(self._db, sweep, fidelity, trial)
            self._put(facts or {})

    def put(self, facts: Mapping[str, Any]) -> None:
        """Store facts, all or none."""
        with self._transaction():
            self._put(facts)

    def _put(self, facts: Mapping[str, Any]) -> None:
        values = [(name, json.dumps(value)) for name, value in facts.items()]
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._said(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def add_batch(self, first: int, text: str) -> None:
        """Store what is known of a run of points of an enumeration, as text; first: place of the first one."""
        with self._transaction():
            self._db.execute("INSERT INTO batches VALUES (?, ?)", (first, zlib.compress(text.encode(), 1)))

    def batches(self) -> Iterator[tuple[int, str]]:
        """The batches by their first point."""
        with self._said():
            for first, data in self._db.execute("SELECT first, judged FROM batches ORDER BY first"):
                yield first, zlib.decompress(data).decode()

    def batch_of(self, place: int) -> tuple[int, str]:
        """The batch that a point is in."""
        query = "SELECT first, judged FROM batches WHERE first <= ? ORDER BY first DESC LIMIT 1"
        with self._said():
            first, data = self._db.execute(query, (place,)).fetchone()
        return first, zlib.decompress(data).decode()


def make_store(folder: Path, sweep: Sweep) -> Store:
    """The folder's store, created with empty tables if there is none. Raises OutputError."""
    path = folder / STUDY
    if not os.path.lexists(path):
        if (folder / _OLD_JOURNAL).exists():
            raise OutputError(f"{folder}{_OF_EARLIER}")
        try:
            with tempfile.TemporaryDirectory(prefix=".pimdse-", dir=folder) as scratch:  # a kill leaves no half of it
                fresh = Path(scratch) / STUDY
                fresh.write_bytes(empty_tables(sweep))
                with closing(sqlite3.connect(fresh)) as database:
                    database.executescript(_TABLES)
                fresh.rename(path)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"{path}: {error}") from error
    return Store(folder)


def _instead(folder: Path) -> str:
    """What a folder holds in place of a sweep, where that is known."""
    if (folder / "program.gz").exists():
        return ": it is a compiled network; give a folder that `pimdse sweep` wrote"
    return _OF_EARLIER if (folder / _OLD_JOURNAL).exists() else ""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the folder's study: a second sweep on it is refused. The kernel ends the ownership however a process dies.

    Raises OutputError when the folder cannot be written or locked, PimdseError when another sweep owns it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: {error.strerror}") from error
    with os.fdopen(lock, "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PimdseError(f"{folder}: another sweep is running there; wait for it, or use another --out") from None
        except OSError as error:
            raise OutputError(
                f"{folder / STUDY}: its file system has no locks ({error.strerror}): use --out with a folder on a "
                "local disk"
            ) from error
        yield
