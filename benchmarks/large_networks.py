"""Builds the large light networks under models/: ResNet-101 and -152, DenseNet-121, VGG-19.

    python benchmarks/large_networks.py models/light

Layers as in K. He et al. (CVPR 2016, table 1; stride in the 3x3 layer, as torchvision has it), G. Huang et al. (CVPR
2017, table 1) and K. Simonyan, A. Zisserman (ICLR 2015, table 1, E). Weights are ConstantOfShape nodes, so a file is a
few kilobytes; use `--weights random:SEED`. The lines printed are those of models/INDEX.md.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION, CLASSES, SIDE = 13, 8, 1000, 224
WEIGHT = 0.01  # one value for all weights: finite results, nothing more


class Network:
    """A network under construction; every method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def node(self, operator: str, inputs: list[str], **attributes: object) -> str:
        """Append an operator."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def weights(self, *shape: int, value: float = WEIGHT) -> str:
        """A tensor of equal values."""
        name = "shape_" + "x".join(map(str, shape))
        self.shapes[name] = shape
        return self.node("ConstantOfShape", [name], value=numpy_helper.from_array(np.array([value], np.float32)))

    def conv(self, x: str, ins: int, outs: int, kernel: int, stride: int = 1, *, bias: bool = True) -> str:
        """A convolution, padded to keep the size."""
        inputs = [x, self.weights(outs, ins, kernel, kernel), *([self.weights(outs)] if bias else [])]
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.node("Conv", inputs, **window)

    def norm_relu(self, x: str, channels: int) -> str:
        """BatchNormalization and ReLU."""
        ones, shifts = [self.weights(channels, value=1.0) for _ in range(2)], [self.weights(channels) for _ in range(2)]
        return self.node("Relu", [self.node("BatchNormalization", [x, ones[0], *shifts, ones[1]])])

    def relu(self, x: str) -> str:
        """ReLU."""
        return self.node("Relu", [x])

    def pool(self, x: str, kernel: int, stride: int, pad: int = 0, operator: str = "MaxPool") -> str:
        """Pooling."""
        return self.node(operator, [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def dense(self, x: str, ins: int, outs: int) -> str:
        """A fully connected layer."""
        return self.node("Gemm", [x, self.weights(outs, ins), self.weights(outs)], transB=1)

    def flatten(self, x: str) -> str:
        """Flatten."""
        return self.node("Flatten", [x])

    def model(
        self,
        name: str,
        result: str,
        given: tuple[int, ...] = (1, 3, SIDE, SIDE),
        wanted: tuple[int, ...] = (1, CLASSES),
        opset: int = OPSET,
    ) -> onnx.ModelProto:
        """The finished model."""
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, given)
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, wanted)
        self.nodes.append(helper.make_node("Identity", [result], ["logits"], name="logits"))
        sizes = [numpy_helper.from_array(np.array(shape, np.int64), key) for key, shape in self.shapes.items()]
        graph = helper.make_graph(self.nodes, name, [image], [logits], sizes)
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="pimdse")


def resnet(blocks: tuple[int, int, int, int], name: str) -> onnx.ModelProto:
    """A ResNet of bottlenecks, BatchNormalization folded."""
    n = Network()
    x, channels = n.pool(n.relu(n.conv("input", 3, 64, 7, 2)), 3, 2, 1), 64
    for stage, count in enumerate(blocks):
        inner = 64 << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            y = n.relu(n.conv(x, channels, inner, 1))
            y = n.conv(n.relu(n.conv(y, inner, inner, 3, stride)), inner, 4 * inner, 1)
            short = x if block else n.conv(x, channels, 4 * inner, 1, stride)
            x, channels = n.relu(n.node("Add", [y, short])), 4 * inner
    return n.model(name, n.dense(n.flatten(n.node("GlobalAveragePool", [x])), channels, CLASSES))


def densenet121() -> onnx.ModelProto:
    """DenseNet-121, BatchNormalization in front of the convolutions, where it cannot be folded into them."""
    n, growth = Network(), 32
    x = n.pool(n.norm_relu(n.conv("input", 3, 64, 7, 2, bias=False), 64), 3, 2, 1)
    channels = 64
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            y = n.conv(n.norm_relu(x, channels), channels, 4 * growth, 1, bias=False)
            y = n.conv(n.norm_relu(y, 4 * growth), 4 * growth, growth, 3, bias=False)
            x, channels = n.node("Concat", [x, y], axis=1), channels + growth
        x = n.norm_relu(x, channels)
        if stage < 3:
            x, channels = n.conv(x, channels, channels // 2, 1, bias=False), channels // 2
            x = n.pool(x, 2, 2, operator="AveragePool")
    return n.model("densenet121", n.dense(n.flatten(n.node("GlobalAveragePool", [x])), channels, CLASSES))


def vgg19() -> onnx.ModelProto:
    """VGG-19."""
    n, x, channels = Network(), "input", 3
    for outs, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            x, channels = n.relu(n.conv(x, channels, outs, 3)), outs
        x = n.pool(x, 2, 2)
    x = n.relu(n.dense(n.flatten(x), 512 * 49, 4096))
    return n.model("vgg19", n.dense(n.relu(n.dense(x, 4096, 4096)), 4096, CLASSES))


NETWORKS: dict[str, tuple[str, Callable[[], onnx.ModelProto]]] = {
    "densenet121": ("DenseNet-121, BatchNormalization in front of the convolutions", densenet121),
    "resnet101": ("ResNet-101", lambda: resnet((3, 4, 23, 3), "resnet101")),
    "resnet152": ("ResNet-152", lambda: resnet((3, 8, 36, 3), "resnet152")),
    "vgg19": ("VGG-19", vgg19),
}


def index_row(model: onnx.ModelProto, name: str, summary: str, folder: Path) -> str:
    """Write a network; its line of models/INDEX.md."""
    from pimcomp.frontend import load_network
    from pimcomp.ir.graph import Conv

    sizes = {tensor.name: int(np.prod(numpy_helper.to_array(tensor))) for tensor in model.graph.initializer}
    parameters = sum(sizes[node.input[0]] for node in model.graph.node if node.op_type == "ConstantOfShape")
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    graph = load_network(path).graph
    convs = [(node, node.operation) for node in graph.nodes if isinstance(node.operation, Conv)]
    macs = sum(conv.weights.size * node.height * node.width for node, conv in convs)
    shape = "x".join(str(dim.dim_value) for dim in model.graph.input[0].type.tensor_type.shape.dim)
    cells = (name, "own definition", summary, shape, f"{parameters / 1e6:.3f}M", f"{macs / 1e6:.2f}M")
    return "| " + " | ".join(cells) + " | own |  |"


if __name__ == "__main__":
    for name, (summary, build) in NETWORKS.items():
        print(index_row(build(), name, summary, Path(sys.argv[1])))
