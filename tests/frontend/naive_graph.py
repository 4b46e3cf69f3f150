"""A naive evaluation of a Graph in numpy, written from the definitions in ir/graph.py: slow, obvious, for tiny maps."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import (
    Activation,
    ActivationKind,
    Conv,
    Crop,
    Eltwise,
    Graph,
    Input,
    Lrn,
    Node,
    Output,
    Pick,
    Pool,
    Standalone,
    View,
    Window,
)

Array = npt.NDArray[np.floating]


def whole(source: int, channels: int) -> View:
    """All channels of one node."""
    return View(np.full(channels, source, np.int32), np.arange(channels, dtype=np.int32))


def patches(x: Array, node: Node, window: Window) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Every output position's window [images, C, H, W, kh, kw] and which of its positions lie inside the input."""
    top, left = window.pads[0], window.pads[1]
    values = np.zeros((*x.shape[:2], node.height, node.width, *window.kernel), np.float32)
    inside = np.zeros((node.height, node.width, *window.kernel), bool)
    for y, c, ky, kx in itertools.product(*map(range, (node.height, node.width, *window.kernel))):
        iy = y * window.stride[0] + ky * window.dilation[0] - top
        ix = c * window.stride[1] + kx * window.dilation[1] - left
        if 0 <= iy < x.shape[2] and 0 <= ix < x.shape[3]:
            values[:, :, y, c, ky, kx] = x[:, :, iy, ix]
            inside[y, c, ky, kx] = True
    return values, inside


def _countable(node: Node, pool: Pool, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Window positions that count in an average with count_padding: inside the input or its pads, not the overhang."""
    window = pool.window
    counts = np.zeros((node.height, node.width, *window.kernel), bool)
    for y, c, ky, kx in itertools.product(*map(range, counts.shape)):
        iy = y * window.stride[0] + ky * window.dilation[0]
        ix = c * window.stride[1] + kx * window.dilation[1]
        rows = window.pads[0] + size[0] + window.pads[2] - pool.overhang[0]
        cols = window.pads[1] + size[1] + window.pads[3] - pool.overhang[1]
        counts[y, c, ky, kx] = iy < rows and ix < cols
    return counts


def _activate(x: Array, a: Activation | None) -> Array:
    """Numpy definition of every activation."""
    if a is None:
        return x
    functions: dict[ActivationKind, Callable[[], Array]] = {
        ActivationKind.RELU: lambda: np.maximum(x, 0),
        ActivationKind.CLIP: lambda: np.clip(x, a.low, a.high),
        ActivationKind.LEAKY_RELU: lambda: np.where(x > 0, x, a.alpha * x),
        ActivationKind.SIGMOID: lambda: 1 / (1 + np.exp(-x)),
        ActivationKind.TANH: lambda: np.tanh(x),
        ActivationKind.HARD_SIGMOID: lambda: np.clip(a.alpha * x + a.beta, 0, 1),
        ActivationKind.HARD_SWISH: lambda: x * np.clip(x / 6 + 0.5, 0, 1),
    }
    return functions[a.kind]()


def evaluate(graph: Graph, inputs: Mapping[str, Array]) -> list[Array]:
    """Every node's map, straight from the definitions in ir/graph.py."""
    maps: list[Array] = []
    result: Array
    for node in graph.nodes:
        seen = [np.stack([maps[s][:, c] for s, c in zip(v.sources, v.channels, strict=True)], 1) for v in node.inputs]
        match node.operation:
            case Input(layout="NHWC"):
                result = inputs[node.name].transpose(0, 3, 1, 2)
            case Input():
                result = inputs[node.name].reshape(-1, node.channels, node.height, node.width)
            case Conv() as conv:
                values, _ = patches(seen[0], node, conv.window)
                grouped = values.reshape(len(values), conv.groups, -1, *values.shape[2:])
                weights = conv.weights.reshape(conv.groups, -1, *conv.weights.shape[1:])
                result = np.einsum("ngcyxhw,gochw->ngoyx", grouped, weights).reshape(
                    len(values), -1, node.height, node.width
                )
                result = result if conv.bias is None else result + conv.bias[:, None, None]
            case Pool(method="max") as pool:
                values, inside = patches(seen[0], node, pool.window)
                result = np.where(inside, values, np.float32(-np.inf)).max(axis=(-2, -1))
            case Pool() as pool:
                values, inside = patches(seen[0], node, pool.window)
                counted = _countable(node, pool, seen[0].shape[2:]) if pool.count_padding else inside
                result = values.sum(axis=(-2, -1)) / counted.sum(axis=(-2, -1))
            case Eltwise(method=operation):
                function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[operation]
                result = seen[0]
                for other in seen[1:]:
                    result = function(result, other)
            case Lrn() as lrn:
                squares = np.pad(seen[0] ** 2, ((0, 0), (lrn.size // 2, lrn.size // 2), (0, 0), (0, 0)))
                sums = sum(squares[:, i : i + node.channels] for i in range(lrn.size))
                result = seen[0] / (lrn.bias + lrn.alpha / lrn.size * sums) ** lrn.beta
            case Crop(top=top, left=left):
                far = 20
                padded = np.pad(seen[0], ((0, 0), (0, 0), (far, far), (far, far)))
                result = padded[:, :, far + top :, far + left :][:, :, : node.height, : node.width]
            case Pick(rows=rows, columns=columns):
                padded = np.pad(seen[0], ((0, 0), (0, 0), (0, 1), (0, 1)))
                result = padded[:, :, list(rows)][:, :, :, list(columns)]
            case Standalone():
                result = seen[0]
        maps.append(_activate(result, node.activation))
    return maps


def output_values(graph: Graph, maps: list[Array], output: Output) -> Array:
    """An output in its ONNX shape, epilogue applied."""
    view = output.view
    values = np.stack([maps[s][:, c] for s, c in zip(view.sources, view.channels, strict=True)], 1)
    values = values.transpose(0, 2, 3, 1) if output.layout == "NHWC" else values
    values = values.reshape(len(values), *output.onnx_shape[1:])
    if output.epilogue == "softmax":
        powers = np.exp(values - values.max(axis=output.epilogue_axis, keepdims=True))
        values = powers / powers.sum(axis=output.epilogue_axis, keepdims=True)
    return values


def random_inputs(graph: Graph, images: int, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Seeded inputs of the graph, with `images` along the first axis."""
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.normal(size=(images, *node.operation.onnx_shape[1:])).astype(np.float32)
        for node in graph.nodes
        if isinstance(node.operation, Input)
    }
