"""What a network computes, by ONNX Runtime: the judge of every compiled program.

onnxruntime is imported when a function runs, so that importing this file stays cheap.
"""

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pimcomp.errors import ConfigError, InvariantError, ModelError
from pimcomp.frontend.loaded_network import LoadedNetwork
from pimcomp.frontend.onnx.export import exposed_names, graph_to_onnx
from pimcomp.ir.graph import FloatArray, Graph
from pimcomp.ir.image_shape import image_shape

if TYPE_CHECKING:
    import onnxruntime

AnyArray = npt.NDArray[Any]
ByImage = list[AnyArray] | AnyArray  # an array per image
EXTENSIONS = "PIMDSE_ORT_EXTENSIONS"  # of the environment: libraries of operators for ONNX Runtime, as PATH has folders
_OWN_OPERATORS = (
    f": an operator of your own can be a local function of the model, or come from a library that {EXTENSIONS} names"
)
THREADS = 2  # fixed, so that the order of additions does not depend on the machine


def run_reference(onnx_bytes: bytes, inputs: Mapping[str, FloatArray], *, name: str = "model") -> dict[str, FloatArray]:
    """Execute a serialised ONNX model: tensor name -> array, for every output of the model.

    inputs: one array per model input, float32[images, *shape of one image] (`image_shape`); so are the outputs. A model
    with a dynamic batch dimension takes all images at once; any other is executed image by image, whatever its tensors'
    first axes mean.

    Raises ModelError with `name` for missing or unknown inputs and for whatever ONNX Runtime refuses.
    """
    session = _session(onnx_bytes, name)
    expected = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    if set(expected) != set(inputs):
        raise ModelError(f"{name}: expected the inputs {sorted(expected)}, found {sorted(inputs)}")
    outputs = [tensor.name for tensor in session.get_outputs()]
    total = _images(inputs, name)
    if all(shape and not isinstance(shape[0], int) for shape in expected.values()):
        return _run(session, outputs, inputs, name)
    parts = []
    for i in range(total):
        image = {}
        for key, shape in expected.items():
            if math.prod(shape) != inputs[key][i].size:
                raise ModelError(f"{name}: input {key!r} takes {shape}, found {list(inputs[key][i].shape)} per image")
            image[key] = inputs[key][i].reshape(shape)
        parts.append(_run(session, outputs, image, name))
    return {key: np.stack([part[key].reshape(image_shape(part[key].shape)) for part in parts]) for key in outputs}


def network_outputs(network: LoadedNetwork, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """What a network computes, as `run_reference`; several as one are executed each by itself."""
    if not network.parts:
        return run_reference(network.onnx_bytes(), inputs, name=network.graph.name)
    found: dict[str, FloatArray] = {}
    for prefix, part in network.parts:
        own = {name.removeprefix(prefix): array for name, array in inputs.items() if name.startswith(prefix)}
        found |= {prefix + name: array for name, array in network_outputs(part, own).items()}
    return found


def output_types(onnx_bytes: bytes, name: str) -> dict[str, tuple[str, tuple[int | str | None, ...]]]:
    """Type, as "float", and shape of every output; a dimension that depends on the data is no number.

    Raises ModelError with `name` for a model that ONNX Runtime cannot load.
    """
    session = _session(onnx_bytes, name, optimised=False)  # nothing is computed
    return {tensor.name: (_element(tensor.type), tuple(tensor.shape)) for tensor in session.get_outputs()}


def refuse_missing(wanted: Collection[str], maps: Collection[str], *, name: str) -> None:
    """Raise ModelError if what a segment reads is not there."""
    if missing := sorted(set(wanted).difference(maps)):
        raise ModelError(f"{name}: reads {', '.join(missing)}, which nothing before it computes")


def run_on_host(
    onnx_bytes: bytes, inputs: Mapping[str, ByImage], *, name: str
) -> tuple[dict[str, list[AnyArray]], float]:
    """Execute a model image by image, whatever its types: per output an array per image, and the seconds per image.

    inputs: per model input an array per image; for inputs of integers they are rounded, and for those without sign made
    positive. Raises ModelError with `name` for missing inputs and for whatever ONNX Runtime refuses.
    """
    session = _session(onnx_bytes, name)
    expected = {tensor.name: (_numpy_type(tensor.type), tuple(tensor.shape)) for tensor in session.get_inputs()}
    refuse_missing(expected, inputs, name=name)
    outputs = [tensor.name for tensor in session.get_outputs()]
    total, spent = len(next(iter(inputs.values()))), 0.0
    found: dict[str, list[AnyArray]] = {key: [] for key in outputs}
    for i in range(total):
        image = {key: _as_input(inputs[key][i], *form) for key, form in expected.items()}
        started = time.perf_counter()
        try:
            arrays = session.run(outputs, image)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise ModelError(f"{name}: ONNX Runtime cannot execute the model: {_one_line(error)}") from error
        spent += time.perf_counter() - started
        for key, array in zip(outputs, arrays, strict=True):
            found[key].append(np.asarray(array))
    return found, spent / total


def _element(text: str) -> str:
    """What a tensor holds, of ONNX Runtime's "tensor(...)"; other types stay as they are said."""
    return text.removeprefix("tensor(").removesuffix(")")


def _numpy_type(text: str) -> np.dtype[Any]:
    return np.dtype({"float": "float32", "double": "float64"}.get(_element(text), _element(text)))


def _as_input(array: AnyArray, kind: np.dtype[Any], shape: tuple[int | str | None, ...]) -> AnyArray:
    values = np.rint(array) if kind.kind in "iu" and array.dtype.kind == "f" else np.asarray(array)
    values = np.abs(values) if kind.kind == "u" else values
    known = [size for size in shape if isinstance(size, int)]
    return np.ascontiguousarray(values.reshape(known) if known and len(known) == len(shape) else values, kind)


def intermediate_maps(
    graph: Graph, inputs: Mapping[str, FloatArray], nodes: Sequence[int] | None = None
) -> dict[int, FloatArray]:
    """Feature maps float32[images, channels, height, width] of the given graph nodes (default: all), after activation.

    inputs: per input name, in the layout of the ONNX input with a leading image axis instead of its batch dimension.

    Raises ModelError with the graph's name if ONNX Runtime refuses the inputs.
    """
    chosen = tuple(range(len(graph.nodes))) if nodes is None else tuple(dict.fromkeys(nodes))
    graph = replace(graph, outputs=())  # not asked for, and one may have the name of an input
    results = run_reference(graph_to_onnx(graph, expose=chosen), inputs, name=graph.name)
    names = exposed_names(graph)
    maps = {index: results[names[index]] for index in chosen}
    for index, found in maps.items():
        node = graph.nodes[index]
        if found.shape[1:] != (node.channels, node.height, node.width):
            raise InvariantError(
                f"{graph.name}: node {index} ({node.name}) should give {(node.channels, node.height, node.width)}, "
                f"its ONNX form gives {found.shape[1:]}"
            )
    return maps


def _images(inputs: Mapping[str, FloatArray], name: str) -> int:
    """How many images all inputs hold."""
    for key, array in inputs.items():
        if np.ndim(array) == 0:
            raise ModelError(f"{name}: the input {key!r} has no image axis: it is a single number")
    images = {len(array) for array in inputs.values()}
    if len(images) != 1:
        raise ModelError(f"{name}: the inputs hold different numbers of images: {sorted(images)}")
    total = images.pop()
    if total == 0:
        raise ModelError(f"{name}: no images: the inputs are empty along their first axis")
    return total


def _session(onnx_bytes: bytes, name: str, *, optimised: bool = True) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # nothing: what is an error is raised, too, and told once
    for library in filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep)):
        try:
            options.register_custom_ops_library(library)
        except Exception as error:  # as below
            raise ConfigError(EXTENSIONS, f"{library}: ONNX Runtime cannot load it: {_one_line(error)}") from error
    try:
        return onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        said = _one_line(error)
        advice = _OWN_OPERATORS if "is not a registered function/op" in said else ""
        raise ModelError(f"{name}: ONNX Runtime cannot load the model: {said}{advice}") from error


def _run(
    session: "onnxruntime.InferenceSession", outputs: list[str], inputs: Mapping[str, FloatArray], name: str
) -> dict[str, FloatArray]:
    try:
        arrays = session.run(outputs, {key: np.ascontiguousarray(array, np.float32) for key, array in inputs.items()})
    except Exception as error:  # as above
        raise ModelError(f"{name}: ONNX Runtime cannot execute the model: {_one_line(error)}") from error
    return {key: np.asarray(array, np.float32) for key, array in zip(outputs, arrays, strict=True)}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
