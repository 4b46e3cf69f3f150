"""Little ONNX models for tests: built in a line or two, loaded by pimdse, compared with ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pimcomp.frontend import LoadedNetwork, load_network
from pimcomp.frontend.rewrite.check_graph import check_graph
from pimcomp.ir.graph import Graph, Input, Node
from pimcomp.ir.image_shape import image_shape
from pimcomp.proof.reference import run_reference
from tests.graph_oracle import evaluate

Array = npt.NDArray[Any]
Shapes = Mapping[str, Sequence[int | str | None]]


def op(name: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs and outputs separated by spaces, "_" being a left-out input."""
    domain = attributes.pop("domain", "")
    names = ["" if i == "_" else i for i in inputs.split()]
    return helper.make_node(
        name, names, outputs.split(), domain=domain, name=f"{name}-{outputs.split(maxsplit=1)[0]}", **attributes
    )


def normals(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Seeded float32 normals."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def make(
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    weights: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 13,
    ir_version: int = 8,
    elem_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model; below IR version 4 the weights are listed among its inputs, as old exporters must."""
    weights = weights or {}
    interface = [helper.make_tensor_value_info(name, elem_type, shape) for name, shape in inputs.items()]
    if ir_version < 4:
        interface += [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(w.dtype), w.shape)
            for name, w in weights.items()
        ]
    graph = helper.make_graph(
        list(nodes),
        "small",
        interface,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def load(model: onnx.ModelProto, folder: Path, **options: Any) -> LoadedNetwork:
    """The model through a file."""
    path = folder / "small.onnx"
    path.write_bytes(model.SerializeToString())
    return load_network(path, **options)


def agree(network: LoadedNetwork, *, seed: int = 0, tolerance: float = 1e-4, scale: float = 1.0) -> Graph:
    """Assert that the graph computes what ONNX Runtime computes for the same seeded inputs; returns the graph."""
    graph = network.graph
    check_graph(graph)
    inputs = {
        node.name: normals(1, *image_shape(node.operation.onnx_shape), seed=seed) * np.float32(scale)
        for node in graph.nodes
        if isinstance(node.operation, Input)
    }
    expected = run_reference(network.onnx_bytes(), inputs)
    _, found = evaluate(graph, inputs)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert image_shape(found[name].shape) == array.shape[1:]
        reach = max(float(np.ptp(array)), float(np.abs(array).max()), 1e-6)
        assert np.abs(found[name].reshape(array.shape) - array).max() <= tolerance * reach, name
    return graph


def check(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    weights: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    **options: Any,
) -> Graph:
    """Make, load, compare with ONNX Runtime; returns the graph."""
    return agree(load(make(nodes, inputs, weights, outputs, **options), folder))


def kinds(graph: Graph) -> list[str]:
    """The operations of all nodes but the inputs, in order."""
    return [type(node.operation).__name__ for node in graph.nodes if not isinstance(node.operation, Input)]


def only(graph: Graph, operation: type) -> Node:
    """The one node with this operation."""
    found = [node for node in graph.nodes if isinstance(node.operation, operation)]
    assert len(found) == 1, kinds(graph)
    return found[0]
