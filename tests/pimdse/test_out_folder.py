"""Nothing that a user has is lost to --out, and an empty one is no folder; places that were moved are found again."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pimcomp.foundation.own_files import RECORD
from pimdse.cli import run
from tests.frontend.small_onnx import make, normals, op
from tests.spaces.stored_sweep import store

_CHIP = """
name: small
chip: {cores: 16, crossbars_per_core: 8}
crossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}
core: {rob_size: 1}
"""
_SWEEP = "sweep: {model: net.onnx, trials: 2, solvers: [balance], pipelines: [element], space: {cores: [4, 16]}}\n"


def network(factor: float = 1.0) -> bytes:
    """A small convolution."""
    nodes = [op("Conv", "x w", "c"), op("Relu", "c", "y")]
    model = make(nodes, {"x": (1, 4, 4, 4)}, {"w": normals(6, 4, 3, 3) * np.float32(factor)})
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, a chip, a sweep's file, and the folders `compiled` and `swept` made of them."""
    here = tmp_path_factory.mktemp("made")
    (here / "net.onnx").write_bytes(network())
    (here / "chip.yaml").write_text(_CHIP)
    (here / "small.yaml").write_text(_CHIP + _SWEEP)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        assert (
            run(["-q", "compile", "net.onnx", "--arch", "chip.yaml", "--solver", "balance", "--out", "compiled"]) == 0
        )
        assert run(["-q", "sweep", "small.yaml", "--no-verify", "--out", "swept"]) == 0
    return here


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `made` to work in."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("compile net.onnx --arch chip.yaml --out mine", "mine/config.json"),
        ("compile net.onnx --arch chip.yaml --out mine --save weights", "mine/weights.npz"),
        ("compile net.onnx --arch chip.yaml --out mine --format pim", "mine/cores/core_0.pim"),
        ("compile net.onnx --arch mine/chip.yaml --out mine", "mine/chip.yaml"),
        ("compile net.onnx --arch compiled/chip.yaml --out compiled", "compiled/chip.yaml"),
        ("pick swept --out mine", "mine/memory.npz"),
        ("pick swept --out swept", "swept/manifest.yaml"),
        ("sweep small.yaml --out mine", "mine/report.html"),
        ("reproduce compiled --out mine", "mine/program.gz"),
        ("trace compiled --out mine/trace.json", "mine/trace.json"),
        ("trace compiled --out compiled/config.json", "compiled/config.json"),
        ("map compiled --out mine/map.png", "mine/map.png"),
        ("export-json net.onnx --out mine/net.json", "mine/net.json"),
        ("import-config compiled/config.json --out mine/chip.yaml", "mine/chip.yaml"),
        ("precision net.onnx --arch chip.yaml --out mine/net.yaml", "mine/net.yaml"),
        ("compare net.onnx --arch chip.yaml --solvers balance --png mine/a.png", "mine/a.png"),
    ],
)
def test_a_file_that_is_not_the_commands_own_stops_it(
    here: Path, words: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = here / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    if not mine.exists():
        mine.write_text(_CHIP)
    before = content(here)
    assert run(words.split()) == 2
    error = capsys.readouterr().err
    assert f"in the way: {name.partition('/')[2]} (" in error
    assert "another --out" in error
    assert content(here) == before


@pytest.mark.parametrize(
    "words",
    [
        "compile net.onnx --arch chip.yaml",
        "pick swept",
        "sweep small.yaml",
        "reproduce compiled",
        "trace compiled",
        "map compiled",
        "export-json net.onnx",
        "import-config compiled/config.json",
    ],
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_out_is_no_folder(here: Path, words: str, empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(here)
    assert run([*words.split(), "--out", empty]) == 2
    assert "expected a path, found nothing" in capsys.readouterr().err
    assert content(here) == before


def test_a_report_that_somebody_edited_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, trials=6)
    assert run(["-q", "report", str(tmp_path)]) == 0
    assert run(["-q", "report", str(tmp_path)]) == 0
    (tmp_path / "front.csv").write_text("my colours")
    assert run(["report", str(tmp_path)]) == 2
    assert "in the way: front.csv (changed since pimdse wrote it)" in capsys.readouterr().err
    assert (tmp_path / "front.csv").read_text() == "my colours"


def test_integers_are_not_written_over_a_file_of_the_user(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "compiled" / "integer.npz").write_text("mine")
    assert run(["verify", "compiled", "--integer"]) == 2
    assert "in the way: integer.npz" in capsys.readouterr().err
    assert (here / "compiled" / "integer.npz").read_text() == "mine"


def test_a_network_is_found_from_other_folders_and_its_absence_explained(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "deep").mkdir()
    monkeypatch.chdir(here / "deep")
    assert run(["-q", "verify", "../compiled"]) == 0
    assert run(["-q", "reproduce", "../compiled"]) == 0
    assert run(["-q", "pick", "../swept", "--no-verify"]) == 0
    assert run(["-q", "sweep", "../small.yaml", "--no-verify", "--out", "again"]) == 0
    assert (here / "deep" / "again" / "report.html").is_file()
    (here / "net.onnx").rename(here / "gone.onnx")
    capsys.readouterr()
    assert run(["verify", "../compiled"]) == 2
    assert "net.onnx: no such file: ../compiled names it as seen from where it was made" in (
        error := " ".join(capsys.readouterr().err.split())
    )
    assert "--model PATH" in error
    assert run(["-q", "verify", "../compiled", "--model", "../gone.onnx"]) == 0
    for words in (["pick", "../swept"], ["reproduce", "../compiled"]):
        assert run(words) == 2
        assert "put it beside that folder" in " ".join(capsys.readouterr().err.split())


def test_another_network_under_the_same_name_is_not_picked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "net.onnx").write_bytes(network(2.0))
    before = content(here)
    assert run(["pick", "swept"]) == 2
    assert "net.onnx: not what swept was searched with" in capsys.readouterr().err
    assert content(here) == before


def test_a_folder_with_a_networks_name_hides_no_network(
    here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (here / "digits_mlp").mkdir()
    (here / "isaac").mkdir()
    assert run(["-q", "inspect", "digits_mlp", "--arch", "isaac"]) == 0
    assert run(["-q", "verify", "digits_mlp", "--arch", "isaac", "--solver", "balance", "--images", "1"]) == 0
    assert run(["inspect", str(tmp_path)]) == 2
    assert "is a folder: expected an ONNX or JSON file" in capsys.readouterr().err


def test_the_record_of_a_copy_is_worth_as_much(here: Path) -> None:
    shutil.copytree(here / "compiled", here / "copy")
    assert run(["-q", "compile", "net.onnx", "--arch", "chip.yaml", "--solver", "balance", "--out", "copy"]) == 0
    (here / "compiled" / RECORD).unlink()
    assert run(["-q", "compile", "net.onnx", "--arch", "chip.yaml", "--solver", "balance", "--out", "compiled"]) == 2
