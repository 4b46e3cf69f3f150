"""A detector built as YOLOv8 is, only small: CSP blocks, pooled pyramid, two scales, box distributions, its tail."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.frontend.small_onnx import Array, make, normals, op

CLASSES, BINS = 4, 8


class _Net:
    """Nodes and weights under numbered names; every method gives the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def const(self, *values: float, kind: type = np.int64) -> str:
        return self.weight(np.array(values, kind))

    def weight(self, values: Array) -> str:
        name = f"k{len(self.weights)}"
        self.weights[name] = values
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(op(operator, " ".join(inputs), name, **attributes))
        return name

    def split(self, x: str, *sizes: int) -> list[str]:
        names = [f"t{len(self.nodes)}.{k}" for k in range(len(sizes))]
        self.nodes.append(op("Split", f"{x} {self.const(*sizes)}", " ".join(names), axis=1))
        return names

    def conv(self, x: str, ins: int, outs: int, kernel: int = 1, stride: int = 1, *, silu: bool = True) -> str:
        seed = len(self.nodes)
        filters = self.weight(normals(outs, ins, kernel, kernel, seed=seed) / np.float32(np.sqrt(ins) * kernel))
        bias = self.weight(normals(outs, seed=seed) / 10)
        y = self.add("Conv", x, filters, bias, pads=[kernel // 2] * 4, strides=[stride] * 2)
        return self.add("Mul", y, self.add("Sigmoid", y)) if silu else y

    def csp(self, x: str, ins: int, outs: int) -> str:
        """C2f with one bottleneck."""
        half = outs // 2
        a, b = self.split(self.conv(x, ins, outs), half, half)
        c = self.add("Add", b, self.conv(self.conv(b, half, half, 3), half, half, 3))
        return self.conv(self.add("Concat", a, b, c, axis=1), 3 * half, outs)


def yolo(width: int = 4, size: int = 32) -> onnx.ModelProto:
    """Outputs: the boxes that NonMaxSuppression keeps, and its own [image, class, box]."""
    net, w = _Net(), width
    x = net.csp(net.conv(net.conv("images", 3, w, 3, 2), w, 2 * w, 3, 2), 2 * w, 2 * w)
    fine = net.csp(net.conv(x, 2 * w, 4 * w, 3, 2), 4 * w, 4 * w)
    coarse = net.csp(net.conv(fine, 4 * w, 8 * w, 3, 2), 8 * w, 8 * w)
    pooled = [net.conv(coarse, 8 * w, 4 * w)]
    for _ in range(3):
        pooled.append(net.add("MaxPool", pooled[-1], kernel_shape=[5, 5], pads=[2] * 4))
    coarse = net.conv(net.add("Concat", *pooled, axis=1), 16 * w, 8 * w)
    scales = net.const(1, 1, 2, 2, kind=np.float32)
    up = net.add("Resize", coarse, "_", scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    fine = net.csp(net.add("Concat", up, fine, axis=1), 12 * w, 4 * w)
    coarse = net.csp(net.add("Concat", net.conv(fine, 4 * w, 4 * w, 3, 2), coarse, axis=1), 12 * w, 8 * w)
    boxes, scores = _decoded(net, [(fine, 4 * w, size // 8), (coarse, 8 * w, size // 16)], size)
    limits = net.const(20), net.const(0.5, kind=np.float32), net.const(0.5, kind=np.float32)
    kept = net.add("NonMaxSuppression", boxes, scores, *limits)
    chosen = net.add("Squeeze", net.add("Gather", kept, net.const(2), axis=1), net.const(1))
    found = net.add("Gather", net.add("Squeeze", boxes, net.const(0)), chosen)
    model = make(net.nodes, {"images": (1, 3, size, size)}, net.weights, (found, kept))
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    return model


def _decoded(net: _Net, maps: Sequence[tuple[str, int, int]], size: int) -> tuple[str, str]:
    """Boxes [1, cells, 4] and scores [1, classes, cells] of maps given with their channels and rows."""
    heads, centres, strides = [], [], []
    for x, channels, rows in maps:
        both = [net.conv(net.conv(x, channels, 16, 3), 16, n, silu=False) for n in (4 * BINS, CLASSES)]
        shape = net.const(1, 4 * BINS + CLASSES, rows * rows)
        heads.append(net.add("Reshape", net.add("Concat", *both, axis=1), shape))
        y, x_ = np.mgrid[:rows, :rows].astype(np.float32) + 0.5
        centres.append(np.stack([x_.ravel(), y.ravel()]))
        strides.append(np.full(rows * rows, size // rows, np.float32))
    cells = sum(map(len, strides))
    box, logits = net.split(net.add("Concat", *heads, axis=2), 4 * BINS, CLASSES)
    bins = net.add("Transpose", net.add("Reshape", box, net.const(1, 4, BINS, cells)), perm=[0, 2, 1, 3])
    mean = net.weight(np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1))
    sides = net.add("Reshape", net.add("Conv", net.add("Softmax", bins, axis=1), mean), net.const(1, 4, cells))
    near, far = net.split(sides, 2, 2)
    centre = net.weight(np.concatenate(centres, axis=1)[None])
    corners = net.add("Concat", net.add("Sub", centre, near), net.add("Add", centre, far), axis=1)
    scaled = net.add("Mul", corners, net.weight(np.concatenate(strides)[None, None]))
    return net.add("Transpose", scaled, perm=[0, 2, 1]), net.add("Sigmoid", logits)
