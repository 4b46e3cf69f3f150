"""Networks exported for a fixed batch whose images do not stay apart: they are no function of one image.

The compiler makes the batch 1. That is the same network only if every result for B images is B results for one image,
so every tensor must have B times the elements it has with batch 1; a mean over the batch, for example, has not.
"""

import math
from collections.abc import Mapping

import onnx

from pimcomp.errors import ModelError

_SMALL_BYTES = 4096  # larger tensors are no shapes, axes or indices: their values are not needed
NO_DATA = frozenset({"Shape", "Size"})  # what they read does not flow into what they give
_OVER_AN_AXIS = frozenset({"Softmax", "LogSoftmax"})

Shapes = Mapping[str, tuple[int, ...]]


def static_shapes(model: onnx.ModelProto) -> Shapes:
    """Shapes that ONNX shape inference finds, from the inputs' shapes alone; tensors with unknown ones are left out."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(onnx.ValueInfoProto(name=value.name, type=value.type) for value in model.graph.output)
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    for tensor in model.graph.initializer:
        bare = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        light.graph.initializer.append(bare if tensor.ByteSize() > _SMALL_BYTES else tensor)
    try:
        graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError):
        return {}  # whatever is wrong with it, lowering says
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


def refuse_mixed_batch(model: onnx.ModelProto, before: Shapes, batch: int, where: str) -> None:
    """Raise ModelError if the network, which had a batch of `batch` and the shapes `before`, mixes its images."""
    after = static_shapes(model)
    flowing = {value.name for value in model.graph.input if before.get(value.name) != after.get(value.name)}
    for node in model.graph.node:
        if node.op_type in NO_DATA or flowing.isdisjoint(node.input):
            continue
        flowing.update(node.output)
        mixed = node.op_type in _OVER_AN_AXIS and _axis_size(node, before) != _axis_size(node, after)
        if node.op_type == "Concat" and any(before.get(n, (0,))[:1] != after.get(n, (0,))[:1] for n in node.input):
            # Images behind each other: the result for one image is no part of the result for all.
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            mixed |= axis in (0, -len(before.get(node.input[0], ())))
        for name in node.output:
            if name in before and name in after:
                mixed |= math.prod(before[name]) != batch * math.prod(after[name])
        if mixed:
            raise ModelError(
                f"{where}: node {node.name or node.output[0]!r} ({node.op_type}) mixes the images of the file's batch "
                f"of {batch} (the first axis of its inputs): a program computes one image at a "
                "time; export the model with batch 1, or without the operator that reaches over the batch"
            )


def _axis_size(node: onnx.NodeProto, shapes: Shapes) -> int:
    """The length of the axis that a softmax runs over, 0 if it is not known."""
    shape = shapes.get(node.input[0], ())
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
    return shape[axis] if -len(shape) <= axis < len(shape) else 0
