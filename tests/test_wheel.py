"""The built wheel works from another folder: command line, shipped chips, shipped networks."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from hatch_build import PACKAGES, as_installed

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


def run_python(paths: Sequence[Path], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` with `paths` in front of everything else, in a folder that is not the checkout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run_pimdse(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pimdse ARGUMENTS` of the wheel."""
    return run_python([site], folder, "-m", "pimdse", *arguments)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Two packages of other projects with names that the checkout uses, too."""
    for name in ("solvers", "spaces"):
        (tmp_path / "strangers" / name).mkdir(parents=True)
        (tmp_path / "strangers" / name / "__init__.py").write_text(f"whose = 'another project: {name}'\n")
    return tmp_path / "strangers"


def test_imports_are_rewritten_for_the_wheel_and_nothing_else() -> None:
    source = "from solvers.limit import X\nfrom spaces import space\n    from solvers import x\nfrom solversx import y"
    assert as_installed(source) == (
        "from pimdse.solvers.limit import X\nfrom pimdse.spaces import space\n    from pimdse.solvers import x\n"
        "from solversx import y"
    )
    with pytest.raises(ValueError, match=r"'import spaces': only"):
        as_installed("import numpy\nimport spaces.search\n")


def test_a_stranger_in_place_of_a_package_of_the_checkout_is_named(strangers: Path, tmp_path: Path) -> None:
    command = run_python([strangers, ROOT], tmp_path, "-m", "pimdse", "archs")
    assert (command.returncode, command.stdout) == (2, "")
    assert f"the package 'solvers' that Python finds is another project's: {strangers / 'solvers'}" in command.stderr
    library = run_python([strangers, ROOT], tmp_path, "-c", "import pimcomp; pimcomp.compile_model")
    assert "another project's" in library.stderr.splitlines()[-1]


@pytest.mark.slow
def test_packages_of_other_projects_with_our_names_stay_theirs_and_ours_work(
    site: Path, strangers: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(
        "chip: {cores: 16, crossbars_per_core: 8}\ncrossbar: {rows: 64, cols: 64, cell_bits: 8, dac: {count: 64}}\n"
        "core: {rob_size: 1}\nsweep:\n  model: digits_mlp\n  trials: 3\n  jobs: 2\n  solvers: [balance]\n"
        "  pipelines: [element]\n  space: {cores: [8, 16], bus_width_bytes: [16, 32]}\n"
    )
    (tmp_path / "script.py").write_text(
        "import pimcomp, solvers, spaces, sys\n"
        "if __name__ == '__main__':\n"
        "    found = pimcomp.sweep('small.yaml', out='out')\n"
        "    assert pimcomp.pick(found, knee=True).verify(images=1).passed\n"
        "    print(solvers.whose, spaces.whose, pimcomp.__file__)\n"
    )
    done = run_python([strangers, site], tmp_path, "script.py")
    assert done.stdout.splitlines() == [
        f"another project: solvers another project: spaces {site / 'pimcomp' / '__init__.py'}"
    ], done.stderr
    command = run_python(
        [strangers, site], tmp_path, "-m", "pimdse", "compare", "digits_mlp", "--solvers", "balance,exact"
    )
    assert command.returncode == 0, command.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_their_data(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {
        "pimdse/solvers/local_search/auto.py",
        "pimdse/spaces/space.py",
        "pimdse/py.typed",
        "pimcomp/py.typed",
    } <= names
    assert {name.split("/")[0] for name in names} == {"pimcomp", "pimdse", f"pimdse-{version('pimdse')}.dist-info"}
    sources = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert {path for path in names if path.endswith(".py")} == {
        path if path.startswith(("pimcomp", "pimdse")) else f"pimdse/{path}" for path in sources
    }
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
