"""Small networks with the structures of large families, as ONNX models: what exporters write, in miniature."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.frontend.small_onnx import Array, make, op


class Layers:
    """Collects nodes and weights; every method returns the name of its result."""

    def __init__(self, channels: int, side: int = 8, *, layout: str = "NCHW", batch: int | str = 1) -> None:
        self.rng = np.random.default_rng(len(layout) + channels)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        map_shape = [channels, side, side] if layout == "NCHW" else [side, side, channels]
        self.inputs: dict[str, list[int | str]] = {"x": [batch, *map_shape]}

    def node(self, operator: str, inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; several outputs come separated by spaces."""
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(op(operator, inputs, " ".join(names), **attributes))
        return " ".join(names)

    def constant(self, values: npt.ArrayLike, kind: type = np.float32) -> str:
        """A weight."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values, kind)
        return name

    def normal(self, *shape: int) -> str:
        """A random weight, scaled by its fan-in."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 25
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(fan_in))

    def conv(self, x: str, ins: int, outs: int, kernel: int = 3, **attributes: Any) -> str:
        """A convolution with bias that keeps the map's size (at stride 1)."""
        reach = (kernel - 1) * max(attributes.get("dilations", [1]))
        attributes = {"pads": [reach // 2] * 4} | attributes
        weights = self.normal(outs, ins // attributes.get("group", 1), kernel, kernel)
        return self.node("Conv", f"{x} {weights} {self.normal(outs)}", **attributes)

    def norm(self, x: str, channels: int) -> str:
        """A BatchNormalization with its own statistics."""
        scale, variance = (self.constant(self.rng.uniform(0.5, 1.5, channels)) for _ in range(2))
        return self.node(
            "BatchNormalization", f"{x} {scale} {self.normal(channels)} {self.normal(channels)} {variance}"
        )

    def head(self, x: str, channels: int, classes: int = 5) -> str:
        """Global pooling and a fully connected layer."""
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.node("Gemm", f"{flat} {self.normal(classes, channels)} {self.normal(classes)}", transB=1)

    def model(self, result: str, **options: Any) -> onnx.ModelProto:
        """The model whose output is `result`."""
        self.nodes.append(op("Identity", result, "y"))
        return make(self.nodes, self.inputs, self.weights, **options)


def densenet() -> onnx.ModelProto:
    """BatchNormalization and ReLU in front of each convolution, on concatenations; a transition."""
    n = Layers(6)
    x, channels = "x", 6
    for _ in range(2):
        inner = n.conv(n.node("Relu", n.norm(x, channels)), channels, 8, 1)
        new = n.conv(n.node("Relu", n.norm(inner, 8)), 8, 4)
        x, channels = n.node("Concat", f"{x} {new}", axis=1), channels + 4
    x = n.conv(n.node("Relu", n.norm(x, channels)), channels, 6, 1)
    x = n.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return n.model(n.head(n.node("Relu", n.norm(x, 6)), 6))


def bottleneck(*, folded: bool) -> onnx.ModelProto:
    """ResNet's bottleneck with projection, as torchvision exports it: BatchNormalization kept or folded."""
    n = Layers(8, batch="batch")

    def unit(x: str, ins: int, outs: int, kernel: int, **attributes: Any) -> str:
        result = n.conv(x, ins, outs, kernel, **attributes)
        return result if folded else n.norm(result, outs)

    x = n.node("Relu", unit("x", 8, 4, 1))
    x = n.node("Relu", unit(x, 4, 4, 3, strides=[2, 2]))
    x = unit(x, 4, 16, 1)
    short = unit("x", 8, 16, 1, strides=[2, 2])
    return n.model(n.head(n.node("Relu", n.node("Add", f"{x} {short}")), 16))


def channels_last() -> onnx.ModelProto:
    """As converters from TensorFlow write it: Transpose, SAME padding, bias by Add, ReduceMean, MatMul."""
    n = Layers(3, 9, layout="NHWC", batch="N")
    x = n.node("Transpose", "x", perm=[0, 3, 1, 2])
    x = n.node("Conv", f"{x} {n.normal(8, 3, 3, 3)}", auto_pad="SAME_UPPER", strides=[2, 2])
    x = n.node("Add", f"{x} {n.constant(n.rng.standard_normal((1, 8, 1, 1)))}")
    x = n.node("Clip", f"{x} {n.constant(0)} {n.constant(6)}")
    x = n.node("Conv", f"{x} {n.normal(8, 1, 3, 3)}", auto_pad="SAME_UPPER", group=8)
    x = n.node("Transpose", n.norm(x, 8), perm=[0, 2, 3, 1])
    x = n.node("ReduceMean", x, axes=[1, 2], keepdims=0)
    x = n.node("Add", f"{n.node('MatMul', f'{x} {n.normal(8, 5)}')} {n.normal(5)}")
    return n.model(n.node("Softmax", x, axis=-1))


def constant_nodes() -> onnx.ModelProto:
    """Weights in Constant nodes, one of them shared by two layers through Identity."""
    n = Layers(4)
    values = n.rng.standard_normal((4, 4, 3, 3)) / 6
    tensor = onnx.numpy_helper.from_array(values.astype(np.float32))
    n.nodes.append(onnx.helper.make_node("Constant", [], ["shared"], value=tensor))
    again = n.node("Identity", "shared")
    x = n.node("Relu", n.node("Conv", "x shared", pads=[1, 1, 1, 1]))
    x = n.node("Conv", f"{x} {again}", pads=[1, 1, 1, 1])
    return n.model(n.head(x, 4))


def squeeze_and_excitation() -> onnx.ModelProto:
    """MobileNetV3's block: depthwise convolution, squeeze and excitation, hard-swish."""
    n = Layers(4)
    x = n.node("HardSwish", n.conv("x", 4, 8, 1))
    x = n.node("HardSwish", n.conv(x, 8, 8, 3, group=8))
    s = n.node("Relu", n.conv(n.node("GlobalAveragePool", x), 8, 4, 1))
    s = n.node("HardSigmoid", n.conv(s, 4, 8, 1), alpha=1 / 6)
    x = n.conv(n.node("Mul", f"{x} {s}"), 8, 4, 1)
    return n.model(n.head(n.node("Add", f"{x} x"), 4), opset=14)


def silu() -> onnx.ModelProto:
    """EfficientNet's block: x * sigmoid(x)."""
    n = Layers(4)
    x = n.conv("x", 4, 8, 1)
    x = n.node("Mul", f"{x} {n.node('Sigmoid', x)}")
    x = n.conv(x, 8, 8, 3, group=8, strides=[2, 2])
    x = n.node("Mul", f"{x} {n.node('Sigmoid', x)}")
    return n.model(n.head(x, 8))


def slopes() -> onnx.ModelProto:
    """PReLU with a slope per channel, one slope, and LeakyReLU."""
    n = Layers(4)
    x = n.node("PRelu", f"{n.conv('x', 4, 6)} {n.constant(n.rng.uniform(-0.2, 1.4, (6, 1, 1)))}")
    x = n.node("PRelu", f"{n.conv(x, 6, 6)} {n.constant([[[0.25]]])}")
    return n.model(n.head(n.node("LeakyRelu", n.conv(x, 6, 4), alpha=0.1), 4))


def decoder() -> onnx.ModelProto:
    """U-Net in miniature: down, up by a transposed convolution, joined with what was before."""
    n = Layers(3)
    high = n.node("Relu", n.conv("x", 3, 4))
    low = n.node("MaxPool", high, kernel_shape=[2, 2], strides=[2, 2])
    low = n.node("Relu", n.conv(low, 4, 6))
    up = n.node("ConvTranspose", f"{low} {n.normal(6, 4, 2, 2)} {n.normal(4)}", strides=[2, 2])
    x = n.node("Relu", n.conv(n.node("Concat", f"{high} {up}", axis=1), 8, 4))
    up = n.node("ConvTranspose", f"{x} {n.normal(4, 2, 4, 4)}", strides=[2, 2], pads=[1, 1, 1, 1])
    return n.model(n.conv(up, 2, 2, 1))


def resized(mode: str) -> onnx.ModelProto:
    """A feature pyramid: the small map resized and added to the large one."""
    n = Layers(3)
    high = n.node("Relu", n.conv("x", 3, 4))
    low = n.node("Relu", n.conv(high, 4, 4, strides=[2, 2]))
    up = n.node("Resize", f"{low} _ {n.constant([1, 1, 2, 2])}", mode=mode)
    return n.model(n.conv(n.node("Add", f"{high} {up}"), 4, 3))


def super_resolution() -> onnx.ModelProto:
    """Pixel shuffle."""
    n = Layers(2, 5)
    x = n.node("Tanh", n.conv("x", 2, 8))
    return n.model(n.node("DepthToSpace", n.conv(x, 8, 8), blocksize=2, mode="CRD"))


def separable() -> onnx.ModelProto:
    """Depthwise-separable and dilated convolutions, side by side."""
    n = Layers(4, 9)
    x = n.node("Relu", n.conv("x", 4, 8, 1))
    branches = [n.node("Relu", n.conv(x, 8, 4, 3, dilations=[d, d])) for d in (1, 2, 3)]
    x = n.node("Concat", " ".join(branches), axis=1)
    return n.model(n.head(n.conv(n.conv(x, 12, 12, 3, group=12, strides=[2, 2]), 12, 6, 1), 6))


def perceptron() -> onnx.ModelProto:
    """Gemm layers."""
    n = Layers(1, 4)
    x = n.node("Flatten", "x")
    for ins, outs in ((16, 20), (20, 12)):
        x = n.node("Relu", n.node("Gemm", f"{x} {n.normal(outs, ins)} {n.normal(outs)}", transB=1))
    return n.model(n.node("Gemm", f"{x} {n.normal(12, 5)}"))


def products() -> onnx.ModelProto:
    """Nothing but MatMul, Add and Tanh on a vector."""
    n = Layers(1)
    n.inputs = {"x": ["batch", 24]}
    x = n.node("Tanh", n.node("Add", f"{n.node('MatMul', f'x {n.normal(24, 16)}')} {n.normal(16)}"))
    return n.model(n.node("MatMul", f"{x} {n.normal(16, 7)}"))


def attention_of_channels() -> onnx.ModelProto:
    """Coordinate attention and a spatial gate: factors per row, per column and per pixel."""
    n = Layers(4)
    x = n.node("Relu", n.conv("x", 4, 4))
    rows = n.node("Sigmoid", n.conv(n.node("ReduceMean", x, axes=[3]), 4, 4, 1))
    columns = n.node("Sigmoid", n.conv(n.node("ReduceMean", x, axes=[2]), 4, 4, 1))
    x = n.node("Mul", f"{n.node('Mul', f'{x} {rows}')} {columns}")
    gate = n.node("Sigmoid", n.conv(n.node("ReduceMean", x, axes=[1]), 1, 1))
    return n.model(n.head(n.node("Mul", f"{x} {gate}"), 4))


def stylised() -> onnx.ModelProto:
    """Mirrored borders and nearest resizing to a given size, as in style transfer."""
    n = Layers(3)
    pads = n.constant([0, 0, 2, 2, 0, 0, 2, 2], np.int64)
    x = n.node("Relu", n.conv(n.node("Pad", f"x {pads}", mode="reflect"), 3, 6, 5, pads=[0] * 4, strides=[2, 2]))
    x = n.node("Resize", f"{x} _ _ {n.constant([1, 6, 8, 8], np.int64)}", coordinate_transformation_mode="asymmetric")
    return n.model(n.conv(x, 6, 3))


def maxout() -> onnx.ModelProto:
    """The larger of two maps, and an absolute value."""
    n = Layers(3)
    x = n.node("Max", f"{n.conv('x', 3, 4)} {n.conv('x', 3, 4)}")
    return n.model(n.head(n.node("Abs", n.conv(x, 4, 4)), 4))


STRUCTURES: Mapping[str, Callable[[], onnx.ModelProto]] = MappingProxyType(
    {
        "densenet": densenet,
        "bottleneck_folded": lambda: bottleneck(folded=True),
        "bottleneck_kept": lambda: bottleneck(folded=False),
        "channels_last": channels_last,
        "constant_nodes": constant_nodes,
        "squeeze_and_excitation": squeeze_and_excitation,
        "silu": silu,
        "slopes": slopes,
        "decoder": decoder,
        "resized_nearest": lambda: resized("nearest"),
        "resized_linear": lambda: resized("linear"),
        "super_resolution": super_resolution,
        "separable": separable,
        "perceptron": perceptron,
        "products": products,
        "attention_of_channels": attention_of_channels,
        "stylised": stylised,
        "maxout": maxout,
    }
)
