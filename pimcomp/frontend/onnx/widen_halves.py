"""ModelProto pass: networks of half and double precision in float32, which is what the compiler and the reference
compute in.

The number formats of a compiled network are the chip's own, so nothing is lost: float32 holds every float16 and
bfloat16, and more of a float64 than any chip.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from pimcomp.frontend.lower.constant_fold import set_values

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
WIDENED = (*HALVES, TensorProto.DOUBLE)


def widen_halves(model: onnx.ModelProto) -> tuple[str, ...]:
    """Turn every float16, bfloat16 and float64 tensor and cast of `model` into float32, in place; returns notes."""
    widened = 0
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in WIDENED:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    tensors = [attribute.t for attribute in attributes if attribute.type == onnx.AttributeProto.TENSOR]
    for tensor in (*model.graph.initializer, *tensors):
        if tensor.data_type in WIDENED:
            widened += 1
            set_values(tensor, tensor.name, np.asarray(numpy_helper.to_array(tensor), np.float32))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in WIDENED:
                attribute.i = TensorProto.FLOAT
    return (f"{widened} tensors of half or double precision read as float32",) if widened else ()
