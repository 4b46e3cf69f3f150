"""ModelProto pass: QDQ networks in real numbers.

A pair of QuantizeLinear and DequantizeLinear rounds and clamps an activation. The chip rounds to its own formats,
so only the clamping stays, as a Clip: quantizers often leave out a ReLU that the range of the integers implies. Weights
behind a DequantizeLinear are folded like any other constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pimcomp.frontend.lower.constant_fold import constants_of
from pimcomp.frontend.lower.onnx_node import opset_of
from pimcomp.frontend.onnx.mixed_batch import static_shapes

QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
# What may stand between the two: operators that commute with the map from integers to real numbers.
_BETWEEN = frozenset(
    {
        "MaxPool",
        "GlobalMaxPool",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Slice",
        "Gather",
    }
    | {"Split", "Concat", "Resize", "DepthToSpace", "SpaceToDepth"}
)
_RANGES: Mapping[int, tuple[int, int]] = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
}


@dataclass(frozen=True, slots=True)
class _AlongAxis:
    """real = (integer - zeros) * factors along one axis, integers from low to high."""

    axis: int
    factors: npt.NDArray[np.float32]
    zeros: npt.NDArray[np.float32]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """real = (integer - zero) * factor, integers of an ONNX data type."""

    factor: float
    zero: int
    data_type: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest real number."""
        low, high = _RANGES[self.data_type]
        return (low - self.zero) * self.factor, (high - self.zero) * self.factor


def drop_quantization(model: onnx.ModelProto) -> tuple[str, ...]:
    """Replace pairs with one scale per tensor, in place; anything else is left to the lowering to refuse.

    Returns notes for the report.
    """
    constants = constants_of(model)
    scales: dict[str, _Scale] = {}
    per_channel: dict[str, _AlongAxis] = {}
    pairs = 0
    for number, node in enumerate(list(model.graph.node)):
        if node.op_type == "QuantizeLinear" and len(node.input) > 1:
            scale = _scale(node, constants)
            if node.input[0] in constants:
                continue
            if scale is not None:
                scales[node.output[0]] = scale
                _become_clip(model, node, scale, number)
            elif (along := _along_axis(node, constants)) is not None:
                per_channel[node.output[0]] = along
                _spell_out(model, node, along, quantize=True)
        elif node.op_type == "DequantizeLinear" and node.input and node.input[0] in per_channel:
            if (along := _along_axis(node, constants)) is not None:
                pairs += 1
                _spell_out(model, node, along, quantize=False)
        elif node.op_type == "Clip" and node.input and node.output and node.input[0] in scales:
            scales[node.output[0]] = scales[node.input[0]]
            _clip_real(model, node, scales[node.input[0]], constants, number)
        elif node.op_type == "DequantizeLinear" and node.input and node.input[0] in scales:
            if _scale(node, constants, scales[node.input[0]].data_type) == scales[node.input[0]]:
                pairs += 1
                node.op_type, node.domain = "Identity", ""
                del node.input[1:], node.attribute[:]
        elif node.op_type in _BETWEEN:
            known = {scales.get(name) for name in node.input if name and name not in constants}
            one = next(iter(known)) if len(known) == 1 else None
            if one is not None:
                scales.update(dict.fromkeys(node.output, one))
    notes = [f"{pairs} pair(s) of QuantizeLinear and DequantizeLinear became clamps: rounding is left to the chip"]
    return tuple(notes[: bool(pairs)] + _real_outputs(model, scales))


def _real_outputs(model: onnx.ModelProto, scales: Mapping[str, _Scale]) -> list[str]:
    """Outputs of integers become the real numbers, clamped, that the integers stand for; notes that say so."""
    notes = []
    for value in model.graph.output:
        if (scale := scales.get(value.name)) is not None:
            kind = TensorProto.DataType.Name(scale.data_type).lower()
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            notes.append(
                f"output {value.name!r} is the real number behind the {kind}, clamped: rounding it, "
                f"real / {scale.factor:g} + {scale.zero}, is left to the host"
            )
    return notes


def _scale(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], data_type: int = TensorProto.UINT8
) -> _Scale | None:
    """The node's one scale and zero point; None if it has several or they are computed."""
    if len(node.input) < 2 or node.input[1] not in constants:
        return None
    factor, zero = numpy_helper.to_array(constants[node.input[1]]), np.zeros(1, np.int64)
    named = next((a.i for a in node.attribute if a.name == "output_dtype" and a.i), data_type)
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in constants:
            return None
        named = constants[node.input[2]].data_type
        zero = numpy_helper.to_array(constants[node.input[2]])
    if factor.size != 1 or zero.size != 1 or named not in _RANGES or not np.all(np.asarray(factor, np.float64) > 0):
        return None
    return _Scale(float(factor.ravel()[0]), int(zero.ravel()[0]), named)


def _become_clip(model: onnx.ModelProto, node: onnx.NodeProto, scale: _Scale, number: int) -> None:
    """Turn a QuantizeLinear into the clamp it implies."""
    names = [f"{node.output[0]}.{side}.{number}" for side in ("low", "high")]
    node.op_type, node.domain = "Clip", ""
    del node.input[1:], node.attribute[:]
    if opset_of(model) < 11:
        low, high = scale.bounds
        node.attribute.extend([helper.make_attribute("min", low), helper.make_attribute("max", high)])
        return
    for name, bound in zip(names, scale.bounds, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(np.array(bound, np.float32), name))
        node.input.append(name)


def _along_axis(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> _AlongAxis | None:
    """One scale and zero point per element of an axis; None if they are computed or in blocks."""
    given = [constants.get(name) for name in node.input[1:]]
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if not given or any(tensor is None for tensor in given) or attributes.get("block_size", 0):
        return None
    arrays = [numpy_helper.to_array(tensor) for tensor in given if tensor is not None]
    kind = given[1].data_type if len(given) > 1 and given[1] is not None else TensorProto.UINT8
    factors = arrays[0].astype(np.float32)
    zeros = arrays[1].astype(np.float32) if len(arrays) > 1 else np.zeros_like(factors)
    if factors.ndim != 1 or factors.shape != zeros.shape or kind not in _RANGES or not np.all(factors > 0):
        return None
    return _AlongAxis(attributes.get("axis", 1), factors, zeros, *_RANGES[kind])


def _spell_out(model: onnx.ModelProto, node: onnx.NodeProto, along: _AlongAxis, *, quantize: bool) -> None:
    """clip(x / factors + zeros), or (y - zeros) * factors, in place of the node: integers without their rounding."""
    inverse = (1 / along.factors).astype(np.float32)
    parts = [("Mul", inverse), ("Add", along.zeros)] if quantize else [("Sub", along.zeros), ("Mul", along.factors)]
    if along.axis < 0:
        tail = -along.axis - 1
    else:
        tail = max(0, len(static_shapes(model).get(node.input[0], ())) - along.axis - 1)
    name, nodes = node.input[0], []
    steps = [(op, values.reshape(-1, *(1,) * tail)) for op, values in parts]
    if quantize:
        steps += [(op, np.array(bound, np.float32)) for op, bound in (("Max", along.low), ("Min", along.high))]
    for step, (op, values) in enumerate(steps):
        last = step == len(steps) - 1
        result = node.output[0] if last else f"{node.output[0]}.{step}"
        model.graph.initializer.append(numpy_helper.from_array(values, f"{result}.{op}"))
        nodes.append(helper.make_node(op, [name, f"{result}.{op}"], [result], name=f"{node.name}.{step}"))
        name = result
    at = list(model.graph.node).index(node)
    for made in nodes[:-1][::-1]:
        model.graph.node.insert(at, made)
    model.graph.node[at + len(nodes) - 1].CopyFrom(nodes[-1])


def _clip_real(
    model: onnx.ModelProto, node: onnx.NodeProto, scale: _Scale, constants: Mapping[str, TensorProto], number: int
) -> None:
    """A Clip of integers, of the real numbers that they stand for."""
    for place, name in enumerate(node.input):
        if place and name in constants:
            bound = (float(numpy_helper.to_array(constants[name])) - scale.zero) * scale.factor
            node.input[place] = f"{node.output[0]}.{place}.{number}"
            model.graph.initializer.append(numpy_helper.from_array(np.array(bound, np.float32), node.input[place]))
