"""Values that do not depend on the network's input, computed once: weights made by ConstantOfShape, reshape targets
put together from Shape, Gather and Concat, scales behind Unsqueeze.

Only operators of the table fold, and never into a tensor of more than FOLD_LIMIT_BYTES.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pimcomp.frontend.lower.layout_parameters import (
    flatten_target,
    permutation,
    reshape_target,
    shape_part,
    slice_indices,
    split_sizes,
)
from pimcomp.frontend.lower.onnx_node import BadShape, Constant, OnnxNode, Unsupported

FOLD_LIMIT_BYTES = 512 << 20

Fold = Callable[[OnnxNode, tuple[Constant, ...]], Constant]


def fold(node: OnnxNode) -> tuple[Constant, ...]:
    """The outputs of a node all of whose operands are constants.

    Raises Unsupported for an operator outside the table or a result that is too large, BadShape for contradictions.
    """
    values = tuple(np.asarray(value) for value in node.operands if value is not None)
    if node.op not in _FOLDS and node.op != "Split":
        raise Unsupported("its operands are constants, and constants are not folded through this operator")
    try:
        if node.op == "Split":
            return _split(node, values[0])
        return (np.asarray(_FOLDS[node.op](node, values)),)
    except (ValueError, IndexError, TypeError) as error:
        if isinstance(error, (Unsupported, BadShape)):
            raise
        raise BadShape(str(error)) from error


def _limited(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    if any(size < 0 for size in shape):
        raise BadShape(f"a constant of shape {list(shape)}")
    if math.prod(shape) * itemsize > FOLD_LIMIT_BYTES:
        raise Unsupported(f"a constant of shape {list(shape)} is larger than {FOLD_LIMIT_BYTES >> 20} MB")
    return shape


def _constant(node: OnnxNode, _: tuple[Constant, ...]) -> Constant:
    for key, attribute in node.attributes.items():
        if key == "value":
            return tensor_values(attribute.t)
        if key in ("value_float", "value_floats"):
            return np.asarray(attribute.f if key == "value_float" else list(attribute.floats), np.float32)
        if key in ("value_int", "value_ints"):
            return np.asarray(attribute.i if key == "value_int" else list(attribute.ints), np.int64)
    raise Unsupported(f"a Constant given as {', '.join(node.attributes) or 'nothing'}")


def tensor_values(tensor: onnx.TensorProto) -> Constant:
    """The array of an initializer or attribute; BadShape if its data do not fit its dims."""
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except KeyError as error:
        raise BadShape(f"weights {tensor.name!r}: unknown data type {error}") from error
    except (ValueError, TypeError) as error:
        raise BadShape(f"weights {tensor.name!r}: {error}") from error


def is_floating(data_type: int) -> bool:
    """Whether an ONNX data type is a floating-point one that numpy knows."""
    try:
        return bool(np.issubdtype(helper.tensor_dtype_to_np_dtype(data_type), np.floating))
    except KeyError:
        return False


def _constant_of_shape(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    fill = tensor_values(node.attributes["value"].t) if node.has("value") else np.zeros(1, np.float32)
    shape = _limited(tuple(int(size) for size in values[0].ravel()), fill.itemsize)
    return np.broadcast_to(fill.ravel()[0], shape)  # one element in memory, however large the layer


def _expand(_: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    target = tuple(int(size) for size in values[1].ravel())
    return np.broadcast_to(values[0], _limited(np.broadcast_shapes(values[0].shape, target), values[0].itemsize))


def _tile(_: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    repeats = tuple(int(count) for count in values[1].ravel())
    _limited(tuple(size * count for size, count in zip(values[0].shape, repeats, strict=True)), values[0].itemsize)
    return np.tile(values[0], repeats)


def _range(_: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    start, limit, step = (float(value.ravel()[0]) for value in values)
    _limited((max(0, math.ceil((limit - start) / step)),), values[0].itemsize)
    return np.arange(*(value.ravel()[0] for value in values))


def _cast(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    target = node.integer("to", onnx.TensorProto.FLOAT)
    if target not in helper.get_all_tensor_dtypes():
        raise BadShape(f"a Cast to the unknown data type {target}")
    return values[0].astype(helper.tensor_dtype_to_np_dtype(target))


def _gather(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    data, indices = values
    axis = node.axis(data.ndim, 0)
    _limited((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), data.itemsize)
    return np.take(data, indices.astype(np.int64), axis=axis)


def _slice(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    data = values[0]
    for axis, kept in slice_indices(node, data.shape).items():
        data = np.take(data, np.asarray(kept, np.int64), axis=axis)
    return data


def _split(node: OnnxNode, data: Constant) -> tuple[Constant, ...]:
    axis = node.axis(data.ndim, 0)
    return tuple(np.split(data, np.cumsum(split_sizes(node, data.shape[axis]))[:-1], axis=axis))


def _squeeze(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    return np.squeeze(values[0], node.attribute_or_input("axes", 1))


def _unsqueeze(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    return np.expand_dims(values[0], node.attribute_or_input("axes", 1) or ())


def _divide(_: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    if np.issubdtype(values[0].dtype, np.integer):  # ONNX truncates towards zero
        if not np.all(values[1]):
            raise BadShape("integer division by zero")
        return np.trunc(np.divide(values[0], values[1])).astype(values[0].dtype)
    return _elementwise(np.divide)(_, values)


def _elementwise(function: Callable[..., Constant]) -> Fold:
    def apply(_: OnnxNode, values: tuple[Constant, ...]) -> Constant:
        _limited(np.broadcast_shapes(*(value.shape for value in values)), max(value.itemsize for value in values))
        with np.errstate(all="ignore"):
            result = values[0] if len(values) > 1 else function(values[0])
            for value in values[1:]:
                result = function(result, value)
        return result

    return apply


def _reduce_prod(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    axes = node.attribute_or_input("axes", 1)
    numbers = np.asarray(values[0], np.int64 if np.issubdtype(values[0].dtype, np.integer) else np.float64)
    return np.asarray(np.prod(numbers, axis=axes, keepdims=bool(node.integer("keepdims", 1))), values[0].dtype)


def _dequantize(node: OnnxNode, values: tuple[Constant, ...]) -> Constant:
    """(x - zero point) * scale, both per tensor or per element of one axis."""
    x, scale = np.asarray(values[0], np.float32), np.asarray(values[1], np.float32)
    zero = np.asarray(values[2], np.float32) if len(values) > 2 else np.zeros_like(scale)
    if node.integer("block_size", 0):
        raise Unsupported("block_size: one scale per tensor or per channel is supported")
    if scale.size > 1:
        shape = [1] * x.ndim
        shape[node.axis(x.ndim, 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (x - zero) * scale


_FOLDS: Mapping[str, Fold] = MappingProxyType(
    {
        "Constant": _constant,
        "ConstantOfShape": _constant_of_shape,
        "Identity": lambda _, v: v[0],
        "Dropout": lambda _, v: v[0],
        "Cast": _cast,
        "Shape": lambda n, v: shape_part(n, v[0].shape),
        "Reshape": lambda n, v: v[0].reshape(reshape_target(n, v[0].shape)),
        "Flatten": lambda n, v: v[0].reshape(flatten_target(n, v[0].shape)),
        "Transpose": lambda n, v: np.transpose(v[0], permutation(n, v[0].ndim)),
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
        "Concat": lambda n, v: np.concatenate(v, axis=n.integer("axis", 0)),
        "Slice": _slice,
        "Gather": _gather,
        "Expand": _expand,
        "Tile": _tile,
        "Range": _range,
        "DequantizeLinear": _dequantize,
        "ReduceProd": _reduce_prod,
        "Add": _elementwise(np.add),
        "Sum": _elementwise(np.add),
        "Sub": _elementwise(np.subtract),
        "Mul": _elementwise(np.multiply),
        "Div": _divide,
        "Pow": _elementwise(np.power),
        "Min": _elementwise(np.minimum),
        "Max": _elementwise(np.maximum),
        "Sqrt": _elementwise(np.sqrt),
        "Neg": _elementwise(np.negative),
        "Abs": _elementwise(np.abs),
        "Exp": _elementwise(np.exp),
        "Reciprocal": _elementwise(np.reciprocal),
        "Floor": _elementwise(np.floor),
        "Ceil": _elementwise(np.ceil),
        "Equal": _elementwise(np.equal),
        "Where": lambda _, v: np.where(v[0], v[1], v[2]),
    }
)
