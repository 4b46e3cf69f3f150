"""`pimdse compile A B`: several networks side by side on one chip, one program, each verified.

Covers: /pimdse/folder/networks, /pimdse/compiling/reproduction, /pimcomp/compile, /pimcomp/proof/executed.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from pimdse.cli import run
from tests.frontend.hosted import detector
from tests.frontend.small_onnx import make, normals, op

CHIP = """
name: tiny
chip: {cores: 6, crossbars_per_core: 2}
crossbar: {rows: 32, cols: 32, cell_bits: 8, dac: {count: 32}, adc: {bits: auto},
  write: {row_ns: 10, row_pj: 3, rows_at_once: 4}}
core: {rob_size: 1}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks whose inputs, nodes and outputs have the same names, a chip, and `out`: a network twice
    and a slower one with siblings that are merged between; outputs appear after different numbers of rounds.
    """
    folder = tmp_path_factory.mktemp("resident")
    (folder / "tiny.yaml").write_text(CHIP)
    small = [op("Conv", "x w", "a"), op("Relu", "a", "b"), op("GlobalAveragePool", "b", "y")]
    onnx.save(make(small, {"x": (1, 8, 4, 4)}, {"w": normals(16, 8, 1, 1)}), folder / "small.onnx")
    tall = [
        op("Conv", "x w", "a"), op("Relu", "a", "b"), op("Conv", "b v", "c", pads=[1, 1, 1, 1]),
        op("Conv", "b u", "d"), op("Concat", "c d", "e", axis=1), op("Clip", "e", "y"),
    ]  # fmt: skip
    weights = {"w": normals(8, 3, 1, 1), "v": normals(16, 8, 3, 3), "u": normals(8, 8, 1, 1)}
    onnx.save(make(tall, {"x": (1, 3, 12, 12)}, weights), folder / "tall.onnx")
    onnx.save(detector(), folder / "detector.onnx")
    assert run(["-q", *words(folder, "small", "tall", "small"), "--out", str(folder / "out")]) == 0
    return folder


def words(folder: Path, *networks: str, pipeline: str = "batch") -> list[str]:
    models = [str(folder / f"{network}.onnx") for network in networks]
    return ["compile", *models, "--arch", str(folder / "tiny.yaml"), "--solver", "exact", "--pipeline", pipeline]


def test_each_network_has_cores_of_its_own_and_is_verified(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = json.loads((made / "out" / "networks.json").read_text())["networks"]
    assert [entry["label"] for entry in entries] == ["small", "tall", "small-2"]
    assert [entry["first_core"] for entry in entries] == [0, entries[0]["cores"], 6 - entries[2]["cores"]]
    assert len({entry["output_round_delay"] for entry in entries}) > 1
    assert run(["--json", "verify", str(made / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [output["name"] for output in report["outputs"]] == ["small/y", "tall/y", "small-2/y"]
    assert {name: worst["passed"] for name, worst in report["networks"].items()} == dict.fromkeys(
        ("small", "tall", "small-2"), True
    )
    assert run(["verify", str(made / "out")]) == 0
    assert "  small-2: largest error" in capsys.readouterr().out
    images = {"small/x": normals(3, 8, 4, 4), "tall/x": normals(3, 3, 12, 12), "small-2/x": normals(3, 8, 4, 4, seed=1)}
    np.savez(made / "images.npz", allow_pickle=False, **images)
    assert run(["--json", "verify", str(made / "out"), "--input", str(made / "images.npz")]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3
    assert run(["--json", "verify", str(made / "out"), "--integer", "--images", "8"]) == 0
    assert json.loads(capsys.readouterr().out)["correlation"] > 0.9


def test_the_folder_is_like_any_other_and_comes_out_the_same(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = json.loads((made / "out" / "networks.json").read_text())
    assert run(["--json", "simulate", str(made / "out")]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert simulated["ours"]["period_ns"] == max(entry["period_ns"] for entry in index["networks"]) == index["time_ns"]
    assert index["gain"] == pytest.approx(sum(e["alone"]["period_ns"] for e in index["networks"]) / index["time_ns"])
    rows = sum(entry["alone"]["rows_written"] for entry in index["networks"])
    assert index["in_turn"]["write_ns"] == 10 * -(-rows // 4)
    assert run(["map", str(made / "out"), "-o", str(made / "map.svg")]) == 0
    assert run(["trace", str(made / "out"), "-o", str(made / "trace.json")]) == 0
    assert "small-2/" in (made / "trace.json").read_text()
    capsys.readouterr()
    assert run(["--json", "reproduce", str(made / "out"), "--out", str(made / "again")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["different"] == result["missing"] == []
    assert {"networks.json", "program.gz", "memory.npz", "manifest.yaml"} <= set(result["same"])


def test_weights_decide_who_gets_cores(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cores = []
    for weights in ("99,1", "1,99"):
        line = [*words(made, "tall", "tall", pipeline="element"), "--combine", weights, "--out", str(made / weights)]
        assert run(["--json", *line]) == 0
        index = json.loads(capsys.readouterr().out)
        assert index["time"] == "latency_ns"
        cores.append([entry["cores"] for entry in index["networks"]])
    assert cores[0] == cores[1][::-1]
    assert cores[0][0] > cores[0][1]
    assert run([*words(made, "small", "tall"), "--out", str(made / "shown")]) == 0
    shown = capsys.readouterr().out
    assert "longest period" in shown
    assert "better" in shown


def test_turns_win_where_weights_leave_no_room_for_replicas(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A layer of few MVMs has three crossbars of a half chip's four, one of many MVMs the fourth; on the whole chip it
    has five. Writing in every turn pays from some images on.
    """
    nodes = [
        op("Conv", "x w", "a"), op("Relu", "a", "b"), op("GlobalAveragePool", "b", "c"), op("Conv", "c v", "y"),
    ]  # fmt: skip
    weights = {"w": normals(16, 8, 1, 1), "v": normals(96, 16, 1, 1)}
    onnx.save(make(nodes, {"x": (1, 8, 24, 24)}, weights), made / "wide.onnx")
    (made / "full.yaml").write_text(CHIP.replace("cores: 6", "cores: 4"))
    line = [*words(made, "wide", "wide"), "--arch", str(made / "full.yaml"), "--out", str(made / "turns")]
    assert run(["--json", *line]) == 0
    index = json.loads(capsys.readouterr().out)
    turn, images = index["in_turn"], index["in_turn"]["images"]
    assert index["gain"] < 1
    alone = [entry["alone"] for entry in index["networks"]]
    of_a_turn = [turn["write_ns"] + sum(a["latency_ns"] + (n - 1) * a["period_ns"] for a in alone) for n in range(99)]
    assert of_a_turn[images] < images * index["time_ns"]
    assert of_a_turn[images - 1] >= (images - 1) * index["time_ns"]
    assert run(line) == 0
    said = f"in turn, up to {1 / index['gain']:.2f}x, if a turn is of {images} or more images of each"
    assert said in capsys.readouterr().out
    assert run(["-q", "verify", str(made / "turns")]) == 0


@pytest.mark.parametrize(
    ("networks", "more", "message"),
    [
        (
            ["tall"] * 4,
            [],
            "6 cores for networks side by side (tall 2, tall-2 2, tall-3 2, tall-4 2), needs 8: chips: 2",
        ),
        (["tall"] * 4, [], "or cores: 8; or --segments, with which they take turns"),
        (["small", "detector"], [], "side by side nothing is left to the host: with --segments they take turns"),
        (["small", "tall"], ["--segments", "--combine", "1,2"], "--combine: only side by side"),
        (["small", "tall"], ["--combine", "1,2,3"], "--combine: expected worst, or 2 numbers above 0"),
        (["small", "tall"], ["--combine", "1,-2"], "--combine: expected worst, or 2 numbers above 0"),
        (["small", "gone"], [], "gone.onnx: no such file"),
    ],
)
def test_what_cannot_be_is_told(
    made: Path, networks: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words(made, *networks), *more, "--out", str(made / "never")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (made / "never").exists()


def test_a_wrong_network_and_a_damaged_index_are_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = made / "bad"
    shutil.copytree(made / "out", bad)
    with np.load(bad / "memory.npz") as archive:
        arrays = dict(archive)
    arrays["core5_group0"] = -arrays["core5_group0"]
    np.savez(bad / "memory.npz", **arrays)
    assert run(["--json", "verify", str(bad)]) == 1
    report = json.loads(capsys.readouterr().out)
    passed = {name: worst["passed"] for name, worst in report["networks"].items()}
    assert passed == {"small": True, "tall": True, "small-2": False}
    assert report["node"].startswith("small-2/")
    assert run(["verify", str(bad), "--model", "small.onnx"]) == 2
    assert f"--model: {bad} holds several networks" in capsys.readouterr().err
    index = json.loads((bad / "networks.json").read_text())
    index["networks"][0]["network_sha256"] = "0"
    (bad / "networks.json").write_text(json.dumps(index))
    assert run(["verify", str(bad)]) == 2
    assert "small.onnx: not the network that" in capsys.readouterr().err
    (bad / "networks.json").write_text("{}")
    assert run(["reproduce", str(bad)]) == 2
    assert "networks.json: not an index of networks: KeyError" in capsys.readouterr().err


@pytest.mark.slow
def test_two_networks_share_the_default_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Side by side beats taking turns: no network alone keeps all cores busy."""
    out = str(tmp_path / "out")
    line = ["compile", "digits_resnet8", "digits_lenet5", "--pipeline", "batch", "--solver", "exact", "--out", out]
    assert run(["--json", *line]) == 0
    index = json.loads(capsys.readouterr().out)
    scaled = [entry["alone"]["period_ns"] * 144 / entry["cores"] for entry in index["networks"]]
    assert index["time_ns"] <= 1.1 * max(scaled)
    assert index["gain"] > 1
    assert run(["verify", out]) == 0
