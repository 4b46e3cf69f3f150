"""ModelProto pass: inputs of integers that the network makes real at once, taken as real numbers from the start."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pimcomp.frontend.onnx.input_axes import MOVING

INTEGERS = (
    TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.BOOL,
)  # fmt: skip
_REALS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def take_integers_as_real(model: onnx.ModelProto) -> None:
    """Inputs of integers that only a Cast to real numbers or a DequantizeLinear reads become float32, in place.

    What only moves them may lie between. The numbers stay the same: the host passes 17.0 for 17. The zero point of a
    DequantizeLinear becomes float32, too.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if kind.elem_type not in INTEGERS:
            continue
        moved = {value.name}
        readers = [node for node in model.graph.node if _reads(node, moved)]
        results = moved & {output.name for output in model.graph.output}
        if results or not readers or not all(_makes_real(n, constants) for n in readers if n.op_type not in MOVING):
            continue
        kind.elem_type = TensorProto.FLOAT
        for node in readers:
            if node.op_type == "DequantizeLinear":
                _become_arithmetic(model, node, constants)


def _reads(node: onnx.NodeProto, moved: set[str]) -> bool:
    """Whether a node reads one of some tensors; those that it only moves are added to them."""
    found = not moved.isdisjoint(node.input)
    if found and node.op_type in MOVING:
        moved.update(node.output)
    return found


def _makes_real(node: onnx.NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type == "Cast":
        return any(a.name == "to" and a.i in _REALS for a in node.attribute)
    scalars = all(name in constants and np.prod(constants[name].dims) == 1 for name in node.input[1:])
    return node.op_type == "DequantizeLinear" and scalars


def _become_arithmetic(model: onnx.ModelProto, node: onnx.NodeProto, constants: dict[str, TensorProto]) -> None:
    """(x - zero) * scale as Sub and Mul."""
    scale, *zeros = (numpy_helper.to_array(constants[name]).astype(np.float32).reshape(()) for name in node.input[1:])
    names = [f"{node.output[0]}.{part}" for part in ("scale", "zero", "shifted")]
    zero = zeros[0] if zeros else np.float32(0)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for v, n in zip((scale, zero), names))
    at = list(model.graph.node).index(node)
    shift = onnx.helper.make_node("Sub", [node.input[0], names[1]], [names[2]], name=f"{node.name}.shift")
    scaled = onnx.helper.make_node("Mul", [names[2], names[0]], list(node.output), name=node.name)
    node.CopyFrom(scaled)
    model.graph.node.insert(at, shift)
