"""What a Graph means, written down plainly: the numpy evaluation that tests compare everything else with."""

import math
from collections.abc import Mapping
from functools import reduce
from typing import assert_never

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Fixed,
    Graph,
    Input,
    Lrn,
    Node,
    Normalise,
    Output,
    Pick,
    Pool,
    Product,
    Softmax,
    Standalone,
    Turn,
    View,
    Window,
)

Map = npt.NDArray[np.float64]  # [channels, height, width]


def evaluate(graph: Graph, inputs: Mapping[str, npt.NDArray[np.floating]]) -> tuple[list[Map], dict[str, Map]]:
    """(the map of every node, after its activation; every output in its ONNX shape, epilogue included)."""
    maps: list[Map] = []
    for node in graph.nodes:
        if isinstance(node.operation, Input):
            result = _input_map(node, np.asarray(inputs[node.name], np.float64))
        elif isinstance(node.operation, Fixed):
            result = node.operation.values.astype(np.float64)
        else:
            result = _compute(node, [gather(maps, view) for view in node.inputs])
        result = activate(node.activation, result)
        assert result.shape == (node.channels, node.height, node.width), (node.name, result.shape)
        maps.append(result)
    return maps, {output.name: onnx_output(output, gather(maps, output.view)) for output in graph.outputs}


def evaluate_images(
    graph: Graph, inputs: Mapping[str, npt.NDArray[np.floating]]
) -> tuple[list[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]]:
    """`evaluate` of many images, which are the first axis of inputs, maps and outputs."""
    images = len(next(iter(inputs.values())))
    runs = [evaluate(graph, {name: values[i] for name, values in inputs.items()}) for i in range(images)]
    maps = [np.stack(each) for each in zip(*(found for found, _ in runs), strict=True)]
    return maps, {o.name: np.concatenate([outputs[o.name] for _, outputs in runs]) for o in graph.outputs}


def random_inputs(graph: Graph, images: int, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Seeded inputs of the graph, with `images` along the first axis."""
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.normal(size=(images, *node.operation.onnx_shape[1:])).astype(np.float32)
        for node in graph.nodes
        if isinstance(node.operation, Input)
    }


def gather(maps: list[Map], view: View) -> Map:
    """The channels of a view."""
    return np.stack([maps[source][channel] for source, channel in zip(view.sources, view.channels, strict=True)])


def onnx_output(output: Output, values: Map) -> Map:
    """A gathered map as the ONNX tensor."""
    ordered = values.transpose(1, 2, 0) if output.layout == "NHWC" else values
    tensor = ordered.reshape(output.onnx_shape)
    if output.epilogue is not None:
        powers = np.exp(tensor - tensor.max(axis=output.epilogue_axis, keepdims=True))
        tensor = np.asarray(powers / powers.sum(axis=output.epilogue_axis, keepdims=True))
        tensor = np.log(tensor) if output.epilogue == "log_softmax" else tensor
    return tensor


def activate(activation: Activation | None, x: Map) -> Map:
    """The element-wise function."""
    if activation is None:
        return x
    alpha, beta = activation.alpha, activation.beta
    match activation.kind:
        case ActivationKind.RELU:
            return np.maximum(x, 0)
        case ActivationKind.CLIP:
            return np.clip(x, activation.low, activation.high)
        case ActivationKind.LEAKY_RELU:
            return np.maximum(x, alpha * x)
        case ActivationKind.SIGMOID:
            return 1 / (1 + np.exp(-x))
        case ActivationKind.TANH:
            return np.tanh(x)
        case ActivationKind.HARD_SIGMOID:
            return np.clip(alpha * x + beta, 0, 1)
        case ActivationKind.HARD_SWISH:
            return x * np.clip(x / 6 + 0.5, 0, 1)
        case ActivationKind.ERF:
            return _erf(x)
        case ActivationKind.GELU:
            return np.asarray(x / 2 * (1 + _erf(x / math.sqrt(2))))


def _erf(x: Map) -> Map:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _input_map(node: Node, tensor: Map) -> Map:
    assert isinstance(node.operation, Input)
    if node.operation.layout == "NHWC":
        return tensor.reshape(node.height, node.width, node.channels).transpose(2, 0, 1)
    return tensor.reshape(node.channels, node.height, node.width)


def _compute(node: Node, operands: list[Map]) -> Map:
    operation, x = node.operation, operands[0]
    match operation:
        case Conv():
            return _conv(operation, x, node.height, node.width)
        case Pool():
            return _pool(operation, x, node.height, node.width)
        case Eltwise():
            function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[operation.method]
            return np.asarray(reduce(function, operands))
        case Standalone():
            return x
        case Softmax() | Normalise() | Product() | Turn():
            return _attention(operation, operands)
        case Lrn():
            before = (operation.size - 1) // 2
            squares = np.pad(x**2, ((before, operation.size - 1 - before), (0, 0), (0, 0)))
            sums = np.stack([squares[c : c + operation.size].sum(axis=0) for c in range(len(x))])
            return x / (operation.bias + operation.alpha / operation.size * sums) ** operation.beta
        case Crop(top, left):
            result = np.zeros((len(x), node.height, node.width))
            for y in range(max(0, -top), min(node.height, x.shape[1] - top)):
                for column in range(max(0, -left), min(node.width, x.shape[2] - left)):
                    result[:, y, column] = x[:, y + top, column + left]
            return result
        case Pick(rows, columns):
            taken = [operands[y % len(operands)][:, row] for y, row in enumerate(rows)]
            picked = np.stack(taken, axis=1)[:, :, list(columns)]
            picked[:, np.array(rows) < 0] = 0
            picked[:, :, np.array(columns) < 0] = 0
            return picked
        case Input() | Fixed():
            raise AssertionError("inputs are given")
        case _:
            assert_never(operation)


def _attention(operation: Softmax | Normalise | Product | Turn, operands: list[Map]) -> Map:
    x = operands[0]
    match operation:
        case Softmax():
            powers = np.exp(x - x.max(axis=0))
            return np.asarray(powers / powers.sum(axis=0))
        case Normalise():
            x = x - x.mean(axis=0) if operation.centred else x
            return np.asarray(x / np.sqrt((x**2).mean(axis=0) + operation.epsilon))
        case Product():
            return np.asarray(np.einsum("chw,ck->khw", x, operands[1].reshape(len(operands[1]), -1)))
        case Turn():
            return x.reshape(len(x), -1).T[:, None, :]


def _taps(window: Window, x: Map, height: int, width: int, fill: float) -> list[tuple[int, int, Map]]:
    """For every kernel element (row, column) the input elements it meets: [channels, height, width]."""
    top, left, bottom, right = window.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
    taps = []
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            y, column = ky * window.dilation[0], kx * window.dilation[1]
            rows = slice(y, y + (height - 1) * window.stride[0] + 1, window.stride[0])
            columns = slice(column, column + (width - 1) * window.stride[1] + 1, window.stride[1])
            taps.append((ky, kx, padded[:, rows, columns]))
    return taps


def _conv(conv: Conv, x: Map, height: int, width: int) -> Map:
    outs, per_group = conv.weights.shape[:2]
    weights = conv.weights.reshape(conv.groups, outs // conv.groups, per_group, *conv.window.kernel)
    total = np.zeros((conv.groups, outs // conv.groups, height * width))
    for ky, kx, tap in _taps(conv.window, x, height, width, 0.0):
        total += weights[..., ky, kx].astype(np.float64) @ tap.reshape(conv.groups, per_group, height * width)
    result = total.reshape(outs, height, width)
    return result if conv.bias is None else result + conv.bias.astype(np.float64)[:, None, None]


def _pool(pool: Pool, x: Map, height: int, width: int) -> Map:
    if pool.method == "max":
        return np.asarray(np.max([tap for *_, tap in _taps(pool.window, x, height, width, -np.inf)], axis=0))
    # A map of ones tells which elements count: those inside, and the explicit pads if padding counts.
    ones = np.ones((1, *x.shape[1:]))
    if pool.count_padding:
        top, left, bottom, right = pool.window.pads
        rows, columns = pool.overhang
        ones = np.pad(ones, ((0, 0), (top, bottom - rows), (left, right - columns)), constant_values=1.0)
        window = Window(
            kernel=pool.window.kernel,
            stride=pool.window.stride,
            pads=(0, 0, rows, columns),
            dilation=pool.window.dilation,
        )
    else:
        window = pool.window
    counts = sum(tap for *_, tap in _taps(window, ones, height, width, 0.0))
    return np.asarray(sum(tap for *_, tap in _taps(pool.window, x, height, width, 0.0)) / counts)
