"""A design that cannot be checked is noted in the report; it costs the sweep nothing else.

Covers: /pimdse/folder/proof.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import spaces.evaluate
from pimcomp.errors import ModelError
from pimdse.cli import run
from tests.pimdse.test_out_folder import _CHIP, network

_SWEEP = "sweep: {model: net.onnx, trials: 2, solvers: [balance], pipelines: [element], space: {cores: [4, 16]}}\n"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, Path]]:
    (tmp_path / "net.onnx").write_bytes(network())
    (tmp_path / "small.yaml").write_text(_CHIP + _SWEEP)
    monkeypatch.chdir(tmp_path)
    return lambda: (run(["sweep", "small.yaml", "--out", "out"]), tmp_path / "out")


@pytest.mark.parametrize(
    "error", [pytest.param(ModelError("no such thing"), marks=pytest.mark.slow), ValueError("a defect")]
)
def test_a_check_that_fails_leaves_the_report(
    sweep: Callable[[], tuple[int, Path]],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def cannot(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(spaces.evaluate, "execute", cannot)
        found, out = sweep()
    assert found == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert (out / "front.csv").is_file()
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"Not executed: trial [01] \({type(error).__name__}: {error}\)", said)
    assert "Executed and" not in said
    assert str(error) in page
    assert sweep()[0] == 0  # the same command checks what was not
    said = " ".join(capsys.readouterr().out.split())
    assert re.search("Executed and right: trial [01]", said)
    assert "Not executed" not in said
    assert run(["report", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"]
