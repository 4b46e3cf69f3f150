"""What a shell completes, and that it stays cheap."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pimdse.cli import app, run
from pimdse.commands import completion


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pimdse com", {"compile", "compare"}),
        ("pimdse compile squ", {"squeezenet1_0", "squeezenet1_1"}),
        ("pimdse compile x --arch isa", {"isaac"}),
        ("pimdse compile x --solver c", {"columns", "cpsat"}),
        ("pimdse compare x --solvers balance,ln", {"balance,lns"}),
        ("pimdse solvers exact-", {"exact-windows"}),
        ("pimdse pick d --objective lat", {"latency_ns"}),
    ],
)
def test_names_are_completed(
    words: str, expected: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_PIMDSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        app([], prog_name="pimdse")
    assert set(capsys.readouterr().out.split()) == expected


def test_files_of_the_right_kind_are_completed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.onnx").touch()
    (tmp_path / "my.txt").touch()
    (tmp_path / "my_folder").mkdir()
    assert completion.network_names("my") == ["my.onnx", "my_folder/"]
    assert completion.folders("my") == ["my_folder/"]


def test_completing_names_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pimdse.commands.completion import network_names, chip_names, solver_names, outputs;"
        "network_names(''); chip_names(''); solver_names(''); outputs('');"
        "print([m for m in ('numpy', 'numba', 'onnx', 'yaml', 'pydantic', 'ortools') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_short_help_option_is_everywhere_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in ([], *([name] for name in commands)):
        assert run([*words, "-h"]) == 0
        said = capsys.readouterr().out
        assert "Usage: " in said
        assert "…" not in said
