"""`pimdse compile A B --segments`: networks that take turns on a chip, and every command that reads their folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import pimcomp
from pimdse.cli import run
from tests.frontend.hosted import middle
from tests.frontend.small_onnx import make, normals, op
from tests.pimdse.compiling.test_segmented import CHIP


def conv(name: str, channels: int, layers: int) -> onnx.ModelProto:
    """A chain of layers of that many channels, from input x to output y whatever the network."""
    names = ["x", *(f"{name}{k}" for k in range(layers - 1)), "y"]
    nodes = [op("Conv", f"{names[k]} w{k}", names[k + 1]) for k in range(layers)]
    weights = {f"w{k}": normals(channels, channels, 1, 1, seed=k) for k in range(layers)}
    return make(nodes, {"x": (1, channels, 4, 4)}, weights, ("y",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks, a chip that holds none but "b", and `out` with "a", "b" and "h", of which the host computes a part."""
    folder = tmp_path_factory.mktemp("turns")
    onnx.save(conv("a", 64, 2), folder / "a.onnx")
    onnx.save(conv("b", 32, 1), folder / "b.onnx")
    onnx.save(middle(), folder / "h.onnx")
    (folder / "tiny.yaml").write_text(CHIP)
    assert run(["-q", *words(folder, "a", "b", "h"), "--out", str(folder / "out")]) == 0
    return folder


def words(folder: Path, *networks: str) -> list[str]:
    files = [str(folder / f"{name}.onnx") for name in networks]
    return ["compile", *files, "--segments", "--arch", str(folder / "tiny.yaml"), "--solver", "balance"]


def write_images(file: Path, images: dict[str, Any]) -> None:
    np.savez(file, **images)


def said(capsys: pytest.CaptureFixture[str], *asked: str, status: int = 0) -> dict[str, object]:
    """What a command says with --json."""
    capsys.readouterr()
    assert run(["--json", *asked]) == status
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_segments_of_every_network_follow_each_other(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = json.loads((made / "out" / "segments.json").read_text())
    assert [network["label"] for network in index["networks"]] == ["a", "b", "h"]
    folders = [entry["folder"] for entry in index["segments"]]
    assert [name for network in index["networks"] for name in network["folders"]] == folders
    assert folders[0] == "a-00"
    assert "b-00" in folders
    assert index["networks"][0]["rows_written"] == 2 * 64 * 2
    for name in ("latency_ns", "write_ns", "rows_written"):
        assert sum(network[name] for network in index["networks"]) == pytest.approx(index[name])
    assert index["image_ns"] == pytest.approx(index["latency_ns"] + index["write_ns"])
    assert run([*words(made, "a", "b"), "--out", str(made / "two")]) == 0
    text = capsys.readouterr().out
    assert "a + b on tiny" in text
    assert "per image of each" in text


def test_each_is_verified(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = made / "out"
    report = said(capsys, "verify", str(out))
    assert report["passed"]
    assert [*report["networks"]] == ["a", "b", "h"]  # type: ignore[misc]
    assert report["host_ns"] > 0.0  # type: ignore[operator]
    assert run(["verify", str(out)]) == 0
    assert "  b: largest error " in capsys.readouterr().out
    assert said(capsys, "verify", str(out), "--integer", "--images", "8")["correlation"] > 0.9  # type: ignore[operator]
    assert [*pimcomp.verify_folder(out, images=2).networks] == ["a", "b", "h"]
    write_images(made / "images.npz", {"a/x": normals(3, 64, 4, 4), "b/x": normals(3, 32, 4, 4)})
    assert said(capsys, "verify", str(made / "two"), "--input", str(made / "images.npz"))["images"] == 3
    write_images(made / "images.npz", {"a/x": normals(3, 64, 4, 4)})
    assert run(["verify", str(made / "two"), "--input", str(made / "images.npz")]) == 2
    assert "no array b/x; found a/x" in capsys.readouterr().err
    assert run(["verify", str(out), "--model", str(made / "a.onnx")]) == 2
    assert "--model: " in capsys.readouterr().err


def test_a_wrong_program_is_named_with_its_network(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = made / "bad"
    shutil.copytree(made / "two", bad)
    with np.load(bad / "b-00" / "memory.npz") as archive:
        arrays = dict(archive)
    weights = next(name for name in arrays if name.startswith("core"))
    np.savez(bad / "b-00" / "memory.npz", **arrays | {weights: -arrays[weights]})
    assert "b: segment b-00: " in str(said(capsys, "verify", str(bad), status=1)["error"])
    index = json.loads((bad / "segments.json").read_text())
    index["networks"][0]["folders"] = ["b-00"]
    (bad / "segments.json").write_text(json.dumps(index))
    assert run(["verify", str(bad)]) == 2
    assert "networks: expected labels of their own, and the folders of all segments in order" in capsys.readouterr().err


def test_all_commands_read_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, index = str(made / "out"), json.loads((made / "out" / "segments.json").read_text())
    programs = [entry["folder"] for entry in index["segments"] if "host" not in entry]
    found = said(capsys, "simulate", out)
    assert [part["folder"] for part in found["segments"]] == programs  # type: ignore[attr-defined]
    assert found["ours"]["latency_ns"] == pytest.approx(index["latency_ns"])  # type: ignore[index]
    for command, file in (("map", "map.png"), ("trace", "trace.json.gz")):
        parts = said(capsys, command, out)["segments"]
        assert [part["file"] for part in parts] == [f"{out}/{name}/{file}" for name in programs]  # type: ignore[attr-defined]
        assert run([command, out, "--out", str(made / "one.png")]) == 2
        assert "programs, a file each: give one of its folders, as " in capsys.readouterr().err
    assert said(capsys, "view", out)["file"] == f"{out}/{programs[0]}/map.png"
    result = said(capsys, "reproduce", out)
    assert result["different"] == result["missing"] == []
    assert {f"{name}/program.gz" for name in programs} <= set(result["same"])  # type: ignore[call-overload]
    assert run(["-q", *words(made, "a", "b", "h"), "--out", out]) == 0, "what map and trace left is not in the way"


def test_what_is_for_one_network_or_for_networks_side_by_side_is_refused(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "bits.yaml").write_text("'*': {weight_bits: 4}\n")
    assert run([*words(made, "a", "b"), "--precision", str(made / "bits.yaml"), "--out", str(made / "no")]) == 2
    assert "--precision: for one network; these are several" in capsys.readouterr().err
    assert run([*words(made, "a", "h"), "--host", "forbid", "--out", str(made / "no")]) == 2
    assert "Softplus" in capsys.readouterr().err
