"""Random networks of nodes that the chip computes and nodes that it does not; maps pass by them, shapes are read."""

import math
from collections.abc import Callable

import numpy as np
import onnx

from tests.frontend.small_onnx import Array, make, normals, op

Shape = tuple[int, ...]
SPATIAL = 4  # dimensions of a map


class _Mixed:
    """A network under construction: tensors with their shapes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.tensors: list[tuple[str, Shape]] = [("x", (1, 4, 6, 6))]

    def weight(self, values: Array) -> str:
        name = f"k{len(self.weights)}"
        self.weights[name] = values
        return name

    def random(self, *shape: int) -> str:
        return self.weight(normals(*shape, seed=len(self.weights)) / np.float32(2))

    def add(self, operator: str, *inputs: str, shape: Shape | None = None, **attributes: int | list[int]) -> str:
        """A node; its result can be read by later ones if it has a shape."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(op(operator, " ".join(inputs), name, **attributes))
        if shape is not None:
            self.tensors.append((name, shape))
        return name

    def like(self, fits: Callable[[Shape], bool]) -> tuple[str, Shape]:
        """One of the tensors whose shape fits."""
        found = [(name, shape) for name, shape in self.tensors if fits(shape)]
        return found[int(self.rng.integers(len(found)))]

    def step(self) -> None:
        """One more operator, on one of the last tensors."""
        x, s = self.tensors[int(self.rng.integers(max(0, len(self.tensors) - 4), len(self.tensors)))]
        kind = str(self.rng.choice(_ANY + (_MAPS if len(s) == SPATIAL else ())))
        match kind:
            case "Conv":
                outs = int(self.rng.choice([4, 8]))
                self.add(kind, x, self.random(outs, s[1], 1, 1), shape=(1, outs, *s[2:]))
            case "Gemm":
                self.add(kind, self.add("Flatten", x), self.random(math.prod(s), 6), shape=(1, 6))
            case "Add":
                self.add(kind, x, self.like(lambda other: other == s)[0], shape=s)
            case "Concat":
                other, t = self.like(lambda other: other[2:] == s[2:] and len(other) == SPATIAL)
                if s[1] + t[1] <= 24:
                    self.add(kind, x, other, shape=(1, s[1] + t[1], *s[2:]), axis=1)
            case "MaxPool" if s[2] > 2:
                self.add(kind, x, shape=(1, s[1], s[2] - 1, s[3] - 1), kernel_shape=[2, 2])
            case "Transpose":
                self.add(kind, x, shape=(1, s[1], s[3], s[2]), perm=[0, 1, 3, 2])
            case "Softmax":
                self.add(kind, x, shape=s, axis=int(self.rng.integers(1, len(s))))
            case "Where":
                over = self.add("Greater", x, self.weight(np.array(0.1, np.float32)))
                self.add(kind, over, x, self.weight(np.array(0.5, np.float32)), shape=s)
            case "Reshape":
                self.add(kind, self.add("Softplus", x), self.add("Shape", x), shape=s)
            case "Relu" | "Sigmoid" | "Elu" | "Round":
                self.add(kind, x, shape=s)


_ANY = ("Relu", "Sigmoid", "Elu", "Round", "Gemm", "Add", "Softmax", "Where", "Reshape")
_MAPS = ("Conv", "Conv", "Conv", "Conv", "Concat", "MaxPool", "Transpose")


def mixed(seed: int) -> onnx.ModelProto:
    """A network that begins with a layer and an operator without instructions; what nothing reads is an output."""
    net = _Mixed(seed)
    net.add("Conv", "x", net.random(8, 4, 1, 1), shape=(1, 8, 6, 6))
    net.add("Elu", "t0", shape=(1, 8, 6, 6))
    for _ in range(int(net.rng.integers(4, 16))):
        net.step()
    read = {name for node in net.nodes for name in node.input}
    return make(net.nodes, {"x": (1, 4, 6, 6)}, net.weights, [n for n, _ in net.tensors[1:] if n not in read], opset=17)
