"""Networks with nodes that have no instructions: the host computes them between the chip's programs."""

import json
from pathlib import Path

import onnx
import pytest

from pimcomp.foundation.own_files import RECORD
from pimdse.cli import run
from tests.frontend.hosted import detector, lstm, middle, own_operator

CHIP = """
name: tiny
chip: {cores: 4, crossbars_per_core: 16}
crossbar: {rows: 32, cols: 32, cell_bits: 8, dac: {count: 32}, adc: {bits: auto}}
core: {rob_size: 1}
"""


def words(folder: Path, command: str, model: onnx.ModelProto) -> list[str]:
    onnx.save(model, folder / "net.onnx")
    (folder / "tiny.yaml").write_text(CHIP)
    return [command, str(folder / "net.onnx"), "--arch", str(folder / "tiny.yaml"), "--solver", "balance"]


@pytest.mark.parametrize(
    ("model", "hosted"),
    [(detector, ["01"]), (lstm, ["00"]), (lambda: own_operator(function=True), ["01"])],
    ids=["detector", "lstm", "own operator"],
)
def test_chip_and_host_together_give_what_onnxruntime_gives(
    model: "type[onnx.ModelProto]", hosted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert run(["-q", *words(tmp_path, "compile", model()), "--out", out]) == 0
    index = json.loads((tmp_path / "out" / "segments.json").read_text())
    assert [entry["folder"] for entry in index["segments"] if "host" in entry] == hosted
    assert index["latency_ns"] == sum(entry.get("latency_ns", 0.0) for entry in index["segments"])
    capsys.readouterr()
    assert run(["--json", "verify", out]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert report["host_ns"] > 0.0


def test_everything_that_reads_a_folder_of_segments_knows_the_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    compile_ = words(tmp_path, "compile", middle())
    assert run([*compile_, "--out", out]) == 0
    assert "computes 1 node (Softplus) on the host: in no figure here" in capsys.readouterr().out
    assert run(["verify", out, "--integer"]) == 0
    assert run(["simulate", out]) == 0
    assert run(["reproduce", out]) == 0
    assert run(["map", out]) == 2
    assert "give one of its folders, as " in capsys.readouterr().err
    assert run(["simulate", f"{out}/01"]) == 2
    assert "01: is a segment for the host, which ONNX Runtime computes" in capsys.readouterr().err
    assert run(words(tmp_path, "verify", middle())) == 0
    again = tmp_path / "again"
    assert run([*compile_, "--out", str(again)]) == 0
    files = [file.relative_to(again) for file in again.rglob("*.*") if file.name != RECORD]
    assert Path("01/net-01.onnx") in files
    assert [file for file in files if (again / file).read_bytes() != (tmp_path / "out" / file).read_bytes()] == []


def test_the_host_can_be_forbidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compile", "verify"):
        assert run([*words(tmp_path, command, lstm()), "--host", "forbid"]) == 2
        assert "LSTM (opset 13): no instruction sequence computes it: streams have no loops" in capsys.readouterr().err
    assert run([*words(tmp_path, "compile", lstm()), "--host", "no"]) == 2
    assert "--host: expected allow or forbid, found 'no'" in capsys.readouterr().err
