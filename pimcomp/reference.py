"""What a network computes, by ONNX Runtime: the judge of every compiled program.

The only home of onnxruntime; it is imported when a function runs, so that importing this file stays cheap.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pimcomp.errors import InvariantError, ModelError
from pimcomp.frontend.onnx_export import graph_to_onnx
from pimcomp.ir.graph import FloatArray, Graph

if TYPE_CHECKING:
    import onnxruntime

THREADS = 2  # fixed, so that the order of additions does not depend on the machine


def run_reference(onnx_bytes: bytes, inputs: Mapping[str, FloatArray], *, name: str = "model") -> dict[str, FloatArray]:
    """Execute a serialised ONNX model: tensor name -> array, for every output of the model.

    inputs: one array per model input, float32, in the ONNX shape with any number of images along the first axis. A
    model whose batch dimension is fixed is executed as often as needed; its outputs are joined along their first axis.

    Raises ModelError with `name` for missing or unknown inputs and for whatever ONNX Runtime refuses.
    """
    session = _session(onnx_bytes, name)
    expected = {tensor.name: tensor for tensor in session.get_inputs()}
    if set(expected) != set(inputs):
        raise ModelError(f"{name}: expected the inputs {sorted(expected)}, found {sorted(inputs)}")
    outputs = [tensor.name for tensor in session.get_outputs()]
    total = _images(inputs, name)
    fixed = {t.shape[0] for t in expected.values() if t.shape and isinstance(t.shape[0], int)}
    chunk = min(fixed, default=total) or total
    if total % chunk:
        raise ModelError(f"{name}: the model takes {chunk} images at a time, found {total}")
    parts = [
        _run(session, outputs, {key: array[i : i + chunk] for key, array in inputs.items()}, name)
        for i in range(0, total, chunk)
    ]
    if len(parts) == 1:
        return parts[0]
    return {key: np.concatenate([part[key] for part in parts]) for key in outputs}


def intermediate_maps(
    graph: Graph, inputs: Mapping[str, FloatArray], nodes: Sequence[int] | None = None
) -> dict[int, FloatArray]:
    """Feature maps float32[images, channels, height, width] of the given graph nodes (default: all), after activation.

    inputs: per input name, in the layout of the ONNX input with a leading image axis instead of its batch dimension.

    Raises ModelError with the graph's name if ONNX Runtime refuses the inputs.
    """
    chosen = tuple(range(len(graph.nodes))) if nodes is None else tuple(dict.fromkeys(nodes))
    results = run_reference(graph_to_onnx(graph, expose=chosen), inputs, name=graph.name)
    maps = {index: results[f"node{index}"] for index in chosen}
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


def _session(onnx_bytes: bytes, name: str) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only: warnings about unused initializers are not the user's concern
    try:
        return onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise ModelError(f"{name}: ONNX Runtime cannot load the model: {_one_line(error)}") from error


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
