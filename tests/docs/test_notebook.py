"""The notebook of the documentation runs, and gives what it shows."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, masked


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the notebook's own machinery
def test_the_notebook_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(ROOT / "docs" / "examples" / "crossbars.ipynb", as_version=4)
    stored = [_printed(cell) for cell in notebook.cells]
    NotebookClient(notebook, timeout=300, coalesce_streams=True).execute()
    assert [_printed(cell) for cell in notebook.cells] == stored
    assert any(stored)


def _printed(cell: dict) -> list[str]:  # type: ignore[type-arg]
    return [masked(line) for output in cell.get("outputs", ()) for line in output.get("text", "").splitlines()]
