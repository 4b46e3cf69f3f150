"""Small networks as files have them: inputs of any type, some of them unused, weights that other constants give,
activations between quantizing pairs, data in files of their own behind symbolic links; a batch of 1 or 2.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
DIRECT, COARSE = 1e-4, 0.1  # of the largest value: how far off a network may be, without and with rounding in the file
Array = npt.NDArray[Any]
WEIGHTS = (
    *("plain", "constant", "identity", "half", "scaled", "channels", "fake", "sparse", "norm", "standard"),
    *("transposed", "chosen", "joined", "taken", "masked", "padded"),
)
ACTIVATIONS = ("plain", "clipped", "named", "channels", "wide", "attribute")
INPUTS = ("plain", "double", "bytes", "moved", "integers", "truth", "quantized")


class Dressed:
    """A network under construction, the images for it, and how far off it may be."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.sparse: list[onnx.SparseTensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.feeds: dict[str, Array] = {}
        self.tolerance = DIRECT
        self.used: list[str] = []  # what it is dressed in

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one_of(self, kinds: tuple[str, ...]) -> str:
        """One of them, noted."""
        self.used.append(str(self.rng.choice(kinds)))
        return self.used[-1]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **attributes))
        return name

    def constant(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float32) -> str:
        name = f"k{len(self.constants) + len(self.sparse)}"
        self.constants[name] = np.asarray(values, kind)
        return name

    def input(self, shape: tuple[int, ...]) -> str:
        """The network's input as real numbers, and others that nothing reads."""
        kind = self.one_of(INPUTS)
        types = {"double": np.float64, "integers": np.int64, "truth": bool}
        types |= dict.fromkeys(("bytes", "moved", "quantized"), np.uint8)
        stored = types.get(kind, np.float32)
        values = self.rng.standard_normal((shape[0], *shape[2:], shape[1]) if kind == "moved" else shape)
        self.declare("x", np.asarray(np.abs(values) * 60 if stored is np.uint8 else values * 3, stored))
        for _ in range(self.number(0, 2)):
            unused: Array = np.zeros([self.number(1, 4)], self.rng.choice(["i8", "f4", "?", "i4"]))
            self.declare(f"unused{len(self.feeds)}", unused, dynamic=self.number(0, 1) == 1)
        if kind == "plain":
            return "x"
        if kind == "quantized":
            return self.add("DequantizeLinear", "x", self.constant(0.03), self.constant(90, np.uint8))
        given = self.add("Transpose", "x", perm=[0, 3, 1, 2]) if kind == "moved" else "x"
        real = self.add("Cast", given, to=TensorProto.FLOAT)
        return self.add("Div", real, self.constant(85.0)) if kind in ("bytes", "moved") else real

    def declare(self, name: str, values: Array, *, dynamic: bool = False) -> None:
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        shape: list[int | str] = [f"{name}.n", *values.shape[1:]] if dynamic else list(values.shape)
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self.feeds[name] = values

    def weight(self, *shape: int) -> str:  # noqa: PLR0911
        """A weight, some nodes behind what the file holds."""
        fan_in = float(np.prod(shape[1:]))
        values = np.asarray(self.rng.standard_normal(shape) / np.sqrt(fan_in), np.float32)
        kind = self.one_of(WEIGHTS)
        axes = self.constant(range(1, len(shape)), np.int64)
        match kind:
            case "constant":
                return self.add("Constant", value=numpy_helper.from_array(values))
            case "identity":
                return self.add("Identity", self.add("Identity", self.constant(values)))
            case "half":
                return self.add("Cast", self.constant(values, np.float16), to=TensorProto.FLOAT)
            case "scaled" | "channels":
                steps = np.full(shape[0], 0.02) if kind == "channels" else np.float32(0.02)
                eight = self.constant(np.clip(np.round(values / 0.02), -127, 127), np.int8)
                zeros = self.constant(np.zeros_like(steps), np.int8)
                return self.add("DequantizeLinear", eight, self.constant(steps), zeros, axis=0)
            case "fake":
                step, zero = self.constant(0.02), self.constant(0, np.int8)
                return self.add(
                    "DequantizeLinear", self.add("QuantizeLinear", self.constant(values), step, zero), step, zero
                )
            case "sparse":
                return self.sparsely(values)
            case "norm":
                length = self.add("ReduceL2", self.constant(values), axes, keepdims=1)
                return self.add("Div", self.constant(values), length)
            case "standard":
                mean = self.add("ReduceMean", self.constant(values), axes, keepdims=1)
                return self.add("Sub", self.constant(values), mean)
            case "transposed":
                turned = np.ascontiguousarray(values.T)
                return self.add("Transpose", self.constant(turned), perm=list(range(values.ndim))[::-1])
            case "chosen":
                return self.chosen(values)
            case "joined":
                return self.add("Concat", self.constant(values[:1]), self.constant(values[1:]), axis=0)
            case "taken":
                return self.add(
                    "Gather", self.constant(values[::-1]), self.constant(range(len(values))[::-1], np.int64)
                )
            case "masked":
                below = self.add("Less", self.constant(values), self.constant(-0.3))
                return self.add("Where", below, self.constant(0.0), self.constant(values))
            case "padded":
                pads = self.constant([0] * values.ndim + [1] + [0] * (values.ndim - 1), np.int64)
                return self.add("Pad", self.constant(values[:-1]), pads)
        return self.constant(values)

    def sparsely(self, values: Array) -> str:
        """The larger half of the values as a sparse initializer."""
        flat = values.ravel()
        places = np.flatnonzero(np.abs(flat) > np.median(np.abs(flat)) / 2).astype(np.int64)
        name = f"k{len(self.constants) + len(self.sparse)}"
        kept = numpy_helper.from_array(flat[places], name)
        self.sparse.append(helper.make_sparse_tensor(kept, numpy_helper.from_array(places, f"{name}i"), values.shape))
        return name

    def chosen(self, values: Array) -> str:
        """By an If whose condition is a constant."""
        taken = self.number(0, 1) == 1
        branches = {}
        for branch, factor in (("then_branch", taken), ("else_branch", not taken)):
            name = f"{branch}{len(self.nodes)}"
            node = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values * np.float32(factor)))
            result = helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape)
            branches[branch] = helper.make_graph([node], name, [], [result])
        return self.add("If", self.constant(taken, np.bool_), **branches)

    def activation(self, x: str, channels: int) -> str:
        """A map, maybe behind a quantizing pair."""
        if self.number(0, 1) == 0:
            return x
        kind, low, high = self.one_of(ACTIVATIONS), -20, 100
        self.tolerance = COARSE
        step, zero = self.constant(0.03), self.constant(self.number(-10, 10), np.int8)
        options: dict[str, Any] = {}
        if kind == "channels":
            step = self.constant(self.rng.uniform(0.02, 0.04, channels))
            zero, options = self.constant(self.rng.integers(-9, 9, channels), np.int8), {"axis": 1}
        elif kind == "wide":
            step, zero, options = self.constant(1e-4), self.constant(100, np.uint16), {"domain": "com.microsoft"}
        elif kind == "named":
            step, zero = self.add("Identity", step), self.add("Identity", zero)
        elif kind == "attribute":
            step = self.add("Constant", value_float=0.03)
        x = self.add("QuantizeLinear", x, step, zero, **options)
        if kind == "clipped":
            x = self.add("Clip", x, self.constant(low, np.int8), self.constant(high, np.int8))
        return self.add("DequantizeLinear", x, step, zero, **options)

    def model(self) -> onnx.ModelProto:
        """Two or three layers."""
        batch, channels, side = self.number(1, 2), self.number(1, 4), self.number(3, 6)
        x = self.activation(self.input((batch, channels, side, side)), channels)
        for _ in range(self.number(1, 2)):
            outs = self.number(2, 5)
            bias = self.weight(outs, 1)
            bias = self.add("Reshape", bias, self.constant([-1], np.int64))
            x = self.add("Relu", self.add("Conv", x, self.weight(outs, channels, 3, 3), bias, pads=[1] * 4))
            x, channels = self.activation(x, outs), outs
        flat = self.add("Flatten", self.add("GlobalAveragePool", x))
        classes = self.number(2, 4)  # as many as images, or more
        x = self.add("Gemm", flat, self.weight(classes, channels), transB=1)
        self.nodes.append(helper.make_node("Identity", [x], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "dressed",
            self.inputs,
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, classes])],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()],
            sparse_initializer=self.sparse,
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=10)


def linked(model: onnx.ModelProto, folder: Path, seed: int) -> Path:
    """The model in a folder of links into a store, its larger tensors in one or more files of their own."""
    rng = np.random.default_rng(seed)
    store, shown, plain = folder / "blobs", folder / "snapshots" / "main", folder / "plain"
    for made in (store, shown, plain):
        made.mkdir(parents=True)
    each = {"all_tensors_to_one_file": False} if rng.integers(2) else {"location": "weights.bin"}
    onnx.save(
        model, str(plain / "model.onnx"), save_as_external_data=True, size_threshold=int(rng.integers(64)), **each
    )
    for number, path in enumerate(sorted(plain.iterdir())):
        target = store / f"{number:x}"
        path.rename(target)
        up = Path("../../blobs") / target.name if rng.integers(2) else target
        (shown / path.name).symlink_to(up)
    if not rng.integers(3):
        (folder / "latest").symlink_to("snapshots/main")
        return folder / "latest" / "model.onnx"
    return shown / "model.onnx"
