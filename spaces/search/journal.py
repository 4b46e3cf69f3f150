"""The journal file of a study: survives kill -9, torn writes and damaged files; one sweep at a time owns it.

A journal is a text file of JSON lines. Locks are `flock`s: the kernel releases them however a process dies.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.storages.journal._storage import JournalOperation

from pimcomp.errors import OutputError, PimdseError

JOURNAL = "journal.log"
_WRITE_LOCK = ".journal.lock"
_OWNER_LOCK = ".sweep.lock"
_WORKER_LOCK = ".workers.lock"
_ORPHAN_WAIT_S = 60.0
# A killed process loses nothing it wrote, only a power cut does; a trial's last line takes those before with it.
_WORTH_A_SYNC = (JournalOperation.CREATE_STUDY, JournalOperation.SET_TRIAL_STATE_VALUES)


class FileLock(BaseJournalFileLock):
    """Mutual exclusion between processes by `flock` on a file beside the journal."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: BinaryIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        handle = self._path.open("ab")
        _flock(handle, fcntl.LOCK_EX)
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back: closing the file releases the lock."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _flock(handle: BinaryIO, operation: int) -> None:
    """Lock a file. Raises OutputError where the file system cannot, BlockingIOError where somebody else holds it."""
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        folder = Path(handle.name).parent
        raise OutputError(
            f"{folder / JOURNAL}: its file system has no locks ({error.strerror}), and processes writing at once would "
            "damage it: use --out with a folder on a local disk, or --storage with a database"
        ) from error


class Journal(JournalFileBackend):
    """Optuna's journal file, with a lock that dies with its holder and without torn lines in the middle."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=FileLock(path.with_name(_WRITE_LOCK)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines or nothing.

        Raises OutputError when the disk is full or the file not writable; earlier lines stay as they are.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._lock.acquire()
        try:
            with self._path.open("r+b") as file:
                end = _end_of_last_line(file)
                file.seek(end)
                file.truncate()  # the rest of a line whose writer was killed
                try:
                    file.write(lines)
                    file.flush()
                    if any(log["op_code"] in _WORTH_A_SYNC for log in logs):
                        os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), end)
                    raise
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}; every trial finished so far is kept in it") from error
        finally:
            self._lock.release()


def _end_of_last_line(file: BinaryIO) -> int:
    """Offset behind the last newline."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        block = file.read(end - start)
        if (position := block.rfind(b"\n")) >= 0:
            return start + position + 1
        end = start
    return 0


class StoredLogs(BaseJournalBackend):
    """A read-only journal: the readable lines of a file at one moment."""

    def __init__(self, logs: list[dict[str, Any]]) -> None:
        self._logs = logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines from a number on."""
        yield from self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Not possible: stored trials are only looked at."""
        raise PimdseError("this study is open for reading only")


def readable_logs(path: Path) -> tuple[list[dict[str, Any]], int | None]:
    """The journal's lines up to the first damaged one, and the number (from 1) of that line or None.

    A last line that is torn (its writer was killed) is no damage. Raises OutputError if the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error
    lines = data.split(b"\n")
    logs: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is empty or torn
        try:
            log = json.loads(line)
            if not (isinstance(log, dict) and "op_code" in log):
                return logs, number
        except ValueError:  # not JSON, or not UTF-8
            return logs, number
        logs.append(log)
    return logs, None


def check_whole(path: Path) -> None:
    """Raise OutputError if a line of the journal is damaged, saying what is still readable."""
    if not path.exists():
        return
    logs, damaged = readable_logs(path)
    if damaged is not None:
        raise OutputError(
            f"{path}: line {damaged} is damaged. `pimdse report {path.parent}` shows the trials stored before it; "
            f"to go on from there, keep its first {len(logs)} lines"
        )


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own the folder's study: a second sweep on it is refused, and workers that outlive a killed sweep are awaited.

    Raises OutputError when the folder cannot be written, PimdseError when another sweep owns it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / _OWNER_LOCK).open("ab")
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}") from error
    with handle:
        if not _locked(handle, 0.0):
            raise PimdseError(f"{folder}: another sweep is running there; wait for it, or use another --out")
        with (folder / _WORKER_LOCK).open("ab") as workers:
            if not _locked(workers, _ORPHAN_WAIT_S):
                raise PimdseError(f"{folder}: worker processes of an earlier sweep are still running")
        yield


def _locked(handle: BinaryIO, wait_s: float) -> bool:
    """Try to lock a file exclusively for at most `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        else:
            return True


@contextmanager
def working(folder: Path) -> Iterator[None]:
    """Held by a worker process for its life: a resumed sweep waits until it is gone."""
    with (folder / _WORKER_LOCK).open("ab") as handle:
        _flock(handle, fcntl.LOCK_SH)
        yield
