"""Values that do not depend on the network's input, computed once by ONNX Runtime, or, what it does not implement, by
ONNX's own reference.

Never into a tensor of more than FOLD_LIMIT_BYTES: ONNX shape inference says beforehand what comes out. Nor by more work
than a few seconds, told from the sizes alone.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pimcomp.frontend.lower.onnx_node import (
    BadShape,
    Constant,
    NotRepeatable,
    OnnxNode,
    Unsupported,
    of_proto,
    opset_of,
)

FOLD_LIMIT_BYTES = 512 << 20
_KNOWN_BYTES = 4096  # operands up to this size may be shapes, axes, counts: shape inference sees their values
_MOST_WORK = 1 << 36  # multiplications: seconds on one core
_MULTIPLYING = frozenset({"MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose", "DeformConv", "LSTM", "GRU", "RNN"})
_SLOW_ELEMENTS = 1 << 16  # by the reference, which goes over them one by one in Python for many operators
_RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"})
_SELECTING = frozenset({"NonZero", "Compress", "Unique"})  # what comes out depends on values, and is not larger
_NOT_COMPUTED = "its operands are constants, and neither ONNX Runtime nor ONNX's reference computes it"


def fold(node: OnnxNode) -> tuple[Constant, ...]:
    """The outputs of a node all of whose operands are constants.

    Raises Unsupported for an operator without one value and a result that is too large, BadShape for contradictions.
    """
    if node.op == "Constant" and node.has("value"):
        return (tensor_values(node.attributes["value"].t),)
    values = [None if value is None else np.asarray(value) for value in node.operands]
    if node.op in _RANDOM or (node.op == "Dropout" and any(np.any(v) for v in values[2:3] if v is not None)):
        raise NotRepeatable("random numbers: export the model in evaluation mode")
    if any(attribute.HasField("g") for attribute in node.attributes.values()):
        raise Unsupported("control flow is not supported: instruction streams have no branches")
    if node.op == "ConstantOfShape" and values and values[0] is not None:
        fill = tensor_values(node.attributes["value"].t) if node.has("value") else np.zeros(1, np.float32)
        _limit([tuple(int(size) for size in values[0].ravel())], fill.itemsize)
        return (np.broadcast_to(fill.ravel()[0], values[0].ravel()),)  # one element in memory, however large it is
    try:
        return _run(node, values)
    except (Unsupported, BadShape):
        raise
    except onnx.shape_inference.InferenceError as error:
        raise BadShape(str(error).strip().rpartition("Error] ")[2]) from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise Unsupported(f"{_NOT_COMPUTED}: {error}") from error


def _run(node: OnnxNode, values: Sequence[Constant | None]) -> tuple[Constant, ...]:
    """Shape inference, the limits, then a model of this one node."""
    if node.op in ("Div", "Mod") and any(v.dtype.kind in "iu" and not np.all(v) for v in values[1:] if v is not None):
        raise BadShape("integer division by zero")
    model = _model(node, values)
    shapes = _inferred(node, model, values)
    _limit(shapes, max((value.itemsize for value in values if value is not None), default=8))
    sizes = sorted([*map(math.prod, shapes), *(value.size for value in values if value is not None)])
    work = math.isqrt(math.prod(sizes[-3:])) if node.op in _MULTIPLYING else 0
    if work > _MOST_WORK:
        raise Unsupported(f"its operands are constants, and {work:,} products of them, at most {_MOST_WORK:,} are made")
    feeds = {f"i{k}": value for k, value in enumerate(values) if value is not None}
    arrays = _by_runtime(model, feeds)
    if arrays is None and sum(sizes) <= _SLOW_ELEMENTS:
        with np.errstate(all="ignore"):
            arrays = [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]
    if arrays is None:
        raise Unsupported(f"{_NOT_COMPUTED}, which looks at {sum(sizes):,} elements one by one")
    if any(array.dtype.kind in "OUST" for array in arrays):
        raise Unsupported("it gives no tensor of numbers")
    if shapes and [array.shape for array in arrays] != shapes:
        raise Unsupported(f"{_NOT_COMPUTED} as it is defined")
    return tuple(arrays)


def _by_runtime(model: onnx.ModelProto, feeds: Mapping[str, Constant]) -> list[Constant] | None:
    """What ONNX Runtime computes, None if it does not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, dict(feeds))]
    except Exception:  # a dozen unrelated classes; the reference says what is wrong, if anything is
        return None


def _model(node: OnnxNode, values: Sequence[Constant | None]) -> onnx.ModelProto:
    names = ["" if value is None else f"i{k}" for k, value in enumerate(values)]
    proto = helper.make_node(node.op, names, [f"o{k}" if name else "" for k, name in enumerate(node.outputs)])
    proto.attribute.extend(node.attributes.values())
    interface = [
        helper.make_tensor_value_info(f"i{k}", helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for k, value in enumerate(values)
        if value is not None
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
    graph = helper.make_graph([proto], "constant", interface, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)], ir_version=10)


def _inferred(node: OnnxNode, model: onnx.ModelProto, values: Sequence[Constant | None]) -> list[tuple[int, ...]]:
    """The shapes of the results, none where they depend on values; Unsupported if they cannot be told beforehand."""
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    small = [(k, value) for k, value in enumerate(values) if value is not None and value.nbytes <= _KNOWN_BYTES]
    seen.graph.initializer.extend(numpy_helper.from_array(value, f"i{k}") for k, value in small)
    shapes = []
    for value in onnx.shape_inference.infer_shapes(seen, data_prop=True, strict_mode=True).graph.output:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes.append(tuple(dim.dim_value for dim in kind.shape.dim))
        elif node.op not in _SELECTING:
            raise Unsupported("its operands are constants, and how large its result is cannot be told beforehand")
    return shapes


def _limit(shapes: Sequence[tuple[int, ...]], itemsize: int) -> None:
    for shape in shapes:
        if any(size < 0 for size in shape):
            raise BadShape(f"a constant of shape {list(shape)}")
        if math.prod(shape) * itemsize > FOLD_LIMIT_BYTES:
            raise Unsupported(f"a constant of shape {list(shape)} is larger than {FOLD_LIMIT_BYTES >> 20} MB")


def tensor_values(tensor: onnx.TensorProto) -> Constant:
    """The array of an initializer or attribute; BadShape if its data do not fit its dims."""
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except KeyError as error:
        raise BadShape(f"weights {tensor.name!r}: unknown data type {error}") from error
    except (ValueError, TypeError) as error:
        raise BadShape(f"weights {tensor.name!r}: {error}") from error


def set_values(tensor: onnx.TensorProto, name: str, values: Constant) -> None:
    """Make a tensor hold an array of a number format of whole bytes.

    MemoryError where protobuf would end the process: it writes to what it allocates without looking.
    """
    np.empty(2 * values.nbytes, np.uint8)  # the bytes, and protobuf's copy of them
    tensor.Clear()
    tensor.name, tensor.data_type = name, helper.np_dtype_to_tensor_dtype(values.dtype)
    tensor.dims.extend(values.shape)
    tensor.raw_data = values.tobytes()


def constants_of(model: onnx.ModelProto) -> dict[str, TensorProto]:
    """Initializers, also behind Identity, and what small constants alone give, if that is small too."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input and node.output and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
            continue
        given = [found.get(name) for name in node.input if name]
        small = sum(tensor.ByteSize() for tensor in given if tensor is not None) <= _KNOWN_BYTES
        if (given or node.op_type == "Constant") and all(tensor is not None for tensor in given) and small:
            try:
                operands = [tensor_values(found[name]) if name else None for name in node.input]
                arrays = fold(of_proto(node, opset_of(model), operands))
            except (Unsupported, BadShape):
                continue  # lowering says why
            if sum(array.nbytes for array in arrays) <= _KNOWN_BYTES:
                found.update((name, numpy_helper.from_array(array, name)) for name, array in zip(node.output, arrays))
    return found


def is_floating(data_type: int) -> bool:
    """Whether an ONNX data type is a floating-point one that numpy knows."""
    try:
        return bool(np.issubdtype(helper.tensor_dtype_to_np_dtype(data_type), np.floating))
    except KeyError:
        return False
