"""Operations are a closed union: a new one is a short list of files, and mypy finds those that were forgotten."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pimcomp.ir.graph import Lrn

ROOT = Path(__file__).parents[2]
MOST_FILES = 8  # of the compiler, for one operation
TOY = '''@dataclass(frozen=True, slots=True)
class Toy:
    """An operation that no stage knows."""


Windowed = '''


def recipe() -> set[str]:
    """The files that CONTRIBUTING.md names for a new operation."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("**An operation**")[2].partition("\n**")[0]
    assert section
    return set(re.findall(r"`((?:pimcomp|tests)/[\w/]+\.py)`", section))


def importers(name: str) -> set[str]:
    """Files of the compiler that import an operation's class."""
    found = set()
    for path in (ROOT / "pimcomp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_the_recipe_for_an_operation_is_short() -> None:
    files = recipe()
    assert all((ROOT / file).is_file() for file in files)
    in_compiler = [file for file in files if file.startswith("pimcomp/")]
    assert len(in_compiler) + 1 <= MOST_FILES  # and one that lowers an operator to it


def test_an_operation_is_named_where_the_recipe_says() -> None:
    # Lrn went through every stage and has none of the special cases that make others faster. Beyond the recipe: its
    # lowering, the node list that knows it, and the calibration of its polynomial.
    beyond = {
        "pimcomp/frontend/lower/elementwise.py",
        "pimcomp/frontend/node_list/export.py",
        "pimcomp/frontend/node_list/operations.py",
        "pimcomp/frontend/node_list/records.py",
        "pimcomp/proof/calibrate.py",
    }
    assert importers(Lrn.__name__) - beyond <= recipe()


@pytest.mark.slow
def test_mypy_finds_what_a_new_operation_lacks(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pimcomp", tmp_path / "pimcomp", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for file in ("pyproject.toml", "tests/graph_oracle.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    graph = tmp_path / "pimcomp/ir/graph.py"
    text = graph.read_text(encoding="utf-8").replace("Windowed = ", TOY, 1)
    text = re.sub(r"^(Operation = .*)$", r"\1 | Toy", text, count=1, flags=re.MULTILINE)
    assert text.count("Toy") == 2
    graph.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "pimcomp", "tests/graph_oracle.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"^([^:\n]+):\d+: error: .*$", run.stdout, re.MULTILINE)
    assert errors, run.stderr
    assert all("Toy" in line or "Never" in line for line in run.stdout.splitlines() if ": error:" in line), run.stdout
    assert set(errors) == {
        "pimcomp/estimate/instruction_costs.py",
        "pimcomp/frontend/onnx/operations.py",
        "pimcomp/ir/graph.py",
        "pimcomp/schedule/build_vector.py",
        "pimcomp/schedule/constants.py",
        "tests/graph_oracle.py",
    }
    assert set(errors) <= recipe()
