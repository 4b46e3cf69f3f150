"""`pimdse reproduce` makes the same bytes from the manifest and the stored plan, and notices what was changed.

Covers: /pimdse/commands/reproducing.
"""

import json
import shutil
from pathlib import Path

import pytest

from pimcomp.foundation.own_files import RECORD
from pimdse.cli import run


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compiled") / "out"
    words = ["compile", "digits_lenet5", "--arch", "pimcomp_default", "--solver", "exact", "--pipeline", "batch"]
    assert run(["-q", *words, "--set", "images_per_round=3", "--save", "mapping,listing", "--out", str(out)]) == 0
    return out


def test_every_file_comes_out_the_same(compiled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["--json", "reproduce", str(compiled), "--out", str(tmp_path / "again")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["different"] == result["missing"] == []
    names = {p.name for p in compiled.iterdir()}
    assert {*result["same"], RECORD} == names >= {"program.gz", "memory.npz", "plan.json", "report.json", "listing.txt"}
    assert {p.name for p in (tmp_path / "again").iterdir()} == names


def test_changed_files_are_named(compiled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(compiled, copy)
    (copy / "network.json").write_bytes((copy / "network.json").read_bytes() + b" ")
    (copy / "mapping.txt").unlink()
    assert run(["reproduce", str(copy)]) == 1
    assert "network.json differs, mapping.txt is gone" in capsys.readouterr().out


def test_a_folder_is_not_compared_with_itself(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reproduce", str(compiled), "--out", f"{compiled}/../out"]) == 2
    assert "is the folder to compare with" in capsys.readouterr().err


def test_unusable_folders_are_clear_errors(compiled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["reproduce", str(tmp_path)]) == 2
    assert "found no manifest.yaml" in capsys.readouterr().err
    copy = tmp_path / "copy"
    shutil.copytree(compiled, copy)
    (copy / "plan.json").write_text("{}")
    assert run(["reproduce", str(copy)]) == 2
    assert "no complete recipe there" in capsys.readouterr().err
    manifest = (copy / "manifest.yaml").read_text()
    shutil.copy(compiled / "plan.json", copy / "plan.json")
    (copy / "manifest.yaml").write_text(manifest.replace("network_sha256: ", "network_sha256: 0"))
    assert run(["reproduce", str(copy)]) == 2
    assert "not the network" in capsys.readouterr().err
