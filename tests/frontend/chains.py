"""Random chains between an input of any order of axes and the layer that reads it: rearrangements, arithmetic with
constants that are computed from others, joins; as exporters write them, and with a batch of 1 or more in the file.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Chain:
    """A network under construction: its last tensor and that tensor's shape."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, npt.NDArray[Any]] = {}
        self.name, self.shape = "x", self._start()
        self.start = self.shape

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high."""
        return int(self.rng.integers(low, high + 1))

    def some(self, chance: float = 0.5) -> bool:
        """Whether something happens."""
        return bool(self.rng.random() < chance)

    def _start(self) -> tuple[int, ...]:
        batch = 1 if self.some(0.7) else 2
        channels, rows, columns = self.number(2, 4), self.number(2, 6), self.number(2, 6)
        shapes = [(channels, rows, columns), (rows, columns, channels), (channels, columns), (channels * rows,)]
        return (batch, *shapes[self.number(0, 3)])

    def add(self, operator: str, shape: tuple[int, ...], *operands: str, **attributes: Any) -> None:
        """A node that reads the last tensor and gives one of `shape`."""
        name = f"t{len(self.nodes)}"
        inputs = [operand or self.name for operand in (operands or ("",))]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **attributes))
        self.name, self.shape = name, shape

    def weight(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float32) -> str:
        """A constant; integers may be put together by nodes, reals computed from others."""
        array: npt.NDArray[Any] = np.asarray(values, kind)
        name = f"w{len(self.weights)}"
        if array.ndim == 1 and array.dtype == np.int64 and len(array) > 1 and self.some(0.3):
            self.weights |= {f"{name}a": array[:1], f"{name}b": array[1:]}
            self.nodes.append(helper.make_node("Concat", [f"{name}a", f"{name}b"], [name], axis=0))
            self.weights[name + "_"] = array  # the name is taken
        elif array.dtype == np.float32 and self.some(0.3):
            self.weights |= {f"{name}a": array * 0 + np.float32(0.5), f"{name}b": array}
            how = ("Mul", "Add", "Sub")[self.number(0, 2)]
            self.nodes.append(helper.make_node("Sigmoid", [f"{name}a"], [f"{name}c"]))
            self.nodes.append(helper.make_node(how, [f"{name}b", f"{name}c"], [name]))
            self.weights[name + "_"] = array
        else:
            self.weights[name] = array
        return name

    def step(self) -> None:
        """One more operator."""
        getattr(
            self, f"_{('transpose', 'reshape', 'slice', 'arithmetic', 'join', 'pad', 'reduce')[self.number(0, 6)]}"
        )()

    def _transpose(self) -> None:
        perm = [0, *(1 + self.rng.permutation(len(self.shape) - 1)).tolist()]
        self.add("Transpose", tuple(self.shape[axis] for axis in perm), perm=perm)

    def _reshape(self) -> None:
        total = math.prod(self.shape[1:])
        sizes: list[int] = []
        for _ in range(self.number(0, 2)):
            divisors = [k for k in range(1, total + 1) if total % k == 0]
            sizes.append(divisors[self.number(0, len(divisors) - 1)])
            total //= sizes[-1]
        shape = (self.shape[0], *sizes, total)
        target = [-1, *shape[1:]] if self.some() else list(shape)
        self.add("Reshape", shape, "", self.weight(target, np.int64))

    def _slice(self) -> None:
        axis = self.number(1, len(self.shape) - 1)
        size = self.shape[axis]
        start, step = self.number(0, size - 1), 1
        end = self.number(start + 1, size)
        if self.some(0.2):
            start, end, step = size - 1, -size - 1, -1
        kept = len(range(*slice(start, None if step < 0 else end, step).indices(size)))
        shape = (*self.shape[:axis], kept, *self.shape[axis + 1 :])
        given = [self.weight([value], np.int64) for value in (start, end, axis, step)]
        self.add("Slice", shape, "", *given)

    def _arithmetic(self) -> None:
        own = [1, *(size if self.some() else 1 for size in self.shape[1:])]
        values = self.rng.uniform(0.5, 2, own)
        operands = ("", self.weight(values)) if self.some(0.7) else (self.weight(values), "")
        how = ("Mul", "Add", "Sub", "Max")[self.number(0, 3)]
        self.add(how, self.shape, *operands)

    def _join(self) -> None:
        axis = self.number(1, len(self.shape) - 1)
        size = 2 * self.shape[axis]
        self.add("Concat", (*self.shape[:axis], size, *self.shape[axis + 1 :]), "", self.name, axis=axis)

    def _pad(self) -> None:
        pads = [[0, 0], *([self.number(0, 1), self.number(0, 1)] for _ in self.shape[1:])]
        shape = tuple(size + sum(pad) for size, pad in zip(self.shape, pads, strict=True))
        self.add("Pad", shape, "", self.weight([pad[k] for k in (0, 1) for pad in pads], np.int64))

    def _reduce(self) -> None:
        axis = self.number(1, len(self.shape) - 1)
        how = ("ReduceMean", "ReduceMax")[self.number(0, 1)]
        self.add(how, (*self.shape[:axis], 1, *self.shape[axis + 1 :]), axes=[axis], keepdims=1)

    def end(self) -> None:
        """The layer that reads the chain."""
        if len(self.shape) in (3, 4):
            outs = self.number(1, 3)
            kernel = [min(2, size) for size in self.shape[2:]]
            weights = self.weight(self.rng.standard_normal((outs, self.shape[1], *kernel)))
            rest = (size - k + 1 for size, k in zip(self.shape[2:], kernel, strict=True))
            self.add("Conv", (self.shape[0], outs, *rest), "", weights)
        else:
            self.add("MatMul", (), "", self.weight(self.rng.standard_normal((self.shape[-1], 3))))


def chain(seed: int) -> onnx.ModelProto:
    """The network of a seed."""
    made = Chain(seed)
    for _ in range(made.number(1, 4)):
        if math.prod(made.shape) < 2000:
            made.step()
    made.end()
    given = {name for node in made.nodes for name in node.input}
    graph = helper.make_graph(
        made.nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, made.start)],
        [helper.make_tensor_value_info(made.name, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in made.weights.items() if name in given],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
