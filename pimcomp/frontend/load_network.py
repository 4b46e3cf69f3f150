"""One way in: a file (ONNX, or PIMCOMP-NN's JSON) or the name of a shipped network."""

from pathlib import Path

from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.model_index import find_model


def load_network(source: str | Path, *, weights: str | None = None) -> LoadedNetwork:
    """The network in `source`: a path to .onnx or .json, or a name that `list_models` knows.

    weights: None keeps the file's; "random:SEED" replaces them by seeded ones, in memory only. Raises ModelError,
    UnsupportedOp or ConfigError with the file and what is wrong with it.
    """
    path = locate(source)
    if path.suffix.lower() == ".json":
        from pimcomp.frontend.pimcomp_import import load_pimcomp

        return load_pimcomp(path, weights=weights)
    from pimcomp.frontend.import_onnx import import_onnx

    return import_onnx(path, weights=weights)


def locate(source: str | Path) -> Path:
    """The file that a path or the name of a shipped network means.

    Raises ModelError if there is none.
    """
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        raise ModelError(f"{path}: is a folder: expected an ONNX or JSON file")
    if path.suffix.lower() in (".onnx", ".json") or path.name != str(source):
        raise ModelError(f"{path}: no such file")
    return find_model(str(source))
