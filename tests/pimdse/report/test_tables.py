"""Every command's text at 80, 100 and 160 columns and in a pipe: no number is cut, no column is lost.

Covers: /pimdse/display/output, /pimdse/display/html_table.
"""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pimdse.cli import run
from pimdse.display.output import Output, folded, wide_table
from tests.spaces.stored_sweep import store

WIDTHS = (80, 100, 160)
PIPE = 10_000


def text_of(render: Callable[[Console], None], width: int) -> str:
    """What `render` prints on a console of that width."""
    file = StringIO()
    render(Console(file=file, width=width, highlight=False))
    return file.getvalue()


def numbers(text: str) -> set[str]:
    """Numbers that are words of their own, not parts of names."""
    return set(re.findall(r"(?<![\w/.])\d[\d,.]*(?![\w/])", text))


def check(render: Callable[[Console], None]) -> str:
    """Assert what must hold at every width; returns the widest text."""
    whole = text_of(render, PIPE)
    for width in WIDTHS:
        text = text_of(render, width)
        assert "…" not in text
        assert not [line for line in text.splitlines() if len(line) > width and " " in line.strip()]
        assert numbers(whole) <= numbers(text)
    assert "…" not in whole
    return whole


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[Console], None]]:
    """What commands would print, in their order."""
    found: list[Callable[[Console], None]] = []
    monkeypatch.setattr(Output, "show", lambda self, data, render: found.append(render))
    monkeypatch.setattr(Output, "text", lambda self, render: found.append(render))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tables") / "mlp"
    assert run(["-q", "compile", "digits_mlp", "--solver", "balance", "--out", str(target)]) == 0
    return target


@pytest.mark.parametrize(
    "command",
    [
        "archs",
        "models",
        "solvers",
        "solvers auto",
        "inspect digits_resnet8 --arch isaac",
        "inspect squeezenet1_1",
        "compare digits_mlp --solvers balance,W0H0 --pipeline element",
        "compile digits_mlp --solver balance --pipeline batch --out {scratch}/new",
        "simulate {folder}",
        "verify {folder}",
        "trace {folder} -o {scratch}/trace.json",
        "reproduce {folder}",
        "import-config {folder}/config.json --out {scratch}/chip.yaml",
        "export-json digits_mlp --out {scratch}/mlp.json",
    ],
)
def test_a_commands_text_fits_every_width(
    command: str, rendered: list[Callable[[Console], None]], folder: Path, tmp_path: Path
) -> None:
    assert run(command.format(folder=folder, scratch=tmp_path).split()) == 0
    assert rendered
    for render in rendered:
        check(render)


def test_the_front_of_a_sweep_fits_every_width(rendered: list[Callable[[Console], None]], tmp_path: Path) -> None:
    store(tmp_path / "sweep")
    assert run(["report", str(tmp_path / "sweep")]) == 0
    assert "trial" in check(rendered[0])


def test_a_column_of_one_value_is_a_line_above() -> None:
    header = ("trial", "solver", "crossbar size", "latency")
    rows = [(str(i), "lns:most=4", "256", f"{i} ms") for i in range(3)]
    text = check(lambda console: wide_table(console, header, rows, numeric=("trial", "latency")))
    first, *table = text.splitlines()
    assert first == "the same in every row: solver lns:most=4, crossbar size 256"
    assert "lns" not in "".join(table)
    assert "latency" in "".join(table)


def test_columns_without_room_follow_below_with_the_first_one_again() -> None:
    header = ("trial", *(f"figure number {i}" for i in range(20)))
    rows = [(f"{row} *", *(f"{1_000_000 + 100 * row + i:,}" for i in range(20))) for row in range(2)]
    render: Callable[[Console], None] = lambda console: wide_table(console, header, rows, numeric=header)  # noqa: E731
    check(render)
    assert text_of(render, 80).count("trial") > 1
    assert text_of(render, PIPE).count("trial") == 1


def test_long_names_take_more_lines_and_keep_every_character() -> None:
    name = "/backbone/stage3/block17/branch_of_the_left/conv2/Conv"
    render: Callable[[Console], None] = lambda console: wide_table(console, ("layer", "x"), [(name, "")])  # noqa: E731
    check(render)
    assert name in "".join(text_of(render, 40).split())


def test_names_are_broken_between_their_parts() -> None:
    name = "/layer2/layer2.0/downsample/downsample.0/Conv"
    assert folded(name, 16).split("\n") == ["/layer2/layer2.0", "/downsample", "/downsample.0", "/Conv"]
    assert folded(name, 11).split("\n") == ["/layer2", "/layer2.0", "/downsample", "/downsample.", "0/Conv"]
    assert folded("conv 3x3 /2 + relu", 10).split("\n") == ["conv 3x3", "/2 + relu"]
    assert folded("a", 1) == "a"
    assert folded("", 5) == ""


@pytest.mark.parametrize("columns", ["0", "-5", "wide"])
def test_columns_that_say_nothing_are_not_set(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["archs"]) == 0
    usual = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)
    assert run(["archs"]) == 0
    assert capsys.readouterr().out == usual


def test_a_table_without_rows_is_its_header() -> None:
    assert "latency" in check(lambda console: wide_table(console, ("trial", "latency"), [], numeric=("trial",)))


def test_columns_stand_closer_before_they_go_into_another_table() -> None:
    header = ("trial", *(f"figure{i}" for i in range(8)))
    rows = [(str(i), *(f"{i}{j}.00 ms" for j in range(8))) for i in range(2)]
    render: Callable[[Console], None] = lambda console: wide_table(console, header, rows, numeric=header)  # noqa: E731
    check(render)
    assert text_of(render, 80).count("trial") == 1
    assert max(map(len, text_of(render, 80).splitlines())) <= 80
    assert text_of(render, 60).count("trial") == 2
