"""`pimdse compile --segments`: a network larger than the chip as programs in order, verified against the whole.

Covers: /pimdse/folder/segments, /pimcomp/proof/in_segments.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from pimcomp.foundation.own_files import RECORD
from pimcomp.frontend import load_network
from pimdse.cli import run
from solvers.segments import kind_of
from tests.frontend.small_onnx import make, normals, op

CHIP = """
name: tiny
chip: {cores: 2, crossbars_per_core: 2}
crossbar: {rows: 32, cols: 32, cell_bits: 8, dac: {count: 32}, adc: {bits: auto},
  write: {row_ns: 10, row_pj: 3, rows_at_once: 4, endurance: 100}}
core: {rob_size: 1}
global_memory: {bytes: 65536}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, a chip and `out`: weights shared by two layers, a concatenation of maps from before and
    behind a cut, one output of an early segment and one of the last."""
    folder = tmp_path_factory.mktemp("segments")
    nodes = [
        op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Conv", "b v", "c"), op("Conv", "c v", "d"),
        op("Concat", "b d", "e", axis=1), op("Conv", "e u", "y"), op("GlobalAveragePool", "c", "early"),
    ]  # fmt: skip
    weights = {"w": normals(32, 8, 1, 1), "v": normals(32, 32, 1, 1), "u": normals(16, 64, 1, 1)}
    onnx.save(make(nodes, {"x": (1, 8, 4, 4)}, weights, ("y", "early")), folder / "net.onnx")
    (folder / "tiny.yaml").write_text(CHIP)
    assert run(["-q", *words(folder), "--out", str(folder / "out"), "--segments"]) == 0
    return folder


def words(folder: Path, network: str = "net") -> list[str]:
    return ["compile", str(folder / f"{network}.onnx"), "--arch", str(folder / "tiny.yaml"), "--solver", "balance"]


def test_what_does_not_fit_is_told_of_segments(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words(made), "--out", str(made / "whole")]) == 2
    assert "4 crossbars, needs 5: chips: 2; or cores: 3; or --segments, which cuts it" in capsys.readouterr().err


def test_all_in_order_compute_what_onnxruntime_does(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = json.loads((made / "out" / "segments.json").read_text())
    assert len(index["segments"]) > 1
    for entry in index["segments"]:
        assert entry["crossbars_written"] <= 4
        assert entry["write_ns"] == 10 * -(-entry["rows_written"] // 4)
        assert entry["write_pj"] == 3 * entry["rows_written"]
    assert index["write_ns"] == sum(entry["write_ns"] for entry in index["segments"])
    assert run(["--json", "verify", str(made / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], [o["name"] for o in report["outputs"]]) == (True, ["y", "early"])
    np.save(made / "images.npy", normals(3, 8, 4, 4))
    assert run(["--json", "verify", str(made / "out"), "--input", str(made / "images.npy")]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3


def test_several_chips_are_told_beside(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = json.loads((made / "out" / "segments.json").read_text())["on_chips"]
    assert others["chips"] == 2
    assert others["crossing_bytes"] % 16 == 0, "whole maps of 4 x 4"
    assert others["link_ns"] == 100 * -(-others["crossing_bytes"] // 32)
    assert others["latency_ns"] > others["link_ns"] + others["period_ns"]
    assert run([*words(made), "--out", str(made / "beside"), "--segments"]) == 0
    assert "2 chips, a part on each, nothing written anew: " in capsys.readouterr().out


def test_each_is_a_folder_like_any_other_and_all_come_out_the_same(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(made / "out" / "01")]) == 0
    assert run(["simulate", str(made / "out" / "01")]) == 0
    capsys.readouterr()
    assert run(["--json", "reproduce", str(made / "out"), "--out", str(made / "again")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["different"] == result["missing"] == []
    assert {"00/program.gz", "01/memory.npz"} <= set(result["same"])


def test_in_integers_all_in_order_follow_onnxruntime(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its own scales, kept beside its program as for any compiled folder."""
    copy = made / "integers"
    shutil.copytree(made / "out", copy)
    assert run(["--json", "verify", str(copy), "--integer", "--images", "8"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["numbers"], report["images"]) == (True, "integer", 8)
    assert report["correlation"] > 0.99
    assert all((entry / "integer.npz").is_file() for entry in copy.iterdir() if entry.is_dir())
    index = json.loads((copy / "segments.json").read_text())
    (copy / "segments.json").write_text(json.dumps({**index, "segments": index["segments"][1:]}))
    assert run(["verify", str(copy), "--integer"]) == 2
    assert "which nothing before it computes" in capsys.readouterr().err


def test_simulate_adds_up_what_each_takes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = json.loads((made / "out" / "segments.json").read_text())
    assert run(["--json", "simulate", str(made / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ours"]["latency_ns"] == pytest.approx(index["latency_ns"])
    assert found["ours"]["energy_pj"] == pytest.approx(index["energy_pj"])
    assert sum(found["critical_path_ns"].values()) == pytest.approx(index["latency_ns"])
    assert (found["write_ns"], len(found["segments"])) == (index["write_ns"], len(index["segments"]))
    assert run(["simulate", str(made / "out")]) == 0
    assert f"writing crossbars, not counted here: {index['write_ns']:g} ns" in capsys.readouterr().out
    assert run(["simulate", str(made / "out"), "--mode", "throughput"]) == 2
    assert "--mode: segments run one after the other, a round each" in capsys.readouterr().err


def test_the_simulator_says_of_each_what_it_takes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The executable is a script that says the same of every program; in another folder, that a core never finished."""
    said = "Simulation Report\n  - latency: 5.5e-05 ms\n  - average power: 10 mW\n  - average energy: 570 pJ\n"
    (made / "said.txt").write_text("core: 0 finish\ncore: 1 finish\n" + said)
    (made / "stalled.txt").write_text("core: 0 finish\n" + said)
    script = made / "ChipTest"
    script.write_text(f"#!/bin/sh\ncase $1 in */out/*) cat {made}/said.txt;; *) cat {made}/stalled.txt;; esac\n")
    script.chmod(0o755)
    asked = ["simulate", str(made / "out"), "--pimsim", str(script)]
    assert run(["--json", *asked]) == 0
    found = json.loads(capsys.readouterr().out)
    count = len(found["segments"])
    assert found["theirs"]["latency_ns"] == pytest.approx(55 * count)
    assert found["theirs"]["energy_pj"] == 570 * count
    for part in found["segments"]:
        difference = part["relative_difference"]["latency_ns"]
        assert difference == pytest.approx(part["ours"]["latency_ns"] / part["theirs"]["latency_ns"] - 1)
    assert run(asked) == 0
    assert "pimsim-nn" in capsys.readouterr().out
    shutil.copytree(made / "out", made / "stalling")
    assert run(["simulate", str(made / "stalling"), "--pimsim", str(script)]) == 2
    assert "stalled: 1 of 2 cores never finished (core 1)" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "images"), [("3", 3), ("auto", None)])
def test_images_of_a_visit_share_the_writing(
    word: str, images: int | None, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = made / f"visits of {word}"
    asked = [*words(made), "--segments", "--per-visit", word, "--pipeline", "batch", "--out", str(out)]
    assert run(["--json", *asked]) == 0
    index = json.loads(capsys.readouterr().out)
    count = index["images_per_visit"]
    assert count == (images or count) > 1
    of_visit = [e["latency_ns"] + (count - 1) * e["period_ns"] for e in index["segments"]]
    assert index["visit_ns"] == pytest.approx(sum(of_visit))
    assert index["image_ns"] == pytest.approx((index["visit_ns"] + index["write_ns"]) / count)
    assert index["image_pj"] == pytest.approx(index["energy_pj"] + index["write_pj"] / count)
    assert index["lifetime_images"] == 100 // len(index["segments"]) * count
    assert run(["-q", "verify", str(out)]) == 0
    capsys.readouterr()
    assert run(["-q", *asked]) == 0
    assert run(["--json", "simulate", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images_per_visit"], found["image_ns"]) == (count, index["image_ns"])


@pytest.mark.parametrize(
    ("word", "chip", "segments", "said"),
    [
        ("none", "tiny", True, "--per-visit: expected a number from 1 to 10000, or auto, found 'none'"),
        ("0", "tiny", True, "found '0'"),
        ("2", "tiny", False, "only with --segments"),
        ("auto", "isaac", True, "isaac has no global_memory.bytes"),
        ("10000", "tiny", True, "65536 bytes of global memory, needs"),
    ],
)
def test_a_wrong_number_of_images_per_visit_is_named(
    word: str, chip: str, segments: bool, said: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = str(made / "tiny.yaml") if chip == "tiny" else chip
    asked = ["compile", str(made / "net.onnx"), "--arch", arch, "--per-visit", word, "--out", str(made / "no")]
    assert run([*asked, *(["--segments"] if segments else [])]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("command", "file"), [("map", "map.png"), ("trace", "trace.json.gz")])
def test_pictures_of_every_program_lie_beside_it(
    made: Path, command: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = made / "drawn"
    shutil.copytree(made / "out", out, dirs_exist_ok=True)
    assert run(["--json", command, str(out)]) == 0
    parts = json.loads(capsys.readouterr().out)["segments"]
    assert [part["file"] for part in parts] == sorted(str(path) for path in out.glob(f"*/{file}"))
    assert len(parts) == len(json.loads((out / "segments.json").read_text())["segments"])
    assert run([command, str(out)]) == 0
    assert capsys.readouterr().out.count("wrote ") == len(parts)
    assert run([command, str(out), "--out", str(made / "one.png")]) == 2
    assert f"programs, a file each: give one of its folders, as {out / '00'}" in capsys.readouterr().err
    assert run(["view", str(out)]) == 0
    assert f"the first of {len(parts)} programs" in capsys.readouterr().err


def test_a_wrong_segment_and_a_damaged_index_are_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = made / "bad"
    shutil.copytree(made / "out", bad)
    with np.load(bad / "01" / "memory.npz") as archive:
        arrays = dict(archive)
    weights = next(name for name in arrays if name.startswith("core"))
    np.savez(bad / "01" / "memory.npz", **arrays | {weights: -arrays[weights]})
    assert run(["verify", str(bad)]) == 1
    assert "segment 01: output" in capsys.readouterr().out
    assert run(["verify", str(bad), "--integer"]) == 1
    assert "the outputs correlate with those in real numbers by" in capsys.readouterr().out
    index = json.loads((bad / "segments.json").read_text())
    for change, said in (
        ({"segments": []}, "expected at least one"),
        ({"segments": [{"folder": "../out", "network": "n"}]}, "expected a name, found '../out'"),
        ({"segments": index["segments"][1:]}, "which nothing before it computes"),
        ({"segments": index["segments"][:1]}, "no segment computes the output"),
        ({"network_sha256": "0"}, "not the network that"),
        ({"model": 3}, "expected texts"),
    ):
        (bad / "segments.json").write_text(json.dumps({**index, **change}))
        assert run(["verify", str(bad)]) == 2
        assert said in capsys.readouterr().err
    (bad / "segments.json").write_text("{")
    assert run(["verify", str(bad)]) == 2


def test_another_compile_into_the_folder_replaces_all_of_it(made: Path) -> None:
    other = made / "other"
    shutil.copytree(made / "out", other)
    small = ["-q", "compile", "digits_mlp", "--arch", "pimcomp_default", "--solver", "balance", "--out", str(other)]
    assert run(small) == 0
    assert not (other / "segments.json").exists()
    assert not (other / "00").exists()
    assert run(["-q", *words(made), "--out", str(other), "--segments"]) == 0
    assert sorted(p.name for p in other.iterdir() if p.is_file()) == [RECORD, "segments.json"]


def less(made: Path) -> str:
    """A chip of one crossbar."""
    file = made / "less.yaml"
    file.write_text(CHIP.replace("{cores: 2, crossbars_per_core: 2}", "{cores: 1, crossbars_per_core: 1}"))
    return str(file)


def test_a_layer_that_is_too_large_by_itself_becomes_several(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last one, of 64 inputs on 32 rows, which it reads of two maps."""
    out = made / "less"
    words = ["-q", "compile", str(made / "net.onnx"), "--arch", less(made), "--solver", "balance"]
    assert run([*words, "--segments", "--out", str(out)]) == 0
    layers = [entry["layers"] for entry in json.loads((out / "segments.json").read_text())["segments"]]
    assert layers[-2:] == [["Conv-y[0:16, 0:32]"], ["Conv-y[0:16, 32:64]"]]
    assert run(["verify", str(out)]) == 0
    assert run(["-q", "reproduce", str(out)]) == 0


def test_segments_of_a_kind_have_one_program(made: Path) -> None:
    """benchmarks/one_chip.py compiles one of each kind; the weights differ, in memory.npz."""
    nodes = [op("Conv", f"{'xabc'[k]} w{k}", "abcy"[k]) for k in range(4)]
    model = make(nodes, {"x": (1, 64, 4, 4)}, {f"w{k}": normals(64, 64, 1, 1, seed=k) for k in range(4)}, ("y",))
    onnx.save(model, made / "alike.onnx")
    out = made / "alike"
    asked = ["-q", "compile", str(made / "alike.onnx"), "--arch", less(made), "--solver", "exact"]
    assert run([*asked, "--segments", "--out", str(out)]) == 0
    kinds: dict[str, set[bytes]] = {}
    weights = set()
    for part in json.loads((out / "segments.json").read_text())["segments"]:
        kind = kind_of(load_network(out / part["folder"] / part["network"]).graph)
        kinds.setdefault(kind, set()).add((out / part["folder"] / "program.gz").read_bytes())
        weights.add((out / part["folder"] / "memory.npz").read_bytes())
    assert len(weights) == 16, "four blocks of each layer"
    assert len(kinds) < 6
    assert {len(programs) for programs in kinds.values()} == {1}


def test_a_filter_larger_than_the_chip_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make([op("Conv", "x w", "y")], {"x": (1, 4, 8, 8)}, {"w": normals(4, 4, 7, 7)}, ("y",))
    onnx.save(model, made / "filter.onnx")
    words = ["compile", str(made / "filter.onnx"), "--arch", less(made), "--segments"]
    assert run([*words, "--out", str(made / "none")]) == 2
    assert "Conv-y on tiny, a segment of its own: 1 crossbars, needs 7" in capsys.readouterr().err
    assert not (made / "none").exists()


def test_a_network_without_layers_is_one_segment_that_writes_nothing(made: Path) -> None:
    model = make([op("Relu", "x", "r"), op("MaxPool", "r", "y", kernel_shape=[2, 2])], {"x": (1, 4, 4, 4)}, {}, ("y",))
    onnx.save(model, made / "empty.onnx")
    out = made / "empty"
    assert run(["-q", *words(made, "empty"), "--out", str(out), "--segments"]) == 0
    index = json.loads((out / "segments.json").read_text())
    assert [(entry["layers"], entry["rows_written"]) for entry in index["segments"]] == [([], 0)]
    assert run(["-q", "verify", str(out)]) == 0
    assert run(["-q", "simulate", str(out)]) == 0


@pytest.mark.parametrize(
    ("key", "wrong", "said"),
    [
        ("row_ns: 10", "row_ns: -1", "crossbar.write.row_ns: expected a number >= 0, found integer -1"),
        (
            "rows_at_once: 4",
            "rows_at_once: 0",
            "crossbar.write.rows_at_once: expected an integer >= 1, found integer 0",
        ),
        ("row_pj: 3", "row_mw: 1", "crossbar.write.row_mw"),
        ("endurance: 100", "endurance: -1", "crossbar.write.endurance: expected an integer >= 0, found integer -1"),
        ("bytes: 65536", "bytes: 1.5", "global_memory.bytes: expected an integer"),
    ],
)
def test_a_wrong_key_of_a_chip_is_named(
    key: str, wrong: str, said: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert key in CHIP
    (made / "wrong.yaml").write_text(CHIP.replace(key, wrong))
    words = ["compile", str(made / "net.onnx"), "--arch", str(made / "wrong.yaml"), "--segments"]
    assert run([*words, "--out", str(made / "wrong")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["element", "batch"])
def test_a_trained_network_on_a_chip_half_its_size(
    pipeline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chip.yaml").write_text(
        "chip: {cores: 2, crossbars_per_core: 8}\n"
        "crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}\ncore: {rob_size: 1}\n"
    )
    out = tmp_path / "out"
    words = ["compile", "digits_resnet8", "--arch", str(tmp_path / "chip.yaml"), "--solver", "exact"]
    assert run([*words, "--pipeline", pipeline, "--segments", "--out", str(out)]) == 0
    assert "has no crossbar.write.row_ns: writing is not counted" in capsys.readouterr().out
    assert run(["verify", str(out), "--images", "8"]) == 0
