"""PyTorch in front: `package.module:factory`, or what `torch.export.save` wrote, through torch's own exporter."""

import ast
import importlib
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from pimcomp.errors import ModelError
from pimcomp.frontend.model_index import network_name

if TYPE_CHECKING:
    import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter says which module an operator comes from
INSTALL = "pip install 'pimdse[torch]'"


def export_torch(source: str) -> "onnx.ModelProto":
    """The network as torch's exporter gives it, its nodes named by the modules they come from.

    source: `package.module:factory`, found from the current folder on. The factory takes nothing and returns the module
    and its example inputs, or a module with `example_input_array`; torch's seed is 0 when it is called, so that weights
    drawn at random are the same ones every time. Or a path to a .pt2 file. Raises ModelError.
    """
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it
        import torch
    except ImportError as error:
        raise ModelError(f"{source}: needs PyTorch: {error}: {INSTALL}") from None
    saved = source.lower().endswith(".pt2")
    module, inputs = (None, None) if saved else _made(source, torch)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own insides
            program = torch.export.load(source) if saved else module
            exported = torch.onnx.export(program, inputs, dynamo=True, verbose=False)
    except Exception as error:  # whatever torch raises for what it cannot export
        raise ModelError(f"{source}: torch cannot export it: {_first_line(error)}") from error
    model: onnx.ModelProto = exported.model_proto
    for node in model.graph.node:
        node.name = _within(node)
    model.graph.name = network_name(source)
    return model


def _made(source: str, torch: Any) -> tuple[Any, tuple[Any, ...]]:
    """A module in evaluation mode, and its example inputs."""
    where, _, factory = source.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does it
    torch.manual_seed(0)
    try:
        made = getattr(importlib.import_module(where), factory)()
    except Exception as error:  # the user's code: anything
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if at.filename == __file__ or "importlib" in at.filename else f" ({at.filename}:{at.lineno})"
        raise ModelError(f"{source}: {_first_line(error)}{place}") from error
    module, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    inputs = getattr(module, "example_input_array", None) if inputs is None else inputs
    if not isinstance(module, torch.nn.Module) or inputs is None:
        raise ModelError(
            f"{source}: expected a factory that returns a torch.nn.Module and its example inputs, as "
            f"`return Net(), torch.zeros(1, 3, 32, 32)`, found {type(made).__name__}"
        )
    return module.eval(), inputs if isinstance(inputs, tuple) else (inputs,)


def _within(node: "onnx.NodeProto") -> str:
    """`features.0/node_conv2d`: the module's path, and what the exporter calls the operator."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    path = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
    return f"{path[-1]}/{node.name}" if path else node.name


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
