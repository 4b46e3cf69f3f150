"""Rules of the architecture beyond a linter of imports: lazy heavy libraries, one home each, plain packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pimcomp", "solvers", "spaces", "pimdse")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

# The one home of each heavy library, as a prefix of the module's dotted name.
HOMES: dict[str, str | tuple[str, ...]] = {
    "ortools": ("solvers.master", "solvers.column_generation"),
    "pymoo": "solvers.population.nsga2",
    "optuna": "spaces.search",
    "distributed": "spaces.search.engine",
    "onnx": "pimcomp.frontend",
    "onnxruntime": ("pimcomp.proof.reference", "pimcomp.frontend.lower.constant_fold"),
    "matplotlib": "pimdse",
    "typer": "pimdse",
    "rich": "pimdse",
}
# Never loaded by importing the packages or the command line: `pimdse --help` has to answer at once.
LAZY = ("ortools", "pymoo", "optuna", "onnxruntime", "onnx", "matplotlib", "distributed", "numba", "scipy", "pandas")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Top-level names of every library that a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def test_a_heavy_library_is_imported_only_at_home() -> None:
    names = {module_name(path): imported(path) & HOMES.keys() for path in SOURCES}
    assert [
        (me, library) for me, found in names.items() for library in found if not me.startswith(HOMES[library])
    ] == []


@pytest.mark.parametrize("module", [*PACKAGES, "pimdse.cli"])
def test_importing_a_package_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}} & set({LAZY!r})))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == []


def test_every_folder_of_sources_is_a_package() -> None:
    folders = {path.parent for path in SOURCES}
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []
