"""Graph -> ONNX: the same function as a model that any ONNX runtime executes, over any number of images.

The model is written from the Graph alone, so whatever an import changed (batch normalisation folded, dropout dropped)
is in it too. Inputs and outputs keep the names, shapes and layouts of the network that the Graph came from; only the
batch dimension is dynamic.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from pimcomp.errors import InvariantError
from pimcomp.frontend.onnx.operations import emit_activation, emit_operation
from pimcomp.frontend.onnx.writer import MapTensor, OnnxWriter
from pimcomp.ir.graph import Fixed, Graph, Input, Node, Output, View
from pimcomp.ir.image_shape import image_shape

OPSET = 19  # the first with dilated average pooling
IR_VERSION = 9


def graph_to_onnx(graph: Graph, *, expose: Sequence[int] = ()) -> bytes:
    """Serialised ONNX model (opset 19) that computes the outputs of `graph`, softmax epilogues included.

    The batch dimension "N" is dynamic. Graph inputs are named as their `Input` nodes. For every index in `expose`
    the map of that node, after its activation, is a further output [N, channels, height, width] with the name that
    `exposed_names` gives it.

    Raises InvariantError for an operation it does not know and for an index that the graph does not have.
    """
    for index in expose:
        if not 0 <= index < len(graph.nodes):
            raise InvariantError(f"{graph.name}: no node {index} to expose, the graph has {len(graph.nodes)}")
    model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="pimdse")
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.graph.name = graph.name or "graph"
    writer = _GraphWriter(graph, model)
    for output in graph.outputs:
        model.graph.output.append(writer.output(output))
    for index in dict.fromkeys(expose):
        model.graph.output.append(writer.expose(index))
    return writer.writer.serialise()


def with_outputs(model_bytes: bytes, names: Iterable[str]) -> bytes:
    """A serialised model that gives these tensors too, as far as its nodes compute them."""
    model = onnx.ModelProto.FromString(model_bytes)
    computed = {name for node in model.graph.node for name in node.output}
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names) if n in computed - known)
    return bytes(model.SerializeToString(deterministic=True))


def exposed_names(graph: Graph) -> list[str]:
    """The model outputs that hold the maps of all nodes: node{index}, or another word if its names start so."""
    taken = [output.name for output in graph.outputs] + [n.name for n in graph.nodes if isinstance(n.operation, Input)]
    stem = "node"
    while any(name.startswith(stem) for name in taken):
        stem = f"_{stem}"
    return [f"{stem}{index}" for index in range(len(graph.nodes))]


def _images(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    """A float tensor [N, *shape] of the model's interface."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


class _GraphWriter:
    """The ONNX form of a graph under construction: `maps[i]` is the map of graph node i."""

    def __init__(self, graph: Graph, model: onnx.ModelProto) -> None:
        self.exposed = exposed_names(graph)
        interface = {output.name for output in graph.outputs} | set(self.exposed)
        interface |= {node.name for node in graph.nodes if isinstance(node.operation, Input)}
        self.graph = graph
        self.writer = OnnxWriter(model, frozenset(interface))
        self.maps: list[MapTensor] = []
        self._views: dict[bytes, str] = {}
        for node in graph.nodes:
            self.maps.append(self._node(node))

    def _node(self, node: Node) -> MapTensor:
        if isinstance(node.operation, Input):
            tensor = self._input(node, node.operation)
        elif isinstance(node.operation, Fixed):
            tensor = self._fixed(node, node.operation)
        else:
            tensor = emit_operation(self.writer, node, [self._view(view) for view in node.inputs])
        tensor = emit_activation(self.writer, node.name, node.activation, tensor)
        return MapTensor(tensor, node.channels, node.height, node.width)

    def _input(self, node: Node, operation: Input) -> str:
        """Declare a model input and bring it to [N, C, H, W]."""
        shape = image_shape(operation.onnx_shape)
        self.writer.model.graph.input.append(_images(node.name, shape))
        last = operation.layout == "NHWC"
        natural = (node.channels, node.height, node.width)
        natural = (*natural[1:], natural[0]) if last else natural
        tensor = node.name
        if shape != natural:
            tensor = self.writer.reshape(tensor, natural, f"{node.name}.map")
        return self.writer.add("Transpose", [tensor], f"{node.name}.nchw", perm=[0, 3, 1, 2]) if last else tensor

    def _fixed(self, node: Node, operation: Fixed) -> str:
        """A constant, for as many images as the first input has."""
        first = next(other.name for other in self.graph.nodes if isinstance(other.operation, Input))
        images = self.writer.add("Shape", [first], f"{node.name}.images", start=0, end=1)
        target = [images, self.writer.integers(f"{node.name}.map", operation.values.shape)]
        shape = self.writer.add("Concat", target, f"{node.name}.shape", axis=0)
        return self.writer.add(
            "Expand", [self.writer.constant(f"{node.name}.values", operation.values), shape], node.name
        )

    def _view(self, view: View) -> MapTensor:
        """The channels of a view as one tensor; the same view is gathered only once."""
        key = np.stack([view.sources, view.channels]).astype(np.int32).tobytes()
        if key not in self._views:
            self._views[key] = self._gather(view)
        return MapTensor(self._views[key], *self.graph.shape_of(view))

    def _gather(self, view: View) -> str:
        """Concatenated channel runs, or one Gather over the whole sources where the runs are many and short."""
        distinct, runs = view.nodes, view.runs[1:].T
        if len(runs) <= 2 * len(distinct):
            return self._concat([self._channel_run(*run) for run in runs.tolist()])
        pool = self._concat([self.maps[s].name for s in distinct])
        offsets = np.cumsum([0] + [self.maps[s].channels for s in distinct])
        indices = offsets[np.searchsorted(distinct, view.sources)] + view.channels
        return self.writer.add("Gather", [pool, self.writer.integers("gather.channels", indices)], "gather", axis=1)

    def _concat(self, tensors: list[str]) -> str:
        return tensors[0] if len(tensors) == 1 else self.writer.add("Concat", tensors, "concat", axis=1)

    def _channel_run(self, source: int, start: int, length: int) -> str:
        """Channels [start, start + length) of a node."""
        whole = self.maps[source]
        if length == whole.channels:
            return whole.name
        bounds = [self.writer.integers("slice.bounds", [bound]) for bound in (start, start + length, 1)]
        return self.writer.add("Slice", [whole.name, *bounds], "slice")

    def output(self, output: Output) -> onnx.ValueInfoProto:
        """Bring a view to the ONNX output's layout and shape and apply the epilogue."""
        result = self._view(output.view)
        tensor, shape = result.name, image_shape(output.onnx_shape)
        natural = (result.channels, result.height, result.width)
        if output.layout == "NHWC":
            tensor = self.writer.add("Transpose", [tensor], f"{output.name}.nhwc", perm=[0, 2, 3, 1])
            natural = (result.height, result.width, result.channels)
        if natural != shape:
            tensor = self.writer.reshape(tensor, shape, f"{output.name}.flat")
        if output.epilogue in ("softmax", "log_softmax"):
            axis = output.epilogue_axis - (len(output.onnx_shape) if output.epilogue_axis >= 0 else 0)
            operator = "Softmax" if output.epilogue == "softmax" else "LogSoftmax"
            if -axis <= len(shape):
                self.writer.add_named(operator, [tensor], output.name, axis=axis)
            else:  # over the batch of one
                tensor = self.writer.reshape(tensor, output.onnx_shape, f"{output.name}.logits")
                tensor = self.writer.add(operator, [tensor], f"{output.name}.{output.epilogue}", axis=axis)
                self.writer.reshape_named(tensor, shape, output.name)
        elif output.epilogue is None:
            self.writer.add_named("Identity", [tensor], output.name)
        else:
            raise InvariantError(f"{self.graph.name}: unknown epilogue {output.epilogue!r} of output {output.name!r}")
        return _images(output.name, shape)

    def expose(self, index: int) -> onnx.ValueInfoProto:
        """Make node `index`'s map a model output."""
        whole = self.maps[index]
        name = self.writer.add_named("Identity", [whole.name], self.exposed[index])
        return _images(name, (whole.channels, whole.height, whole.width))
