"""`pimdse sweep`, `report` and `pick` on a small real network, with an interruption.

Covers: picking.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pimdse.cli import run
from spaces.search.study import load_stored
from tests.pimdse.small_chip import SMALL_SWEEP

_ROOT = Path(__file__).parents[3]
_CHIP = (
    SMALL_SWEEP
    + """\
  trials: 6
  solvers: [balance, uniform]
  space:
    cores: {low: 1, high: 16}
    crossbars_per_core: [1, 8]
"""
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "small.yaml").write_text(_CHIP)
    assert run(["-q", "sweep", str(folder / "small.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_sweep_leaves_a_report_of_both_pipelines_and_solvers(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {p.name for p in swept.iterdir()}
    assert {"front.csv", "front.png", "report.html", "manifest.yaml", "trials.csv", "study.db"} <= names
    stored = load_stored(swept)
    points = [t.candidate.point for t in stored.trials]
    assert {str(p.pipeline) for p in points} == {"element", "batch"}
    assert {p.solver for p in points} == {"balance", "uniform"}
    assert all(t.candidate.verdict != "error" for t in stored.trials), [t.candidate.reason for t in stored.trials]
    assert run(["report", str(swept), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["distinct"] == 6
    assert len(found["front"]) >= 1
    assert str(swept) not in (swept / "manifest.yaml").read_text()


def test_finished_sweep_is_not_repeated(swept: Path) -> None:
    before = (swept / "study.db").read_bytes()
    assert run(["-q", "sweep", str(swept.parent / "small.yaml"), "--out", str(swept)]) == 0
    assert (swept / "study.db").read_bytes() == before


def test_a_pipe_sees_how_far_the_search_is(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(swept.parent / "small.yaml"), "--out", str(swept)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if ": 6 of 6, " in line]
    assert len(lines) == 1
    assert "best" in lines[0]


def test_other_settings_are_refused(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(swept.parent / "small.yaml"), "--out", str(swept), "--seed", "5"]) == 2
    assert "differs in seed" in capsys.readouterr().err
    given = ["--objectives", "latency,energy", "--limit", "crossbars<=99", "--sampler", "random"]
    assert run(["sweep", str(swept.parent / "small.yaml"), "--out", str(swept), *given]) == 2
    assert "differs in objectives, limits, sampler" in capsys.readouterr().err


def test_pick_writes_and_verifies_the_best(swept: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "picked"
    assert run(["pick", str(swept), "--objective", "latency_ns", "--max-crossbars", "128", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "every output equals onnxruntime" in captured.out
    assert "not the stored figures" not in captured.err
    stored = load_stored(swept)
    best = min(
        t.candidate.metrics.latency_ns
        for t in stored.trials
        if t.candidate.feasible and t.candidate.metrics and t.candidate.metrics.crossbars <= 128
    )
    report = json.loads((out / "report.json").read_text())
    assert report["latency_ns"] == pytest.approx(best)
    assert {"program.gz", "config.json", "network.json", "memory.npz", "chip.yaml"} <= {p.name for p in out.iterdir()}


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_exits_with_130(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(_CHIP.replace("trials: 6", "trials: 60"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pimdse", "sweep", "small.yaml", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    child = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not (out / "study.db").exists() or len(load_trials(out)) < 2):
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"the same command goes on" in errors
    assert 2 <= len(load_trials(out)) < 60
    assert (out / "report.html").exists()


def load_trials(folder: Path) -> tuple[object, ...]:
    from pimcomp.errors import OutputError

    try:
        return load_stored(folder).trials
    except OutputError:
        return ()
