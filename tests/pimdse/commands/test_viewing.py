"""`pimdse view`: the page in the browser, or its path where there is none."""

import json
import webbrowser
from pathlib import Path

import pytest

from pimdse.cli import run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser was asked to open."""
    found: list[str] = []

    def opened(address: str) -> bool:
        found.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("<p>")
    return tmp_path


def test_the_report_is_opened_in_the_browser(
    folder: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert run(["view", str(folder), "--json"]) == 0
    assert asked == [(folder / "report.html").as_uri()]
    said = json.loads(capsys.readouterr().out)
    assert (said["file"], said["opened"]) == (str(folder / "report.html"), True)


def test_without_a_display_the_path_is_printed(
    folder: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["view", str(folder)]) == 0
    assert asked == []
    captured = capsys.readouterr()
    assert captured.out.strip() == str(folder / "report.html")
    assert "no browser" in captured.err


def test_a_compiled_folder_shows_its_floorplan(
    tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mlp"
    assert run(["-q", "compile", "digits_mlp", "--solver", "balance", "--out", str(out)]) == 0
    assert run(["view", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "map.png")
    assert (out / "map.png").stat().st_size > 0


def test_another_folder_is_refused_with_what_is_expected(
    tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["view", str(tmp_path)]) == 2
    assert "expected report.html of a sweep" in capsys.readouterr().err
    assert run(["view", str(tmp_path / "no")]) == 2
    assert "no such folder" in capsys.readouterr().err
