"""ModelProto pass: inputs of integers that the network makes real at once, taken as real numbers from the start."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

INTEGERS = (
    TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.BOOL,
)  # fmt: skip
_REALS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def take_integers_as_real(model: onnx.ModelProto) -> None:
    """Inputs of integers that only a Cast to real numbers or a DequantizeLinear reads become float32, in place.

    The numbers stay the same: the host passes 17.0 for 17. The zero point of a DequantizeLinear becomes float32, too.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for value in model.graph.input:
        kind = value.type.tensor_type
        readers = [node for node in model.graph.node if value.name in node.input]
        if kind.elem_type not in INTEGERS or not readers or not all(_makes_real(n, constants) for n in readers):
            continue
        kind.elem_type = TensorProto.FLOAT
        for node in readers:
            if node.op_type == "DequantizeLinear":
                _become_arithmetic(model, node, constants)


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
