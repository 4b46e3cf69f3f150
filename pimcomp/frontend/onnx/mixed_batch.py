"""Networks exported for a fixed batch whose images do not stay apart: they are no function of one image.

The compiler makes the batch 1. That is the same network only if every result for B images is B results for one image,
so every tensor must have B times the elements it has with batch 1; a mean over the batch, for example, has not.
"""

import math
from collections.abc import Mapping

import onnx

from pimcomp.errors import ModelError
from pimcomp.frontend.lower.constant_fold import constants_of, tensor_values

_SMALL_BYTES = 4096  # larger tensors are no shapes, axes or indices: their values are not needed
NO_DATA = frozenset({"Shape", "Size"})  # what they read does not flow into what they give
_FROM_AN_AXIS = {"LayerNormalization": -1, "RMSNormalization": -1}  # and the axis, where none is given
_OVER_AN_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Concat": 1, "Gather": 0, "Split": 0, **_FROM_AN_AXIS}

Shapes = Mapping[str, tuple[int, ...]]


def static_shapes(model: onnx.ModelProto) -> Shapes:
    """Shapes that ONNX shape inference finds, from the inputs' shapes and small constants alone; tensors with unknown
    ones are left out."""
    constants = constants_of(model)
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(node for node in model.graph.node if not constants.keys() >= set(node.output))
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(onnx.ValueInfoProto(name=value.name, type=value.type) for value in model.graph.output)
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    for name, tensor in constants.items():
        known = light.graph.initializer.add(data_type=tensor.data_type, dims=tensor.dims)
        if tensor.ByteSize() <= _SMALL_BYTES:
            known.CopyFrom(tensor)
        known.name = name
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
    after, constants = static_shapes(model), constants_of(model)
    flowing = {value.name for value in model.graph.input if before.get(value.name) != after.get(value.name)}
    for node in model.graph.node:
        if node.op_type in NO_DATA or flowing.isdisjoint(node.input):
            continue
        flowing.update(node.output)
        images = {axis for name in node.input for axis in _differ(before.get(name, ()), after.get(name, ()))}
        mixed = not images.isdisjoint(_axes_mixed(node, before.get(node.input[0], ()), constants))
        for name in node.output:
            if name in before and name in after:
                mixed |= math.prod(before[name]) != batch * math.prod(after[name])
        if mixed:
            raise ModelError(
                f"{where}: node {node.name or node.output[0]!r} ({node.op_type}) mixes the images of the file's batch "
                f"of {batch} (the first axis of its inputs): a program computes one image at a "
                "time; export the model with batch 1, or without the operator that reaches over the batch"
            )


def _differ(before: tuple[int, ...], after: tuple[int, ...]) -> list[int]:
    """The axes that hold the batch."""
    return [axis for axis, (old, new) in enumerate(zip(before, after)) if old != new]


def _axes_mixed(node: onnx.NodeProto, shape: tuple[int, ...], constants: Mapping[str, onnx.TensorProto]) -> set[int]:
    """The axes whose elements trade places, or know each other, though as many come out as go in."""
    rank = len(shape)
    if node.op_type in _OVER_AN_AXIS:
        given = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), None)
        axes = [_OVER_AN_AXIS[node.op_type] if given is None else given]
        if node.op_type in _FROM_AN_AXIS:
            axes = list(range(axes[0] + rank * (axes[0] < 0), rank))
    elif node.op_type == "Slice" and len(node.input) > 4 and node.input[4] in constants:
        steps = tensor_values(constants[node.input[4]]).astype(int).ravel().tolist()
        named = constants.get(node.input[3])
        where = range(len(steps)) if named is None else tensor_values(named).astype(int).ravel().tolist()
        axes = [axis for axis, step in zip(where, steps) if step < 0]
    elif node.op_type == "Slice" and (named_ints := {a.name: list(a.ints) for a in node.attribute}).get("starts"):
        starts = zip(named_ints.get("axes", range(rank)), named_ints["starts"])
        axes = [axis for axis, start in starts if start and start + (shape[axis] if -rank <= axis < rank else 0)]
    else:
        return set()
    return {axis + rank * (axis < 0) for axis in axes}
