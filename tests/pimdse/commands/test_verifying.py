"""`pimdse verify --integer`, and every trained network through what the command line calls."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import pimcomp.proof.trained
from pimcomp.foundation.data_files import data_dir
from pimcomp.frontend import load_network
from pimcomp.ir.plan import Pipeline
from pimcomp.proof.trained import LabelledImages, find_test_set
from pimdse.cli import run
from pimdse.compiling.building import build, make_recipe, write
from pimdse.folder.proof import prove, prove_integer

_IMAGES = 360
TRAINED = sorted(path.stem for path in (data_dir("models") / "trained").glob("*.onnx"))


def _json(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> tuple[int, dict[str, object]]:
    status = run([*words, "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return status, found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled") / "mlp"
    assert run(["-q", "compile", "digits_mlp", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_network_has_its_images(name: str) -> None:
    network = load_network(name)
    known = find_test_set(name, network)
    assert known is not None
    for images, count in ((known.images, len(known.labels)), (known.calibration, 64)):
        ((key, array),) = images.items()
        assert key == network.graph.nodes[0].name
        assert array.shape == (count, *network.graph.nodes[0].operation.onnx_shape[1:])  # type: ignore[union-attr]
    assert find_test_set(name, network, weights="random:1") is None, "other weights were not trained"


def test_a_network_of_the_users_has_no_test_set(tmp_path: Path) -> None:
    mine = tmp_path / "digits_mlp.onnx"
    mine.write_bytes((data_dir("models") / "trained" / "digits_mlp.onnx").read_bytes())
    assert find_test_set(str(mine), load_network(mine)) is None


def test_a_trained_network_is_judged_by_its_accuracy(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = _json(capsys, ["verify", str(compiled), "--integer"])
    assert (status, found["numbers"], found["passed"], found["images"]) == (0, "integer", True, _IMAGES)
    with np.load(data_dir("models") / "trained" / "digits_test_8x8.npz") as data:
        labels = data["y"]
    accuracy, reference = found["accuracy"], found["reference_accuracy"]
    assert isinstance(accuracy, float)
    assert isinstance(reference, float)
    assert reference > 0.9
    assert round(reference * len(labels)) == pytest.approx(reference * len(labels))
    assert 100 * (reference - accuracy) <= 1
    with np.load(compiled / "integer.npz") as saved:
        assert {"bits", "shift", "constants"} <= set(saved)
    assert run(["verify", str(compiled), "--integer"]) == 0
    text = capsys.readouterr().out
    assert f"top-1 accuracy {100 * accuracy:.2f} %, onnxruntime in real numbers {100 * reference:.2f} %" in text
    assert run(["-q", "compile", "digits_mlp", "--out", str(compiled)]) == 0
    assert not (compiled / "integer.npz").exists(), "it belongs to the earlier program"


def test_other_weights_and_other_images_are_judged_by_agreement(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = _json(capsys, ["verify", "digits_mlp", "--integer", "--weights", "random:3", "--images", "6"])
    assert (status, found["images"], found["accuracy"]) == (0, 6, None)
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((5, 1, 8, 8)))
    words = ["verify", str(compiled), "--integer", "--input", str(tmp_path / "images.npy")]
    status, found = _json(capsys, words)
    assert (status, found["images"], found["accuracy"]) == (0, 5, None)
    assert run(words) == 0
    assert "compared with onnxruntime: same largest output" in capsys.readouterr().out


def test_lost_accuracy_is_a_mismatch_and_status_1(
    compiled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated for images a hundred times fainter, everything saturates."""
    read = pimcomp.proof.trained._read

    def faint(file: Path, name: str) -> LabelledImages:
        known = read(file, name)
        return LabelledImages(known.images, known.labels, {name: known.calibration[name] / np.float32(100)})

    monkeypatch.setattr(pimcomp.proof.trained, "_read", faint)
    status, found = _json(capsys, ["verify", str(compiled), "--integer"])
    assert (status, found["passed"]) == (1, False)
    assert run(["verify", str(compiled), "--integer"]) == 1
    assert "mismatch" in (text := capsys.readouterr().out)
    assert "top-1 accuracy" in text


def test_a_damaged_program_is_a_mismatch_in_integers_too(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(compiled, broken)
    with np.load(compiled / "memory.npz") as archive:
        arrays = dict(archive)
    for name in (n for n in sorted(arrays) if "_group" in n or n.startswith("matrix_")):
        arrays[name] = -arrays[name]
    np.savez(broken / "memory.npz", **arrays)
    status, found = _json(capsys, ["verify", str(broken), "--integer"])
    assert (status, found["passed"]) == (1, False)
    assert not (capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", Pipeline)
@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_network_is_right_with_the_defaults(name: str, pipeline: Pipeline, tmp_path: Path) -> None:
    """Float: 1e-4 of the range. Integer: one point of top-1 accuracy."""
    recipe = make_recipe(
        model=name, weights=None, arch="pimcomp_default", solver="auto", pipeline=pipeline, time_limit_s=None, seed=0,
        options=None,
    )  # fmt: skip
    built = build(recipe)
    write(built, tmp_path / "out")
    report = prove(tmp_path / "out", built.network)
    assert report.passed, report.reason
    integer = prove_integer(tmp_path / "out", [built.network], model=name)
    assert integer.passed, integer.reason
    assert integer.images == _IMAGES
    assert integer.accuracy is not None
    assert integer.reference_accuracy is not None
    assert 100 * (integer.reference_accuracy - integer.accuracy) <= 1


@pytest.mark.parametrize("pipeline", Pipeline)
def test_a_trained_transformer_is_right_in_both_numbers(pipeline: Pipeline, tmp_path: Path) -> None:
    recipe = make_recipe(
        model="digits_vit", weights=None, arch="pimcomp_default", solver="stream", pipeline=pipeline, time_limit_s=None,
        seed=0, options=None,
    )  # fmt: skip
    built = build(recipe)
    write(built, tmp_path / "out")
    report = prove(tmp_path / "out", built.network)
    assert report.passed, report.reason
    integer = prove_integer(tmp_path / "out", [built.network], model="digits_vit")
    assert integer.passed, integer.reason
    assert integer.agreement > 0.97


@pytest.mark.parametrize("command", ["verify", "reproduce"])
def test_a_network_that_cannot_be_read_is_said_to_be_the_folders(
    command: str, compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mlp"
    shutil.copytree(compiled, folder)
    (tmp_path / "notes.txt").write_text("no network", encoding="utf-8")
    for record, name in (("report.json", '"digits_mlp"'), ("manifest.yaml", "digits_mlp")):
        text = (folder / record).read_text(encoding="utf-8")
        (folder / record).write_text(text.replace(name, name.replace("digits_mlp", "../notes.txt")), encoding="utf-8")
    assert run([command, str(folder)]) == 2
    said = capsys.readouterr().err
    assert f"{folder} names a network that cannot be read" in said
    assert "notes.txt: not an ONNX model" in said
