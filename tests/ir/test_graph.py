"""Operations: what stages ask of them, and that a new one is a short list of files; mypy finds what was forgotten."""

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pimcomp.ir.graph import (
    Conv,
    Crop,
    Eltwise,
    Input,
    Lrn,
    Node,
    Operation,
    Pick,
    Pool,
    Shape,
    Standalone,
    View,
    Window,
    expected_shape,
    first_read,
    spreads,
    vector_passes,
    whole,
    window_of,
)
from tests.schedule.random_networks import random_network

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


def node_of(operation: Operation, *operands: View, channels: int = 2, height: int = 3, width: int = 3) -> Node:
    return Node(name="n", operation=operation, inputs=operands, channels=channels, height=height, width=width)


@pytest.mark.parametrize("seed", range(20))
def test_the_shape_of_a_map_follows_from_its_operation_and_operands(seed: int) -> None:
    graph = random_network(seed)
    for node in graph.nodes:
        first = [graph.nodes[int(view.sources[0])] for view in node.inputs]
        operands = [(len(v.channels), f.height, f.width) for v, f in zip(node.inputs, first, strict=True)]
        assert expected_shape(node, operands) == (node.channels, node.height, node.width)


SQUARE = np.ones((2, 2, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("operation", "operands", "message"),
    [
        (Standalone(), [], "Standalone with 0 operands"),
        (Input((1, 2, 3, 3)), [(2, 3, 3)], "Input with 1 operands"),
        (Eltwise("add"), [(2, 3, 3)], "add of 1 operands"),
        (Eltwise("sub"), [(2, 3, 3)] * 3, "sub of 3 operands"),
        (Eltwise("mul"), [(2, 3, 3), (3, 3, 3)], "operands of shapes"),
        (Eltwise("mul"), [(2, 3, 3), (2, 1, 3)], "operands of shapes"),
        (Conv(window=Window(kernel=(3, 3)), weights=SQUARE), [(3, 3, 3)], "weights of shape"),
        (Conv(window=Window(kernel=(1, 3)), weights=SQUARE), [(2, 3, 3)], "weights of shape"),
        (Conv(window=Window(kernel=(3, 3)), weights=SQUARE, bias=np.ones(3, np.float32)), [(2, 3, 3)], "a bias of"),
        (Pick((0, 3), (0,)), [(2, 3, 3)], "picks 0 to 3 out of 3"),
        (Pick((0,), (0, -2)), [(2, 3, 3)], "picks -2 to 0 out of 3"),
        (Pick((0,), (0,)), [(2, 3, 3), (2, 3, 4)], "operands of shapes"),
    ],
)
def test_operands_that_an_operation_cannot_have_are_named(
    operation: Operation, operands: list[Shape], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expected_shape(node_of(operation), operands)


def test_the_sources_of_a_view_are_each_named_once_in_order() -> None:
    for sources in ([], [0], [3, 3, 1, 1, 3, 0], [2, 2, 2]):
        view = View(np.array(sources, np.int32), np.zeros(len(sources), np.int32))
        assert view.nodes == sorted(set(sources))


def test_the_channels_of_a_view_are_runs_of_its_sources_found_once() -> None:
    channels = [(3, 4), (3, 5), (1, 6), (1, 7), (1, 7), (0, 0), (0, 2), (0, 1)]
    view = View(*np.array(channels, np.int32).T)
    assert view.runs.T.tolist() == [
        [0, 3, 4, 2], [2, 1, 6, 2], [4, 1, 7, 1], [5, 0, 0, 1], [6, 0, 2, 1], [7, 0, 1, 1]
    ]  # fmt: skip
    assert view.runs is view.runs  # stages ask again and again, of up to a million channels


def test_every_output_reads_from_where_its_window_stands() -> None:
    window = Window(kernel=(3, 2), stride=(2, 1), pads=(1, 0, 1, 0), dilation=(2, 1))
    at = np.arange(3)
    for operation in (Pool(method="max", window=window), Conv(window=window, weights=SQUARE)):
        assert window_of(operation).extent == (5, 2)
        assert first_read(operation, 0, at).tolist() == [-1, 1, 3]
        assert first_read(operation, 1, at).tolist() == [0, 1, 2]
    assert first_read(Crop(-1, 2), 0, at).tolist() == [-1, 0, 1]
    assert first_read(Crop(-1, 2), 1, at).tolist() == [2, 3, 4]
    assert first_read(Pick((4, -1, 0), (0,)), 0, at).tolist() == [4, -1, 0]
    assert first_read(Standalone(), 0, at).tolist() == [0, 1, 2]
    assert window_of(Eltwise("add")).extent == (1, 1)


def test_one_pixel_is_used_for_all_of_an_element_wise_node_only() -> None:
    pixel, line = node_of(Standalone(), height=1, width=1), node_of(Standalone(), height=1)
    assert spreads(node_of(Eltwise("mul")), pixel)
    assert not spreads(node_of(Eltwise("mul")), line)
    assert not spreads(node_of(Eltwise("mul"), height=1, width=1), pixel)
    assert not spreads(node_of(Crop(0, 0)), pixel)


def test_the_vector_unit_goes_over_data_as_often_as_there_are_operands_and_taps() -> None:
    weights = np.ones((2, 1, 3, 3), np.float32)
    depthwise = Conv(window=Window(kernel=(3, 3)), weights=weights, groups=2)
    assert vector_passes(node_of(depthwise)) == 0  # crossbars compute it
    assert vector_passes(node_of(replace(depthwise, vector=True))) == 18
    assert vector_passes(node_of(Pool(method="avg", window=Window(kernel=(3, 2))))) == 5
    assert vector_passes(node_of(Eltwise("add"), *[whole(0, 2)] * 3)) == 2
    assert vector_passes(node_of(Standalone())) == 1
    assert vector_passes(node_of(Input((1, 2, 3, 3)))) == 0


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
        "pimcomp/schedule/building/vector.py",
        "pimcomp/schedule/constants.py",
        "tests/graph_oracle.py",
    }
    assert set(errors) <= recipe()
