"""The built wheel works from another folder: command line, shipped chips, shipped networks."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installer would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(build, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = folder.glob("pimdse-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run_pimdse(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pimdse ARGUMENTS` with the wheel in front of everything else, in a folder that is not the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(folder / "numba")}
    command = [sys.executable, "-P", "-m", "pimdse", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_their_data(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    for name in ("pimdse/cli.py", "solvers/__init__.py", "pimcomp/data/configs/isaac.yaml"):
        assert name in names
    assert {"tests", "benchmarks", "docs", "results"}.isdisjoint({name.split("/")[0] for name in names})
    configs = {f"pimcomp/data/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    models = {f"pimcomp/data/models/{p.relative_to(ROOT / 'models')}" for p in (ROOT / "models").rglob("*.onnx")}
    assert configs <= names
    assert models <= names


@pytest.mark.slow
def test_shipped_names_work_from_another_folder(site: Path, tmp_path: Path) -> None:
    archs = run_pimdse(site, tmp_path, "archs")
    assert archs.returncode == 0, archs.stderr
    assert "isaac" in archs.stdout
    models = run_pimdse(site, tmp_path, "models")
    assert models.returncode == 0, models.stderr
    assert "resnet18" in models.stdout


@pytest.mark.slow
def test_a_network_compiles_from_another_folder(site: Path, tmp_path: Path) -> None:
    run = run_pimdse(site, tmp_path, "compile", "digits_mlp", "--arch", "pimcomp_default", "--out", "out")
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "out" / "program.gz").exists()
    assert (tmp_path / "out" / "config.json").exists()
