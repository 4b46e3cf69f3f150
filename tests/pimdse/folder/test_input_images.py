"""What `pimdse verify` is given: pictures, archives, models that changed meanwhile; and proofs that cannot be made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pimcomp.errors import ModelError
from pimcomp.frontend import load_network
from pimdse.cli import run
from pimdse.folder.input_images import read_inputs
from tests.frontend.small_onnx import load, make, normals, op

SMALL = """
name: small
chip: {cores: 4, crossbars_per_core: 64}
crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}
core: {rob_size: 1}
"""
SWEEP = """
sweep:
  model: net.onnx
  trials: 2
  solvers: [balance]
  pipelines: [element]
  space: {cores: [4, 8]}
"""
Picture = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def picture(folder: Path, channels: int) -> tuple[Path, Picture]:
    """A .png of 5 rows and 4 columns, and its values [rows, columns, channels]."""
    from matplotlib.image import imsave

    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, channels)).astype(np.uint8)
    if channels == 1:
        from PIL import Image

        Image.fromarray(pixels[:, :, 0]).save(folder / "picture.png")
    else:
        imsave(folder / "picture.png", pixels)
    return folder / "picture.png", (pixels / 255).astype(np.float32)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["NCHW", "NHWC", "CHW"])
def test_a_picture_is_turned_into_the_axes_that_the_network_wants(
    order: str, channels: int, colours: int, tmp_path: Path
) -> None:
    weights = {"k": normals(2, channels, 3, 3)}
    conv = op("Conv", "t k", "y")
    first = {"NCHW": "Identity", "NHWC": "Transpose", "CHW": "Unsqueeze"}[order]
    attributes: dict[str, Any] = {"NHWC": {"perm": [0, 3, 1, 2]}, "CHW": {"axes": [0]}}.get(order, {})
    sizes = {"N": 1, "C": channels, "H": 5, "W": 4}
    shape = [sizes[axis] for axis in order]
    network = load(make([op(first, "x", "t", **attributes), conv], {"x": shape}, weights, opset=11), tmp_path)
    file, pixels = picture(tmp_path, colours)
    found = read_inputs(file, network.graph)["x"]
    if channels != colours:
        pixels = pixels.mean(axis=2, keepdims=True) if channels == 1 else pixels.repeat(3, axis=2)
    expected = pixels if order == "NHWC" else pixels.transpose(2, 0, 1)
    np.testing.assert_allclose(found.reshape(1, *expected.shape), expected[None], rtol=1e-6)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    file, _ = picture(tmp_path, 3)
    with pytest.raises(ModelError, match=r"picture.png: expected images of 1 x 8 x 8, found 5 x 4 x "):
        read_inputs(file, load_network("digits_mlp").graph)


def test_an_archive_with_more_images_of_one_input_is_refused(tmp_path: Path) -> None:
    network = load(make([op("Add", "l r", "y")], {"l": [1, 3, 4, 4], "r": [1, 3, 4, 4]}), tmp_path)
    np.savez(tmp_path / "in.npz", l=normals(3, 3, 4, 4), r=normals(2, 3, 4, 4))
    with pytest.raises(ModelError, match=r"in.npz: 3 images for l, 2 images for r"):
        read_inputs(tmp_path / "in.npz", network.graph)
    np.savez(tmp_path / "in.npz", l=normals(3, 4, 4), r=normals(1, 3, 4, 4))
    assert {name: len(array) for name, array in read_inputs(tmp_path / "in.npz", network.graph).items()} == {
        "l": 1,
        "r": 1,
    }


def test_images_of_a_network_without_a_batch(tmp_path: Path) -> None:
    network = load(make([op("MatMul", "x w", "y")], {"x": [6]}, {"w": normals(6, 3)}), tmp_path)
    for shape, count in (((6,), 1), ((4, 6), 4)):
        np.save(tmp_path / "in.npy", normals(*shape))
        assert read_inputs(tmp_path / "in.npy", network.graph)["x"].shape == (count, 6)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiled network of our own, its model beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip.yaml").write_text(SMALL)
    save(tmp_path / "net.onnx", seed=1)
    assert run(["-q", "compile", "net.onnx", "--arch", "chip.yaml", "--solver", "balance", "--out", "out"]) == 0
    return tmp_path / "out"


def save(file: Path, seed: int) -> None:
    nodes = [op("Conv", "x k", "c"), op("Relu", "c", "y")]
    file.write_bytes(make(nodes, {"x": [1, 3, 6, 6]}, {"k": normals(4, 3, 3, 3, seed=seed)}).SerializeToString())


def test_a_model_that_changed_is_said_to_have_changed(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no fault of the program, so there is no node, core or instruction to blame."""
    (compiled.parent / "copy.onnx").write_bytes((compiled.parent / "net.onnx").read_bytes())
    assert run(["verify", "out", "--model", "copy.onnx"]) == 0, "the same network by another name"
    save(compiled.parent / "net.onnx", seed=2)
    for words in (["verify", "out"], ["verify", "out", "--integer"], ["reproduce", "out"]):
        capsys.readouterr()
        assert run(words) == 2
        assert "net.onnx: not the network that out was made from (its content differs)" in capsys.readouterr().err
    (compiled / "manifest.yaml").unlink()
    assert run(["verify", "out"]) == 1, "as the library leaves it: nothing tells which network it was"


def test_a_proof_that_cannot_be_made_costs_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime leaves the dilation out of SAME padding, so that there is nothing to compare with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(SMALL + SWEEP)
    nodes = [
        op("Conv", "x k", "c"),
        op("AveragePool", "c", "y", kernel_shape=[3, 3], dilations=[2, 2], auto_pad="SAME_UPPER"),
    ]
    model = make(nodes, {"x": [1, 3, 6, 6]}, {"k": normals(4, 3, 1, 1)}, opset=19)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert run(["sweep", "sweep.yaml", "--out", "out"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "program: output y: onnxruntime computes the shape" in said
    assert {"report.html", "front.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "onnxruntime computes the shape" in (tmp_path / "out" / "report.html").read_text()
    assert run(["report", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] == []
    assert run(["-q", "pick", "out"]) == 2, "what is asked for by itself is an error"
    assert (tmp_path / "out" / "pick" / "program.gz").exists()
    assert yaml.safe_load((tmp_path / "out" / "manifest.yaml").read_text())["results"]["front"]


@pytest.mark.parametrize(
    ("value", "message"),
    [(1j, "expected real numbers, found complex128"), (True, "expected real numbers"), (1e300, "expected finite")],
)
def test_numbers_that_are_no_pixels_are_refused(value: complex, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.full((1, 1, 8, 8), value))
    with pytest.raises(ModelError, match=message):
        read_inputs(tmp_path / "image.npy", load_network("digits_mlp").graph)
