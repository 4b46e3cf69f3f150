"""Networks with nodes that have no instructions: the host computes them between the chip's programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pimcomp.foundation.own_files import RECORD
from pimcomp.frontend import LoadedNetwork
from pimcomp.proof import in_segments
from pimcomp.proof.executed import Emitted, compare_outputs
from pimdse.cli import run
from tests.frontend.hosted import detector, library_operator, lstm, middle, own_operator
from tests.frontend.mixed import mixed
from tests.frontend.small_onnx import make, normals, op
from tests.frontend.yolo import yolo
from tests.seeds import seeds

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
    assert run(["verify", out, "--integer"]) == 0


@pytest.mark.parametrize("seed", seeds(2, 16))
def test_any_mixture_gives_what_onnxruntime_gives(seed: int, tmp_path: Path) -> None:
    options = ["--pipeline", ("element", "batch")[seed % 2], *(["--segments"] if seed % 4 < 2 else [])]
    assert run([*words(tmp_path, "compile", mixed(seed)), *options, "--out", str(tmp_path / "out")]) == 0
    assert run(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("sized", [True, False])
def test_operators_of_a_library(
    *, sized: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer behind them is the chip's where the file says how large their results are."""
    library = pytest.importorskip("onnxruntime_extensions").get_library_path()  # not for every Python and machine
    monkeypatch.delenv("PIMDSE_ORT_EXTENSIONS", raising=False)
    out = tmp_path / "out"
    compile_ = [*words(tmp_path, "compile", library_operator(sized=sized)), "--out", str(out)]
    assert run(compile_) == 2
    assert "NegPos(-1) is not a registered function/op: an operator of your own can be" in capsys.readouterr().err
    monkeypatch.setenv("PIMDSE_ORT_EXTENSIONS", library)
    assert run(compile_) == 0
    assert run(["verify", str(out)]) == 0
    assert len(json.loads((out / "segments.json").read_text())["segments"]) == (3 if sized else 2)
    monkeypatch.setenv("PIMDSE_ORT_EXTENSIONS", str(tmp_path / "none.so"))
    assert run(["verify", str(out)]) == 2
    assert "PIMDSE_ORT_EXTENSIONS: " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["element", "batch"])
def test_a_detector_like_yolo_with_its_tail(pipeline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(yolo(), tmp_path / "yolo.onnx")
    out = tmp_path / "out"
    assert run(["-q", "compile", str(tmp_path / "yolo.onnx"), "-r", "balance", "-p", pipeline, "--out", str(out)]) == 0
    tail = json.loads((out / "segments.json").read_text())["segments"][1]["host"]
    assert [node["op"] for node in tail][:2] == ["Transpose", "NonMaxSuppression"]
    assert run(["--json", "verify", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], len(report["outputs"])) == (True, 4)


def test_everything_that_reads_a_folder_of_segments_knows_the_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    compile_ = words(tmp_path, "compile", middle())
    assert run([*compile_, "--out", out]) == 0
    assert "computes 1 node (Softplus) on the host: in no figure here" in capsys.readouterr().out
    assert run(["simulate", out]) == 0
    assert run(["reproduce", out]) == 0
    capsys.readouterr()
    assert run(["map", out]) == 0
    assert "01" not in capsys.readouterr().out, "the host's"
    assert run(["simulate", f"{out}/01"]) == 2
    assert "01: is a segment for the host, which ONNX Runtime computes" in capsys.readouterr().err
    assert run(words(tmp_path, "verify", middle())) == 0
    again = tmp_path / "again"
    assert run([*compile_, "--out", str(again)]) == 0
    files = [file.relative_to(again) for file in again.rglob("*.*") if file.name != RECORD]
    assert Path("01/net-01.onnx") in files
    assert [file for file in files if (again / file).read_bytes() != (tmp_path / "out" / file).read_bytes()] == []


def test_the_host_may_choose_otherwise_among_equal_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two channels are the same; a program that is off by less than the tolerance makes the second the largest."""
    weights = np.ones((2, 3, 1, 1), np.float32)
    nodes = [op("Conv", "x w", "s"), op("ArgMax", "s", "c", axis=1), op("Cast", "c", "f", to=1), op("Exp", "f", "y")]
    out = str(tmp_path / "out")
    assert run([*words(tmp_path, "compile", make(nodes, {"x": (1, 3, 4, 4)}, {"w": weights})), "--out", out]) == 0

    def slightly_off(emitted: Emitted, part: LoadedNetwork, inputs: Any) -> Any:
        report, computed = compare_outputs(emitted, part, inputs)
        return report, {
            name: values + np.linspace(0, 1e-5, values.shape[1], dtype=np.float32) for name, values in computed.items()
        }

    monkeypatch.setattr(in_segments, "compare_outputs", slightly_off)
    capsys.readouterr()
    assert run(["--json", "verify", out]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["chosen"]) == (True, ["y"])
    assert run(["verify", out]) == 0
    assert "note: y: the host chooses otherwise among values equal within the tolerance" in capsys.readouterr().out

    def wrong(emitted: Emitted, part: LoadedNetwork, inputs: Any) -> Any:
        report, computed = compare_outputs(emitted, part, inputs)
        return report, {name: -values for name, values in computed.items()}

    monkeypatch.setattr(in_segments, "compare_outputs", wrong)
    assert run(["verify", out]) == 1
    assert "every segment is right by itself, but of all in order output " in capsys.readouterr().out


def test_what_the_chip_computes_between_is_cut_where_it_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tokens, three layers of which two fit at a time, the host, and one more; nothing is found in the end."""
    nodes = [
        op("Gather", "table tokens", "e"), op("MatMul", "e m1", "a"), op("Relu", "a", "b"), op("MatMul", "b m2", "c"),
        op("Relu", "c", "d"), op("MatMul", "d m3", "f"), op("Elu", "f", "g"), op("MatMul", "g m1", "h"),
        op("Add", "h b", "i"), op("Greater", "i far", "j"), op("NonZero", "j", "k"), op("Cast", "k", "y", to=1),
    ]  # fmt: skip
    weights = {
        "table": normals(20, 64),
        "far": np.array(1e9, np.float32),
        **{f"m{k}": normals(64, 64, seed=k) for k in (1, 2, 3)},
    }
    model = make(nodes, {"tokens": (1, 6)}, weights, elem_type=TensorProto.INT64)
    compile_ = [*words(tmp_path, "compile", model), "--out", str(tmp_path / "out")]
    (tmp_path / "tiny.yaml").write_text(
        CHIP.replace("cores: 4, crossbars_per_core: 16", "cores: 2, crossbars_per_core: 4")
    )
    assert run(compile_) == 2
    assert "or --segments, which cuts it into programs that follow each other" in capsys.readouterr().err
    assert run([*compile_, "--segments"]) == 0
    index = json.loads((tmp_path / "out" / "segments.json").read_text())
    parts = [e["layers"] if "layers" in e else [node["op"] for node in e["host"]] for e in index["segments"]]
    assert (parts[0], parts[-1], ["Elu"] in parts) == (["Gather"], ["Greater", "NonZero", "Cast"], True)
    assert len(parts) > 5
    assert run(["verify", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(("crossbars", "stay"), [(8, True), (4, False)])
def test_weights_stay_in_their_crossbars_where_all_fit(
    crossbars: int, stay: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two layers of 8 crossbars each with the host between them, on 2 cores."""
    nodes = [op("MatMul", "x v", "a"), op("Softplus", "a", "b"), op("MatMul", "b w", "y")]
    model = make(nodes, {"x": (64, 64)}, {"v": normals(64, 128), "w": normals(128, 64, seed=1)})
    asked = [*words(tmp_path, "compile", model), "--solver", "exact", "--out", str(tmp_path / "out")]
    (tmp_path / "tiny.yaml").write_text(
        CHIP.replace("cores: 4, crossbars_per_core: 16", f"cores: 2, crossbars_per_core: {crossbars}").replace(
            "adc: {bits: auto}", "adc: {bits: auto}, write: {row_ns: 10, row_pj: 3, endurance: 100}"
        )
    )
    assert run(asked) == 0
    assert ("all weights stay in their crossbars" in capsys.readouterr().out) == stay
    index = json.loads((tmp_path / "out" / "segments.json").read_text())
    first, _, last = index["segments"]
    assert (first["crossbars_of_a_core"] + last["crossbars_of_a_core"] <= crossbars) == stay == index["weights_stay"]
    assert index["image_ns"] == index["latency_ns"] + (0.0 if stay else index["write_ns"])
    assert index["image_pj"] == index["energy_pj"] + (0.0 if stay else index["write_pj"])
    assert index["lifetime_images"] == (None if stay else 50)
    assert run(["-q", "verify", str(tmp_path / "out")]) == 0
    assert run(["-q", "reproduce", str(tmp_path / "out")]) == 0


def test_the_host_can_be_forbidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compile", "verify"):
        assert run([*words(tmp_path, command, lstm()), "--host", "forbid"]) == 2
        assert "LSTM (opset 13): no instruction sequence computes it: streams have no loops" in capsys.readouterr().err
    assert run([*words(tmp_path, "compile", lstm()), "--host", "no"]) == 2
    assert "--host: expected allow or forbid, found 'no'" in capsys.readouterr().err
