"""One graph operation -> ONNX nodes; pooling's corner cases (wide pads, special divisors) are spelled out here."""

import math
from typing import assert_never

import numpy as np

from pimcomp.errors import InvariantError
from pimcomp.frontend.onnx.writer import MapTensor, OnnxWriter
from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Fixed,
    FloatArray,
    Input,
    Lrn,
    Node,
    Normalise,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
)
from pimcomp.ir.pooling import averaged

_ELTWISE_OPS = {"add": "Add", "sub": "Sub", "mul": "Mul"}


def emit_operation(writer: OnnxWriter, node: Node, operands: list[MapTensor]) -> str:
    """Append what computes `node` before its activation from its operands; returns the tensor [N, C, H, W]."""
    match node.operation:
        case Conv() as conv:
            return _conv(writer, node, conv, operands[0])
        case Pool() as pool:
            return _pool(writer, node, pool, operands[0])
        case Eltwise() as eltwise:
            return _eltwise(writer, node, eltwise, operands)
        case Lrn() as lrn:
            parameters = {"size": lrn.size, "alpha": lrn.alpha, "beta": lrn.beta, "bias": lrn.bias}
            return writer.add("LRN", [operands[0].name], node.name, **parameters)
        case Crop() as crop:
            return _crop(writer, node, crop, operands[0])
        case Pick() as pick:
            return _pick(writer, node, pick, operands)
        case Softmax() | Normalise() | Product() | Turn() as operation:
            return _attention(writer, node, operation, operands)
        case Standalone():
            return operands[0].name
        case Input() | Fixed():
            raise InvariantError(f"{node.name}: what is loaded is no node of an ONNX graph")
        case other:
            assert_never(other)


def emit_activation(writer: OnnxWriter, name: str, activation: Activation | None, tensor: str) -> str:
    """Append an element-wise function; None is the identity."""
    if activation is None:
        return tensor
    stem = f"{name}.{activation.kind}"
    match activation.kind:
        case ActivationKind.RELU:
            return writer.add("Relu", [tensor], stem)
        case ActivationKind.CLIP:
            # An absent bound is an empty input name.
            low = writer.scalar(f"{stem}.low", activation.low) if math.isfinite(activation.low) else ""
            high = writer.scalar(f"{stem}.high", activation.high) if math.isfinite(activation.high) else ""
            return writer.add("Clip", [tensor, low, high], stem)
        case ActivationKind.LEAKY_RELU:
            return writer.add("LeakyRelu", [tensor], stem, alpha=activation.alpha)
        case ActivationKind.SIGMOID:
            return writer.add("Sigmoid", [tensor], stem)
        case ActivationKind.TANH:
            return writer.add("Tanh", [tensor], stem)
        case ActivationKind.HARD_SIGMOID:
            return writer.add("HardSigmoid", [tensor], stem, alpha=activation.alpha, beta=activation.beta)
        case ActivationKind.HARD_SWISH:
            return writer.add("HardSwish", [tensor], stem)
        case ActivationKind.ERF:
            return writer.add("Erf", [tensor], stem)
        case ActivationKind.GELU:
            scaled = writer.add("Mul", [tensor, writer.scalar(f"{stem}.scale", math.sqrt(0.5))], stem)
            error = writer.add("Erf", [scaled], stem)
            half = writer.add("Mul", [tensor, writer.scalar(f"{stem}.half", 0.5)], stem)
            return writer.add("Add", [half, writer.add("Mul", [half, error], stem)], stem)


def _conv(writer: OnnxWriter, node: Node, conv: Conv, operand: MapTensor) -> str:
    inputs = [operand.name, writer.constant(f"{node.name}.weights", conv.weights.astype(np.float32, copy=False))]
    if conv.bias is not None:
        inputs.append(writer.constant(f"{node.name}.bias", conv.bias.astype(np.float32, copy=False)))
    window = conv.window
    return writer.add(
        "Conv",
        inputs,
        node.name,
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=window.pads,
        dilations=window.dilation,
        group=conv.groups,
    )


def _pool(writer: OnnxWriter, node: Node, pool: Pool, operand: MapTensor) -> str:
    window = pool.window
    shape = {"kernel_shape": window.kernel, "strides": window.stride, "dilations": window.dilation}
    tensor, pads = operand.name, window.pads
    kernel = (*window.kernel, *window.kernel)
    rows, columns = averaged(pool, (node.height, node.width), (operand.height, operand.width))
    divisor: FloatArray = np.maximum(np.outer(rows, columns), 1).astype(np.float32)[None, None]
    uniform = bool((divisor == math.prod(window.kernel)).all())
    if any(pad >= size for pad, size in zip(pads, kernel, strict=True)) or (pool.method == "avg" and not uniform):
        # ONNX runtimes refuse pads as large as the kernel, and know no divisor that leaves out the overhang.
        fill = float(np.finfo(np.float32).min) if pool.method == "max" else 0.0
        tensor, pads = _padded(writer, tensor, pads, fill, node.name), (0, 0, 0, 0)
    if pool.method == "max":
        return writer.add("MaxPool", [tensor], node.name, pads=pads, **shape)
    mean = writer.add("AveragePool", [tensor], node.name, pads=pads, count_include_pad=1, **shape)
    if uniform:
        return mean
    scale = np.float32(math.prod(window.kernel)) / divisor
    return writer.add("Mul", [mean, writer.constant(f"{node.name}.divisor", scale)], node.name)


def _padded(writer: OnnxWriter, tensor: str, pads: tuple[int, int, int, int], fill: float, stem: str) -> str:
    """Pad height and width by (top, left, bottom, right)."""
    if not any(pads):
        return tensor
    top, left, bottom, right = pads
    amounts = writer.integers(f"{stem}.pads", [0, 0, top, left, 0, 0, bottom, right])
    return writer.add("Pad", [tensor, amounts, writer.scalar(f"{stem}.fill", fill)], f"{stem}.padded", mode="constant")


def _eltwise(writer: OnnxWriter, node: Node, eltwise: Eltwise, operands: list[MapTensor]) -> str:
    op = _ELTWISE_OPS.get(eltwise.method)
    if op is None or len(operands) < 2 or (op == "Sub" and len(operands) != 2):
        raise InvariantError(f"{node.name}: element-wise {eltwise.method!r} over {len(operands)} operands")
    result = operands[0].name
    for operand in operands[1:]:
        result = writer.add(op, [result, operand.name], node.name)
    return result


def _attention(
    writer: OnnxWriter, node: Node, operation: Softmax | Normalise | Product | Turn, operands: list[MapTensor]
) -> str:
    tensor = operands[0].name
    match operation:
        case Softmax():
            return writer.add("Softmax", [tensor], node.name, axis=1)
        case Normalise():
            return _normalise(writer, node, operation, tensor)
        case Product():
            left, right = (writer.reshape(o.name, (o.channels, o.height * o.width), node.name) for o in operands)
            turned = writer.add("Transpose", [right], node.name, perm=(0, 2, 1))
            product = writer.add("MatMul", [turned, left], node.name)
            return writer.reshape(product, (node.channels, node.height, node.width), node.name)
        case Turn():
            flat = writer.reshape(tensor, (node.width, node.channels), node.name)
            turned = writer.add("Transpose", [flat], node.name, perm=(0, 2, 1))
            return writer.reshape(turned, (node.channels, 1, node.width), node.name)
        case _:
            assert_never(operation)


def _normalise(writer: OnnxWriter, node: Node, operation: Normalise, tensor: str) -> str:
    stem, axis = node.name, writer.integers(f"{node.name}.axis", [1])
    if operation.centred:
        tensor = writer.add("Sub", [tensor, writer.add("ReduceMean", [tensor, axis], stem)], stem)
    square = writer.add("ReduceMean", [writer.add("Mul", [tensor, tensor], stem), axis], stem)
    shifted = writer.add("Add", [square, writer.scalar(f"{stem}.epsilon", operation.epsilon)], stem)
    return writer.add("Div", [tensor, writer.add("Sqrt", [shifted], stem)], stem)


def _crop(writer: OnnxWriter, node: Node, crop: Crop, operand: MapTensor) -> str:
    """What lies inside the input, then zeros around it."""
    starts, stops, before, after = [], [], [], []
    for offset, size, out in ((crop.top, operand.height, node.height), (crop.left, operand.width, node.width)):
        start, stop = min(max(offset, 0), size), max(min(offset + out, size), 0)
        starts.append(start)
        stops.append(max(start, stop))
        before.append(max(-offset, 0))
        after.append(out - before[-1] - (stops[-1] - start))
    tensor = operand.name
    if starts != [0, 0] or stops != [operand.height, operand.width]:
        bounds = [writer.integers(f"{node.name}.bounds", v) for v in (starts, stops, [2, 3])]
        tensor = writer.add("Slice", [tensor, *bounds], f"{node.name}.inside")
    return _padded(writer, tensor, (before[0], before[1], after[0], after[1]), 0.0, node.name)


def _pick(writer: OnnxWriter, node: Node, pick: Pick, operands: list[MapTensor]) -> str:
    """Gathered rows and columns of the operands, one below the other, with one row and one column of zeros behind."""
    tensor, height, width = operands[0].name, operands[0].height, operands[0].width
    if len(operands) > 1:
        tensor = writer.add("Concat", [operand.name for operand in operands], node.name, axis=2)
    rows = [-1 if row < 0 else y % len(operands) * height + row for y, row in enumerate(pick.rows)]
    tensor = _padded(writer, tensor, (0, 0, 1, 1), 0.0, node.name)
    for axis, chosen, size in ((2, rows, len(operands) * height), (3, pick.columns, width)):
        indices = writer.integers(f"{node.name}.chosen", [size if i < 0 else i for i in chosen])
        tensor = writer.add("Gather", [tensor, indices], node.name, axis=axis)
    return tensor
