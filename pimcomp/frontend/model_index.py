"""The networks that ship with pimdse: found by name, described by one line of models/INDEX.md."""

import re
from dataclasses import dataclass
from pathlib import Path

from pimcomp.errors import ModelError, close_names
from pimcomp.foundation.data_files import data_dir

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A shipped network: its name, its file, where it comes from and what it is."""

    name: str
    path: Path
    origin: str
    summary: str


def list_models() -> tuple[ModelEntry, ...]:
    """Every shipped network, sorted by name.

    Raises InvariantError if the installation has no models folder.
    """
    folder = data_dir("models")
    rows = _index_rows(folder / "INDEX.md")
    files = sorted((*folder.rglob("*.onnx"), *folder.rglob("*.json")), key=lambda file: file.stem)
    return tuple(ModelEntry(file.stem, file, *rows.get(file.stem, ("", ""))) for file in files)


def is_shipped(name: str) -> bool:
    """Whether a shipped network has this name."""
    return any(entry.name == name for entry in list_models())


def find_model(name: str) -> Path:
    """The file of a shipped network.

    Raises ModelError with the nearest names if there is none of this name.
    """
    paths = {entry.name: entry.path for entry in list_models()}
    if name not in paths:
        near = close_names(name, paths, count=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "`pimdse models` lists the names"
        raise ModelError(f"{name}: neither a file nor a shipped network: {advice}")
    return paths[name]


def _index_rows(index: Path) -> dict[str, tuple[str, str]]:
    """name -> (origin, summary) from the table of INDEX.md: | name | origin | summary | ... |."""
    rows: dict[str, tuple[str, str]] = {}
    for line in index.read_text(encoding="utf-8").splitlines() if index.is_file() else ():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 3:
            rows[cells[0]] = (cells[1], cells[2])
    return rows


def is_factory(source: str) -> bool:
    """Whether a network's name is `package.module:factory`."""
    return _FACTORY.fullmatch(source) is not None


def is_torch(source: str) -> bool:
    """Whether a network's name says that torch has to export it: a factory's, or a .pt2 file's."""
    return is_factory(source) or source.lower().endswith(".pt2")


def network_name(source: str) -> str:
    """What a network is called whose file, shipped name or factory is `source`."""
    return source.rpartition(":")[2] if is_factory(source) else Path(source).stem
