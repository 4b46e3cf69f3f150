"""A PostgreSQL cluster of its own for tests, in a temporary folder, on this machine only."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian keeps the server's programs out of the PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def find(program: str) -> str | None:
    """Where a program of PostgreSQL is."""
    places = (str(folder / program) for folder in _FOLDERS)
    return next((p for p in places if Path(p).exists()), None) or shutil.which(program)


INSTALLED = find("initdb") is not None and find("pg_ctl") is not None


def _as_owner() -> list[str]:
    """The server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


@contextmanager
def cluster() -> Iterator[str]:
    """A running server with an empty database; gives its address and ends it on leaving."""
    with tempfile.TemporaryDirectory(prefix="pimdse-postgresql-") as folder:
        # not in pytest's folder: every run of pytest makes that private to its user again, and the server is another
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        with _served(Path(folder)) as address:
            yield address


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    data = folder / "data"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run("initdb", "-D", str(data), "-A", "trust", "-U", "pimdse", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    _run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://pimdse@127.0.0.1:{port}/postgres"
    finally:
        _run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def _run(program: str, *arguments: str) -> None:
    command = [*_as_owner(), str(find(program)), *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
