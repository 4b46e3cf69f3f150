"""Faults of the machine: no space, no permission, no memory, a killed simulator, a clock that jumps.

Workers of a sweep that die are in tests/spaces; folders that cannot be written in test_bad_input.
"""

import ast
import errno
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pimdse.cli import run

ROOT = Path(__file__).parents[2]
SWEEP = """
name: small
chip: {cores: 9, crossbars_per_core: 64}
crossbar: {rows: 128, cols: 128, cell_bits: 2}
core: {rob_size: 1}
numbers: {weight_bits: 8, activation_bits: 8}
sweep:
  model: digits_mlp
  trials: 2
  solvers: [balance]
  pipelines: [element]
  space: {cores: [4, 9]}
"""


def limited(
    words: list[str], folder: Path, limit: Callable[[], None] = lambda: None
) -> "subprocess.CompletedProcess[str]":
    """Run pimdse in a process that a limit was put on. It writes no bytecode: Python would leave half of a file."""
    return subprocess.run(
        [sys.executable, "-m", "pimdse", *words],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1",
             "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False, timeout=120, preexec_fn=limit,
    )  # fmt: skip


def no_space() -> None:
    """As on a full disk: no file can grow beyond 2 KB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["compile", "digits_mlp", "--out", "out"], marks=pytest.mark.slow),
        ["export-json", "digits_lenet5", "--out", "out/model.json"],
        pytest.param(
            ["compile", "digits_mlp", "--out", "out", "--format", "pim", "--save", "weights"], marks=pytest.mark.slow
        ),
        pytest.param(["sweep", "small.yaml", "--out", "out"], marks=pytest.mark.slow),
    ],
    ids=["compile", "export-json", "per-core", "sweep"],
)
def test_a_full_disk_is_a_message_and_leaves_nothing_half_written(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "warm").mkdir()
    for folder in (tmp_path, tmp_path / "warm"):
        (folder / "small.yaml").write_text(SWEEP, encoding="utf-8")
    assert limited(words, tmp_path / "warm").returncode == 0  # compiles the kernels
    shutil.rmtree(tmp_path / "warm")
    done = limited(words, tmp_path, no_space)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "out" in done.stderr
    assert not (tmp_path / "out" / "report.json").exists()
    kept = (".lock", ".db", ".yaml")  # a sweep goes on from its study
    leftover = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in kept]
    assert leftover == []


@pytest.mark.slow
def test_a_compile_that_finds_no_space_leaves_the_last_one_as_it_was(tmp_path: Path) -> None:
    assert run(["compile", "digits_mlp", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    done = limited(["compile", "digits_mlp", "--solver", "uniform", "--out", "out"], tmp_path, no_space)
    assert done.returncode == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("mebibytes", [900, 1024, 1280, 1600], ids=lambda size: f"{size} MiB")
def test_no_memory_is_a_message(mebibytes: int, tmp_path: Path) -> None:
    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mebibytes << 20, mebibytes << 20))

    words = [
        "compile",
        "vgg16",
        "--weights",
        "random:0",
        "--arch",
        "pimcomp_default",
        "--solver",
        "balance",
        "--out",
        "out",
    ]
    done = limited(words, tmp_path, little_memory)
    assert done.returncode == 2, done.stderr
    assert "out of memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", "killed by signal 9"),
        ("kill -TERM $$", "killed by signal 15"),
        ("exit 3", "exit status 3"),
        ("echo nothing", "printed no report"),
        ("exec sleep 60", "no result within 1 s"),
    ],
)
def test_a_simulator_that_fails_is_named(
    script: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = tmp_path / "ChipTest"
    simulator.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    simulator.chmod(0o755)
    assert run(["compile", "digits_mlp", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    capsys.readouterr()
    assert run(["simulate", str(tmp_path / "out"), "--pimsim", str(simulator), "--timeout", "1"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


_MAIN = f"{sys.executable} -m pimdse"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "status"), [("models", 0), ("inspect no_such_network", 2)])
def test_a_stream_that_is_closed_changes_no_status(closed: str, words: str, status: int, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{_MAIN} {words} {closed}"], cwd=ROOT, capture_output=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (status, b"")
    assert b"resnet18" in done.stdout or status or ">&- 2>&-" in closed


def test_files_do_not_take_the_place_of_closed_streams() -> None:
    """What a library writes to stderr must not go into a file of ours."""
    code = (
        "from pimdse.__main__ import _open_what_is_closed as settle; settle(); import os, sys;"
        "number = os.open(os.devnull, os.O_RDONLY); print('gone', file=sys.stderr); os._exit(number)"
    )
    done = subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}" 2>&- <&-'], cwd=ROOT, check=False, timeout=60)
    assert done.returncode > 2


@pytest.mark.parametrize(
    "variable",
    ["NUMBA_NUM_THREADS=0", "NUMBA_NUM_THREADS=-1", "MPLBACKEND=nosuch", "TERMINAL_WIDTH=x", "COLUMNS=0"],
)
def test_variables_of_libraries_do_not_stop_a_command(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    assert run(["inspect", "-h"]) == 0
    assert name not in os.environ


@pytest.mark.slow
def test_a_picture_is_drawn_whatever_the_surroundings(tmp_path: Path) -> None:
    odd = {"NUMBA_NUM_THREADS": "0", "MPLBACKEND": "nosuch", "TERMINAL_WIDTH": "x", "OMP_NUM_THREADS": "x"}
    for words in (["compile", "digits_mlp", "--solver", "balance", "--out", "c"], ["map", "c", "--out", "m.png"]):
        done = subprocess.run(
            [sys.executable, "-m", "pimdse", *words],
            cwd=tmp_path, env=os.environ | odd | {"PYTHONPATH": str(ROOT)}, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0


def test_a_clock_that_jumps_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["compile", "digits_mlp", "--out", str(tmp_path / "calm"), "--quiet"]) == 0
    jumps = iter(range(10**9))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + (-1) ** (n := next(jumps)) * n * 86_400.0)
    assert run(["compile", "digits_mlp", "--out", str(tmp_path / "jumping"), "--quiet"]) == 0
    for path in (tmp_path / "calm").iterdir():
        if path.name != "manifest.yaml":  # it names the command, and with it the folder
            assert path.read_bytes() == (tmp_path / "jumping" / path.name).read_bytes(), path.name


def test_nothing_reads_the_wall_clock() -> None:
    """Durations come from clocks that only go forward; a date would make equal inputs give unequal bytes."""
    calls = []
    for package in ("pimcomp", "solvers", "spaces", "pimdse"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if not re.search(r"\b(time_ns|now|utcnow|today|time\.time)\b", text):
                continue
            for node in ast.walk(ast.parse(text)):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr in ("time", "time_ns")
                    and ast.unparse(node.value) == "time"
                ):
                    calls.append(f"{path}:{node.lineno}")
                if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
                    calls.append(f"{path}:{node.lineno}")
    assert calls == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_way_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, "not here")

    (tmp_path / "small.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fcntl.flock", flock)
    assert run(["sweep", "small.yaml", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert "out/study.db: its file system has no locks (not here)" in error
    assert "--out" in error
    # what needs no lock goes on without
    assert run(["-q", "export-json", "digits_mlp", "--out", "out/net.json"]) == 0
    assert run(["-q", "export-json", "digits_mlp", "--out", "out/net.json"]) == 0


def test_no_permission_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chmod(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr("os.chmod", chmod)
    monkeypatch.setattr("os.fchmod", chmod)
    assert run(["-q", "export-json", "digits_mlp", "--out", str(tmp_path / "out" / "net.json")]) == 0


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_what_the_encoding_cannot_show_is_replaced_and_files_stay_exact(encoding: str, tmp_path: Path) -> None:
    from tests.frontend.small_onnx import make, normals, op

    name = "\u7f51\u7edc-\u00e9-\U0001f642"
    model = make([op("Conv", f"x {name}.w", name)], {"x": (1, 2, 4, 4)}, {f"{name}.w": normals(3, 2, 1, 1)}, [name])
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())

    def pimdse(*words: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "pimdse", *words], cwd=tmp_path, capture_output=True, check=False, timeout=120,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding, "LC_ALL": "C",
                 "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert b"Compile ONNX" in pimdse("--help")
    assert b"??" in pimdse("inspect", "net.onnx")
    text = pimdse("export-json", "net.onnx").decode()
    pimdse("export-json", "net.onnx", "--out", "net.json")
    assert (tmp_path / "net.json").read_text(encoding="utf-8") == text


def test_a_name_that_is_no_text_is_refused_before_it_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", "net\udcff.onnx"]) == 2
    error = capsys.readouterr().err
    assert "no text in this locale" in error
    assert "PYTHONUTF8=1" in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["archs", "--json"], ["nosuch", "--json"]])
def test_a_full_disk_behind_stdout_is_no_traceback(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pimdse", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error" in done.stderr.lower()
