"""One way in: a file (ONNX, or PIMCOMP-NN's JSON), a shipped network, a PyTorch module, or an ONNX model in memory."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pimcomp.errors import ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.model_index import find_model, is_factory, is_shipped, is_torch, network_name
from pimcomp.frontend.torch_module import export_torch
from pimcomp.ir.graph import Graph

if TYPE_CHECKING:
    import onnx

ModelSource: TypeAlias = "str | Path | onnx.ModelProto"


def load_network(source: ModelSource, *, weights: str | None = None) -> LoadedNetwork:
    """The network in `source`: a path to .onnx, .json or .pt2, a name that `list_models` knows,
    `package.module:factory` of a PyTorch module, or an onnx.ModelProto.

    A ModelProto is copied, not changed. weights: None keeps the file's; "random:SEED" replaces them by seeded ones, in
    memory only. Raises ModelError, UnsupportedOp or ConfigError with the file and what is wrong with it.
    """
    return _load(source, weights, whole=False)


def load_whole(source: ModelSource, *, weights: str | None = None) -> LoadedNetwork:
    """As `load_network`, for a network with nodes that have no instructions: its graph has the inputs alone.

    `pimcomp.frontend.divide` tells what the chip and what the host computes. Raises ModelError, ConfigError, and for a
    node list of PIMCOMP-NN, which is no model of ONNX Runtime, UnsupportedOp.
    """
    return _load(source, weights, whole=True)


def _load(source: ModelSource, weights: str | None, *, whole: bool) -> LoadedNetwork:
    if isinstance(source, (str, Path)):
        path = locate(source)
        if path.suffix.lower() == ".json":
            from pimcomp.frontend.node_list.load import load_pimcomp

            return load_pimcomp(path, weights=weights)
        source = export_torch(str(source)) if is_torch(str(source)) else path
    from pimcomp.frontend.divide import whole_network
    from pimcomp.frontend.import_onnx import import_onnx
    from pimcomp.frontend.onnx.read import copy_onnx, read_onnx

    if isinstance(source, (str, Path)):
        model, path = read_onnx(Path(source)), Path(source)
    else:
        model = copy_onnx(source)
        path = Path(model.graph.name or "model")
    return whole_network(model, path, weights) if whole else import_onnx(model, path, weights)


def load_structure(source: str | Path) -> Graph:
    """The network of a file or a shipped name in its own channel order, for writing it in another format.

    `load_network` sorts channels so that shuffles cost nothing; a format that says "shuffle" needs them as the network
    has them. Weights are those of the file.

    Raises ModelError, UnsupportedOp or ConfigError with the file and what is wrong with it.
    """
    path = locate(source)
    if path.suffix.lower() == ".json":
        from pimcomp.frontend.node_list.load import read_pimcomp

        return read_pimcomp(path)
    from pimcomp.frontend.import_onnx import PASSES, in_real_numbers
    from pimcomp.frontend.lower.lower import lower
    from pimcomp.frontend.onnx.leave_choices import leave_choices
    from pimcomp.frontend.onnx.read import copy_onnx, read_onnx
    from pimcomp.frontend.rewrite.sort_channels import sort_channels
    from pimcomp.frontend.rewrite.split_pools import split_pools

    model = copy_onnx(export_torch(str(source))) if is_torch(str(source)) else read_onnx(path)
    leave_choices(model)
    in_real_numbers(model, path)
    graph = lower(model, network_name(str(source)), str(path))
    for run in PASSES:
        if run not in (sort_channels, split_pools):
            graph = run(graph)
    return graph


def locate(source: str | Path) -> Path:
    """The file that a path or the name of a shipped network means; what names a PyTorch module stays as it is.

    Raises ModelError if there is none.
    """
    path = Path(source)
    if not str(source).strip():
        raise ModelError("a network: expected a file or a name, found nothing (a variable that is not set?)")
    if os.path.isfile(path):  # unlike `Path.is_file`, False for a name that no file can have
        return path
    if is_factory(str(source)):
        return path
    if is_shipped(str(source)):  # also beside a folder of that name
        return find_model(str(source))
    if os.path.isdir(path):
        raise ModelError(f"{path}: is a folder: expected an ONNX or JSON file")
    if path.suffix.lower() in (".onnx", ".json", ".pt2") or path.name != str(source):
        raise ModelError(f"{path}: no such file")
    return find_model(str(source))


def locate_from(source: str, folders: Iterable[Path], remedy: str) -> str:
    """What a file of ours calls `source`: as it is, or where a relative path leads from the first folder that has it.

    A compiled folder or a sweep names its networks as seen from where it was made. remedy: what to do about a file that
    is nowhere. Raises ModelError.
    """
    path = Path(source)
    if os.path.isfile(path) or is_shipped(source) or is_factory(source):
        return source
    near = () if path.is_absolute() else (folder / path for folder in folders)
    for file in near:
        if os.path.isfile(file):
            return str(file)
    raise ModelError(f"{source}: no such file: {remedy}")
