"""Every writer's way to the disk: files appear whole or not at all, and only our own are ever replaced or removed.

What a command wrote into a folder stands in the record there, one JSON line per file: the command, the name, the
SHA-256 of the content. Only a file that the record lists for the same command, and whose content is still that, may be
replaced or removed; whatever else is in the way is the user's, and a refusal. Lines are only appended, and before the
file they speak of: however a process dies, and whoever writes beside it, what is there is known or left alone.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from pimcomp.errors import OutputError

RECORD = ".pimdse.jsonl"
COMPILE = "compile"  # in the record, for all files of a program's folder: pick, reproduce and verify write the same
_BEGIN = b'{"command":'
_SHOWN = 4
_FOREIGN, _CHANGED = "not written by pimdse", "changed since pimdse wrote it"

# (command, file) -> SHA-256 of every content that was written there
_Record = dict[tuple[str, str], set[str]]


def check_free(folder: Path, names: Iterable[str], command: str, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse now what would be refused after minutes of work: a folder that cannot be written, a file in the way.

    names: files that `command` will write, relative to `folder`. inputs: files the run reads, which are never its
    target either. Raises OutputError.
    """
    check_writable(folder)
    if not folder.is_dir():
        return
    reasons = _in_the_way(folder, names, command, _read(folder))
    sources = [Path(i) for i in inputs if Path(i).is_file()]
    for name in names:
        if any((folder / name).exists() and (folder / name).samefile(source) for source in sources):
            reasons[name] = "an input of this run"
    _refuse(folder, reasons)


def check_writable(folder: Path) -> None:
    """Raise OutputError if nothing could be written in `folder`, or it could not be made."""
    existing = _existing(folder)
    if not existing.is_dir():
        kind = "a file" if existing.is_file() else "no folder"
        raise OutputError(f"{folder}: {existing} is {kind}, expected a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: no permission to write in {existing}")


@contextmanager
def staged(folder: Path, command: str, *, whole: bool = False, last: str = "") -> Iterator[Path]:
    """An empty folder to write into; when the block ends well, its files move into `folder`.

    A folder that does not exist yet appears complete. whole: files the command left there earlier and does not write
    again are removed. last: the file whose presence says that the others are complete.

    Raises OutputError where something is in the way or cannot be written; `folder` is as before then.
    """
    scratch: Path | None = None
    try:
        check_writable(folder)
        scratch = Path(tempfile.mkdtemp(prefix=".pimdse-", dir=_existing(folder)))
        staging = scratch / "files"  # made like any folder: mkdtemp's own is private whatever the umask says
        staging.mkdir()
        yield staging
        _publish(staging, folder, command, whole, last)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def write_files(folder: Path, contents: Mapping[str, bytes], command: str) -> None:
    """Write some files. Raises OutputError; see `staged`."""
    with staged(folder, command) as staging:
        for name, content in contents.items():
            (staging / name).write_bytes(content)


def write_file(path: Path, content: bytes, command: str) -> None:
    """Write one file. Raises OutputError; see `staged`."""
    write_files(path.parent, {path.name: content}, command)


def recorded(folder: Path, command: str) -> tuple[str, ...]:
    """Names of the files a command wrote into a folder that are still there, sorted."""
    return tuple(sorted(file for by, file in _read(folder) if by == command and (folder / file).is_file()))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists; a dangling link exists."""
    return next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))


def _publish(staging: Path, folder: Path, command: str, whole: bool, last: str) -> None:
    files = sorted((p for p in staging.rglob("*") if p.is_file()), key=lambda p: (p.name == last, p))
    contents = {p.relative_to(staging).as_posix(): _sha256(p) for p in files}
    if not os.path.lexists(folder):
        _append(staging, command, contents, {})
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(folder)
            return
        except OSError:
            if not os.path.lexists(folder):
                raise
            (staging / RECORD).unlink()  # somebody else has just made the folder
    with _locked(folder):
        record = _read(folder)
        _refuse(folder, _in_the_way(folder, contents, command, record))
        _append(folder, command, contents, record)
        stale = [name for by, name in record if by == command and name not in contents] if whole else []
        for name in (*([last] if last in contents else []), *stale):
            if _why_not(folder, name, command, record) is None:
                (folder / name).unlink(missing_ok=True)
        for parent in {(folder / name).parent for name in stale} - {folder}:
            with suppress(OSError):  # gone, or something else is in it
                parent.rmdir()
        for name in contents:
            (folder / name).parent.mkdir(exist_ok=True)
            (staging / name).replace(folder / name)


def _in_the_way(folder: Path, names: Iterable[str], command: str, record: _Record) -> dict[str, str]:
    """Names that must not be written, and why; the record itself may be somebody else's."""
    reasons: dict[str, str] = {}
    if (other := _no_plain_file(folder / RECORD) or _no_record(folder / RECORD)) is not None:
        reasons[RECORD] = other
    for name in names:
        parent = (folder / name).parent
        if parent != folder and os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()):
            reasons[parent.name] = _FOREIGN
        elif (reason := _why_not(folder, name, command, record)) is not None:
            reasons[name] = reason
    return reasons


def _why_not(folder: Path, name: str, command: str, record: _Record) -> str | None:
    """Why a file may not be replaced or removed; None if it may, or is not there."""
    path = folder / name
    if not os.path.lexists(path):
        return None
    if (kind := _no_plain_file(path)) is not None:
        return kind
    known = record.get((command, name))
    if known is None:
        others = sorted(by for by, file in record if file == name)
        return f"of `pimdse {others[0]}`" if others else _FOREIGN
    return None if _sha256(path) in known else _CHANGED


def _no_plain_file(path: Path) -> str | None:
    """What is there in place of a regular file; None if it is one, or nothing."""
    if not os.path.lexists(path) or (path.is_file() and not path.is_symlink()):
        return None
    return "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no regular file"


def _no_record(path: Path) -> str | None:
    """_FOREIGN for a file that does not begin as a record does, however little of it reached the disk."""
    content = path.read_bytes() if path.is_file() else b""
    begin = content.partition(b"\n")[0][: len(_BEGIN)]
    return None if not content or (begin and _BEGIN.startswith(begin)) else _FOREIGN


def _refuse(folder: Path, reasons: Mapping[str, str]) -> None:
    if not reasons:
        return
    shown = [f"{name} ({reason})" for name, reason in list(reasons.items())[:_SHOWN]]
    more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    raise OutputError(
        f"{folder}: in the way: {', '.join(shown)}{more}; pimdse replaces only files that its record there "
        f"({RECORD}) knows, unchanged: use another --out, or move what is in the way"
    )


def _read(folder: Path) -> _Record:
    """The record; what cannot be read in it vouches for nothing."""
    try:
        lines = (folder / RECORD).read_bytes().splitlines()
    except OSError:
        return {}
    record: _Record = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            entry = orjson.loads(line)
            command, file, sha256 = str(entry["command"]), str(entry["file"]), str(entry["sha256"])
            record.setdefault((command, file), set()).add(sha256)
    return record


def _append(folder: Path, command: str, contents: Mapping[str, str], record: _Record) -> None:
    entries = (
        {"command": command, "file": name, "sha256": sha256}
        for name, sha256 in contents.items()
        if sha256 not in record.get((command, name), ())
    )
    text = b"".join(orjson.dumps(entry) + b"\n" for entry in entries)
    if text:
        with (folder / RECORD).open("a+b") as file:
            torn = file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
            file.write(b"\n" + text if torn else text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time moves files into a folder, where the file system has locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
