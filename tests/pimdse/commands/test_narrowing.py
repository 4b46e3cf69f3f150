"""`pimdse precision`: its table, and a file that the other commands take."""

from pathlib import Path

import pytest

from pimcomp.config.precision_file import read_precision
from pimcomp.ir.precision import Precision
from pimdse.cli import run


def test_the_file_found_goes_into_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["precision", "digits_mlp", "--bits", "8"]) == 0
    said = capsys.readouterr()
    file = "results/precision/digits_mlp-isaac.yaml"
    assert "from 8 bits: 4 -> 3 crossbars of one copy (25.0 % fewer), accuracy 96.67 -> 96.94 %" in said.out
    assert f"next: pimdse compile digits_mlp --arch isaac --precision {file}" in said.err
    assert sorted(read_precision(file).values()) == [Precision(4), Precision(8), Precision(8)]
    assert run(["verify", "digits_mlp", "--arch", "isaac", "--solver", "stream", "--integer", "--precision", file]) == 0
    assert "top-1 accuracy 9" in capsys.readouterr().out


def test_a_network_without_test_images_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["digits_mlp", "--weights", "random:1", "--bits", "4", "--out", str(tmp_path / "p.yaml")]
    assert run(["precision", *words]) == 2
    said = capsys.readouterr().err
    assert "no test images: its accuracy is the outputs' signal to noise" in said
    assert "nothing to narrow" in said
    assert not list(tmp_path.iterdir())
