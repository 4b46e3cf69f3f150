"""What a shell may complete: shipped names, and files of the right kind. Nothing heavy is imported."""

from collections.abc import Iterable
from glob import escape, glob
from pathlib import Path

from pimcomp.emit.choices import SAVES
from pimcomp.foundation.data_files import data_dir


def network_names(incomplete: str) -> list[str]:
    """Shipped networks, ONNX and JSON files."""
    names = (path.stem for path in data_dir("models").rglob("*.onnx"))
    return _starting(incomplete, names, (".onnx", ".json"))


def chip_names(incomplete: str) -> list[str]:
    """Shipped chips, YAML and JSON files."""
    names = (path.stem for path in data_dir("configs").glob("*.yaml"))
    return _starting(incomplete, names, (".yaml", ".yml", ".json"))


def folders(incomplete: str) -> list[str]:
    """Folders."""
    return _starting(incomplete, (), ())


def solver_names(incomplete: str) -> list[str]:
    """Registered solvers, also behind a comma."""
    from solvers import SOLVER_NAMES

    return _last(incomplete, SOLVER_NAMES)


def pipelines(incomplete: str) -> list[str]:
    """The two pipelines."""
    return _starting(incomplete, ("element", "batch"))


def outputs(incomplete: str) -> list[str]:
    """What `compile --save` may name, also behind a comma."""
    return _last(incomplete, SAVES)


def metrics(incomplete: str) -> list[str]:
    """Figures that a candidate is judged by, also behind a comma."""
    from spaces.metrics import METRICS

    return _last(incomplete, (m.name for m in METRICS))


def _last(incomplete: str, names: Iterable[str]) -> list[str]:
    """Completions of what stands behind the last comma."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _starting(last, names)]


def _starting(incomplete: str, names: Iterable[str], suffixes: Iterable[str] | None = None) -> list[str]:
    """The names that begin so; with `suffixes`, paths too: folders, and files with one of them."""
    found = sorted(name for name in names if name.lower().startswith(incomplete.lower()))
    if suffixes is None:
        return found
    paths = sorted(map(Path, glob(escape(incomplete) + "*")))
    return found + [f"{p}/" if p.is_dir() else str(p) for p in paths if p.is_dir() or p.suffix in tuple(suffixes)]
