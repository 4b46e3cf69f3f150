"""Runs one case in this process and judges how it ended; a chunk of cases runs in a child that may die."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from pimcomp.foundation.own_files import RECORD
from tests.hostile.cases import Case, prepare

LIMIT_S = 10.0  # of processor time: what else the machine does is not the case's fault
HANG_S = 600.0  # of waiting
MEMORY_BYTES = 3 << 30  # address space a chunk may take beyond what the parent has
_BESIDE = ("integer.npz", "map.png", RECORD)  # what commands write beside a program
_CAPACITY = re.compile(r"\d+ .*, needs \d+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a case ended. `problem` is empty for a good end."""

    number: int
    kind: str
    words: list[str]
    status: int
    seconds: float
    problem: str
    said: str


class _TooLong(BaseException):
    """Not an Exception: nothing in the way may swallow it."""


def _alarm(signum: int, frame: FrameType | None) -> None:
    raise _TooLong


def _limit(processor_s: float, waiting_s: float) -> None:
    """Raise _TooLong after so many seconds; 0: never."""
    for number, timer, seconds in (
        (signal.SIGPROF, signal.ITIMER_PROF, processor_s),
        (signal.SIGALRM, signal.ITIMER_REAL, waiting_s),
    ):
        signal.signal(number, _alarm)
        signal.setitimer(timer, seconds)


def run_case(seed: int, number: int, scratch: Path, good: Path) -> Verdict:
    """Run a case inside `scratch`, which is emptied before and after."""
    from pimdse.cli import run

    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / "case"
    folder.mkdir(parents=True)
    (scratch / "secret").write_text("nobody may read this", encoding="utf-8")
    kind, case = prepare(seed, number, folder, good)
    before = _files(scratch)
    os.chdir(folder)
    out, err, status, problem = io.StringIO(), io.StringIO(), -1, ""
    started = time.process_time()
    _limit(LIMIT_S, HANG_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(case.words)
    except _TooLong:
        problem = f"no end within {LIMIT_S:g} s of work or {HANG_S:g} s of waiting:\n" + traceback.format_exc(limit=-6)
    except BaseException:
        problem = "an exception reached the top:\n" + traceback.format_exc()
    finally:
        _limit(0.0, 0.0)
    seconds = time.process_time() - started
    said = err.getvalue()
    problem = problem or _judge(case, status, out.getvalue() + said, said) or _strays(scratch, before)
    os.chdir("/")
    shutil.rmtree(scratch, ignore_errors=True)
    return Verdict(number, kind, [word[:200] for word in case.words], status, seconds, problem, said[:2000])


def _judge(case: Case, status: int, everything: str, said: str) -> str:
    """What is wrong with an end, empty if nothing."""
    if "Traceback" in everything:
        return "a traceback was shown"
    if "\x1b" in everything.replace("\x1b[0m", "").replace("\x1b[31m", ""):
        return "control characters reach the terminal"
    differs = {"verify": "mismatch:", "reproduce": "not the same:"}.get(case.words[0])
    if status == 0 or (status == 1 and differs is not None and differs in everything):
        return ""
    if status != 2:
        return f"status {status}"
    if "defect in pimdse" in said:
        return "an invariant broke"
    if "out of memory" in said:
        return "memory ran out"
    if not any(name[:60] in said for name in case.mentions) and not _CAPACITY.search(said):
        return f"the message names none of {', '.join(case.mentions)}"
    return ""


def _files(scratch: Path) -> dict[Path, int]:
    return {path: path.lstat().st_size for path in scratch.rglob("*") if "out" not in path.relative_to(scratch).parts}


def _strays(scratch: Path, before: dict[Path, int]) -> str:
    """Files that appeared or changed outside the output folder."""
    after = {path: size for path, size in _files(scratch).items() if path.name not in _BESIDE}
    changed = [path for path, size in after.items() if before.get(path) != size and not path.is_dir()]
    return f"written outside the output folder: {changed[0]}" if changed else ""


def run_chunk(seed: int, numbers: list[int], scratch: Path, good: Path) -> Iterator[Verdict]:
    """The verdicts of some cases, run in a forked child with bounded memory; one that kills the child gets one, too."""
    waiting = list(numbers)
    while waiting:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(seed, waiting, scratch, good, writer)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as lines:
            for line in lines:
                yield Verdict(**json.loads(line))
                waiting.pop(0)
        _, ended = os.waitpid(child, 0)
        if waiting:  # it died in the case that was next
            yield Verdict(waiting.pop(0), "", [], -1, 0.0, f"the process died (wait status {ended})", "")


def _child(seed: int, numbers: list[int], scratch: Path, good: Path, writer: int) -> None:
    """Runs the cases and never returns."""
    code = 1
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (len(numbers) * 12, resource.RLIM_INFINITY))  # loops no alarm can end
        with os.fdopen(writer, "w", encoding="utf-8") as lines:
            for number in numbers:
                lines.write(json.dumps(asdict(run_case(seed, number, scratch, good))) + "\n")
                lines.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
