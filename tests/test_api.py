"""pimdse as a library: the public names, and the example scripts of the documentation."""

import subprocess
import sys
from pathlib import Path

import pytest

import pimcomp
from pimcomp.config import load_arch
from solvers import get_solver

ROOT = Path(__file__).parents[1]


def example(name: str, folder: Path) -> list[str]:
    """The lines that an example prints, run in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / name)],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_every_public_name_is_there_and_documented() -> None:
    assert dir(pimcomp) == sorted(pimcomp.__all__)
    for name in pimcomp.__all__:
        assert getattr(pimcomp, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'compile_modle'"):
        pimcomp.compile_modle  # noqa: B018  the access is the test


def test_compile_simulate_verify_write(tmp_path: Path) -> None:
    program = pimcomp.compile_model("digits_mlp", load_arch("pimcomp_default"), pipeline="batch", solver="balance")
    assert program.compiled.program.images_per_round > 1
    assert program.period_ns == program.simulate().period_ns_per_round / program.compiled.program.images_per_round
    assert program.simulate(rob_size=8).latency_ns <= program.latency_ns
    assert program.verify(images=2).passed
    report = program.write(tmp_path / "out", save=["evaluation"])
    assert report.latency_ns == program.latency_ns
    assert (tmp_path / "out" / "evaluation.json").exists()
    assert pimcomp.verify_folder(tmp_path / "out", "digits_mlp", images=1).passed


def test_a_solver_object_and_mistakes() -> None:
    assert pimcomp.compile_model("digits_mlp", solver=get_solver("uniform")).latency_ns > 0
    with pytest.raises(pimcomp.PimdseError, match="did you mean 'element'"):
        pimcomp.compile_model("digits_mlp", pipeline="elment")
    with pytest.raises(pimcomp.PimdseError, match="did you mean 'balance'"):
        pimcomp.compile_model("digits_mlp", solver="balanc")
    with pytest.raises(pimcomp.PimdseError, match="neither a file nor a shipped network"):
        pimcomp.compile_model("digits")


def test_five_lines(tmp_path: Path) -> None:
    lines = example("five_lines.py", tmp_path)
    assert lines[0].endswith("uJ per image")
    assert lines[-1] == "verified"
    assert (tmp_path / "results" / "five_lines" / "report.json").exists()


@pytest.mark.slow
def test_a_solver_of_ones_own(tmp_path: Path) -> None:
    lines = example("own_solver.py", tmp_path)
    assert lines[0].startswith("once each: ")
    assert lines[-1] == "verified"
