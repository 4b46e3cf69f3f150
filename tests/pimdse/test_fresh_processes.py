"""Equal inputs and seeds give equal bytes, whatever process compiles them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pimcomp.emit.choices import SAVES

_ROOT = Path(__file__).parents[2]


def compile_alone(model: str, pipeline: str, folder: Path, hash_seed: int) -> dict[str, bytes]:
    """The files that a process of its own writes, whose sets and dictionaries of strings are ordered by `hash_seed`."""
    subprocess.run(
        [sys.executable, "-m", "pimdse", "-q", "compile", model, "--pipeline", pipeline, "--seed", "3",
         "--save", ",".join(SAVES), "--format", "directory", "--out", str(folder)],
        cwd=_ROOT, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)}, check=True,
    )  # fmt: skip
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("model", "pipeline"),
    [
        ("digits_mlp", "element"),
        pytest.param("digits_lenet5", "element", marks=pytest.mark.slow),
        pytest.param("digits_lenet5", "batch", marks=pytest.mark.slow),
        pytest.param("digits_resnet8", "element", marks=pytest.mark.slow),
    ],
)
def test_two_processes_write_the_same_bytes(model: str, pipeline: str, tmp_path: Path) -> None:
    first = compile_alone(model, pipeline, tmp_path / "first", 1)
    again = compile_alone(model, pipeline, tmp_path / "again", 2)
    assert {"program.gz", "report.json", "manifest.yaml", "chip.yaml", "weights.npz", "cores/config.json"} <= set(first)
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []
