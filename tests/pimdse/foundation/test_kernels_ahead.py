"""The list of kernels that helpers compile ahead can be compiled, and what commands ask for is in it."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from numba.core import event

from pimcomp.foundation.kernels import is_kept, kernel
from pimdse.cli import run
from pimdse.foundation import kernels_ahead
from pimdse.foundation.kernels_ahead import compile_entry, entry_of, listed, read_entry, usual_number
from tests.pimdse.kernel_list import COMMANDS, Asked


def test_every_command_of_the_list_has_a_usual_number_of_kernels() -> None:
    assert all(usual_number(command) > 1 for command in COMMANDS)
    assert usual_number("pick") == usual_number("compile"), "a command that is not listed compiles"
    assert len(listed("compile")) >= usual_number("compile")


@pytest.mark.parametrize("words", ["compile digits_mlp --solver balance", "compile digits_lenet5 --pipeline batch"])
def test_what_a_small_compile_asks_for_is_listed(words: str, tmp_path: Path) -> None:
    """After a change of kernels or of what they are called with: `make kernels`."""
    asked = Asked()
    with event.install_listener("pimdse:kernel", asked):
        assert run(["--quiet", *words.split(), "--out", str(tmp_path / "out")]) == 0
    missing = [entry for entry in asked.entries if entry not in listed("compile")]
    assert missing == []


def test_entries_are_kernels_and_types() -> None:
    for entry in listed():
        assert entry_of(*read_entry(entry)) == entry


def test_an_entry_is_compiled_and_kept_and_a_wrong_one_is_left_alone() -> None:
    compile_entry(["pimcomp.timeline.clock", "no_such_kernel", ["int64"]])
    compile_entry(["pimcomp.no_such_module", "any", ["int64"]])
    compile_entry(["pimcomp.timeline.clock", "finish_edge", ["no_such_type"]])
    compile_entry([__name__, "_twice", ["float64", "float64"]])
    compile_entry([__name__, "_twice", [{"tuple": [__name__, "_Pair"], "of": ["float64"]}]])
    compile_entry([__name__, "_twice", [{"tuple": [__name__, "_Pair"], "of": ["float64", "float64"]}]])
    compile_entry([__name__, "_twice", ["float64"]])
    assert is_kept(*read_entry([__name__, "_twice", ["float64"]]))


def test_helpers_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def sleeping(command: str, part: int, parts: int) -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return started[-1]

    monkeypatch.setattr(kernels_ahead, "start", sleeping)
    monkeypatch.setattr(kernels_ahead, "cores", lambda: 3)
    monkeypatch.setattr(kernels_ahead, "kept_number", lambda: 10_000)
    with kernels_ahead.helpers("compile") as begin:
        assert started == []
        begin()
        begin()
        assert [helper.poll() for helper in started] == [None, None]
    assert all(helper.poll() is not None for helper in started)


def test_helpers_start_at_once_where_little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def nothing(command: str, part: int, parts: int) -> "subprocess.Popen[bytes]":
        started.append(part)
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(kernels_ahead, "start", nothing)
    monkeypatch.setattr(kernels_ahead, "cores", lambda: 3)
    monkeypatch.setattr(kernels_ahead, "kept_number", lambda: 0)
    with kernels_ahead.helpers("compile"):
        assert started == [0, 1]


def test_warmup_is_its_own_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes compile everything; helpers beside them would do the same work again."""

    def helpers(command: str) -> None:
        raise AssertionError

    started: list[tuple[str, int, int]] = []

    def nothing(command: str, part: int, parts: int, stdout: int) -> "subprocess.Popen[bytes]":
        started.append((command, part, parts))
        return subprocess.Popen([sys.executable, "-c", ""], stdout=stdout)

    monkeypatch.setattr(kernels_ahead, "start", nothing)
    monkeypatch.setattr(kernels_ahead, "helpers", helpers)
    assert run(["warmup", "--jobs", "2"]) == 0
    assert started == [("", 0, 2), ("", 1, 2)]


class _Pair(NamedTuple):
    first: float
    second: float


@kernel
def _twice(x: int) -> int:
    return 2 * x


def test_a_kernel_that_python_calls_is_counted_once() -> None:
    asked = Asked()
    with event.install_listener("pimdse:kernel", asked):
        assert (_twice(1), _twice(2)) == (2, 4)
    assert asked.entries == [[__name__, "_twice", ["int64"]]]
