"""ModelProto pass: LayerNormalization, GELU and the like that an exporter spelled out, recognised by what they compute.

Exporters write one function in many ways: a square as Pow or Mul, a root or its reciprocal, factors in any place, the
mean subtracted twice. So nothing is compared with how a function is written. The nodes between one tensor and a result
that depends on nothing else are executed on probes, and compared with every operator of a table; an operator's numbers
(epsilon, scale, bias) are found from what comes out.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pimcomp.frontend.lower.constant_fold import constants_of, tensor_values
from pimcomp.frontend.lower.onnx_node import Constant, normal_axes, of_proto, opset_of
from pimcomp.frontend.onnx.mixed_batch import Shapes, static_shapes
from pimcomp.frontend.onnx.read import live_nodes

Reals = npt.NDArray[np.float64]

_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg", "Exp", "Erf", "Tanh", "HardSigmoid", "Clip"}
    | {"Relu", "Min", "Max", "Identity", "Cast", "Sum", "Expand"}
)
_REDUCING = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceSumSquare", "ReduceL2", "GlobalAveragePool"})
_TELLING = frozenset(
    {"Sqrt", "ReduceL2", "Reciprocal", "Pow", "Exp", "Erf", "Tanh", "HardSigmoid", "Clip", "Relu", "Min"}
)
_LAST = frozenset({"Add", "Sub", "Mul", "Div"})  # what a function that is spelled out ends with
_MOST_NODES = 24
_LARGEST_EPSILON, _NO_EPSILON = 0.1, 1e-12
_ROWS = 3  # probes along every axis that is not normalised
_RELATIVE, _ABSOLUTE = 1e-5, 1e-7  # constants are float32
_SPREAD = np.concatenate([-np.logspace(4, -4, 60), [0.0], np.logspace(-4, 4, 60)])
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu_tanh(x: Reals) -> Reals:
    return np.asarray(x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


_FUNCTIONS: Sequence[tuple[str, dict[str, str], Callable[[Reals], Reals]]] = (
    ("Gelu", {}, lambda x: x / 2 * (1 + _erf(x / math.sqrt(2)))),
    ("Gelu", {"approximate": "tanh"}, _gelu_tanh),
    ("HardSwish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
)


@dataclass(frozen=True, slots=True)
class _Region:
    """Nodes in their order that compute `result` from `leaf` and constants alone."""

    nodes: tuple[onnx.NodeProto, ...]
    leaf: str

    @property
    def result(self) -> onnx.NodeProto:
        """The last node."""
        return self.nodes[-1]


def recognise(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of a model, one operator in place of each function that is spelled out; the model stays as it is."""
    search = _Search(model)
    nodes: list[Sequence[onnx.NodeProto]] = [[node] for node in model.graph.node]
    inside: set[str] = set()
    for index in range(len(nodes) - 1, -1, -1):
        node = model.graph.node[index]
        if node.op_type not in _LAST or node.output[0] in inside:
            continue
        for region in reversed(list(search.regions(index))):
            found = search.operator(region)
            if found:
                nodes[index] = found
                inside.update(name for part in region.nodes for name in part.output)
                break
    return live_nodes([node for found in nodes for node in found], [value.name for value in model.graph.output])


class _Search:
    """What is known of a model's tensors: who makes them, their values where they are constants, their shapes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.opset = model, opset_of(model)
        self.maker: dict[str, int] = {}  # of what depends on the network's inputs
        self.measured = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Shape" and n.input}
        fixed = {tensor.name for tensor in model.graph.initializer}
        self.computed = {value.name for value in model.graph.input} - fixed
        for index, node in enumerate(model.graph.node):
            if not self.computed.isdisjoint(node.input) and node.op_type != "Shape":
                self.computed.update(node.output)
                self.maker.update(dict.fromkeys(node.output, index))

    @cached_property
    def constants(self) -> Mapping[str, TensorProto]:
        """Values of tensors that depend on no input, as far as they are small or initializers."""
        return constants_of(self.model)

    @cached_property
    def shapes(self) -> Shapes:
        """Shapes, as far as they can be told."""
        return static_shapes(self.model)

    def regions(self, last: int) -> Iterator[_Region]:
        """All regions with a telling operator that end at a node, the smallest first.

        Nodes are taken in from the last one backwards; whenever they read one tensor only, they are a region.
        """
        taken, reads = [last], self._reads(last)
        while len(taken) <= _MOST_NODES:
            nodes = tuple(self.model.graph.node[index] for index in reversed(taken))
            if len(reads) == 1 and len(nodes) > 1 and not _TELLING.isdisjoint(node.op_type for node in nodes):
                yield _Region(nodes, next(iter(reads)))
            index = max((self.maker.get(name, -1) for name in reads), default=-1)
            node = self.model.graph.node[index]
            if index < 0 or node.op_type not in _ELEMENTWISE | _REDUCING or len(node.output) != 1:
                return
            taken.append(index)
            reads = (reads - {node.output[0]}) | self._reads(index)

    def _reads(self, index: int) -> set[str]:
        return self.computed.intersection(self.model.graph.node[index].input)

    def operator(self, region: _Region) -> list[onnx.NodeProto]:
        """What computes the same as a region, with the constants that it reads; nothing if that is unknown."""
        inner = {name for node in region.nodes for name in node.output} | {region.leaf, ""}
        names = {name for node in region.nodes for name in node.input} - inner
        own = {name for name in names if self.measured.get(name) == region.leaf}
        if not names - own <= self.constants.keys():
            return []
        constants: dict[str, Constant] = {name: tensor_values(self.constants[name]) for name in sorted(names - own)}
        constants |= dict.fromkeys(own, np.ones(1, np.int64))  # an Expand to it leaves the rest to broadcasting
        if _REDUCING.isdisjoint(node.op_type for node in region.nodes):
            return self._function(region, constants)
        return self._across(region, constants)

    def _function(self, region: _Region, constants: Mapping[str, Constant]) -> list[onnx.NodeProto]:
        if any(values.size > 1 for values in constants.values()):
            return []
        found = self._run(region, constants, _SPREAD)
        for name, attributes, function in _FUNCTIONS:
            if _close(found, function(_SPREAD), np.abs(_SPREAD)):
                return [_replaced(region, name, [region.leaf], **attributes)]
        return []

    def _across(self, region: _Region, constants: Mapping[str, Constant]) -> list[onnx.NodeProto]:
        """A normalisation or softmax of the axes that all reductions of the region have."""
        found = self._axes(region, constants)
        if found is None:
            return []
        axes, shape = found
        moved = [axis for axis in range(len(shape)) if axis not in axes] + list(axes)
        inner = [shape[axis] for axis in axes]
        rows = np.random.default_rng(0).standard_normal((math.prod(shape) // math.prod(inner), math.prod(inner)))
        rows *= np.logspace(-2, 1, len(rows))[:, None]
        probe = np.transpose(rows.reshape([shape[axis] for axis in moved]), np.argsort(moved))
        result = self._run(region, constants, probe)
        if result is None or result.shape != probe.shape:
            return []
        y = np.transpose(result, moved).reshape(rows.shape)
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        if len(axes) == 1 and _close(y, powers / powers.sum(axis=1, keepdims=True)):
            return _spelled(region, "Softmax", moved, [], axis=-1)
        scalars = [float(v.ravel()[0]) for v in constants.values() if v.size == 1 and v.dtype.kind == "f"]
        fitted = _fitted(rows, y, [value for value in scalars if 0 < value < _LARGEST_EPSILON] or [_NO_EPSILON])
        if fitted is None:
            return []
        operator, epsilon, *numbers = fitted
        parts = [part.reshape(inner).astype(np.float32) for part in numbers if part is not None]
        return _spelled(region, operator, moved, parts, axis=-len(axes), epsilon=epsilon)

    def _axes(
        self, region: _Region, constants: Mapping[str, Constant]
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The axes that a region reduces, and the shape of a probe for it."""
        given: set[tuple[int, ...]] = set()
        shape = self.shapes.get(region.leaf)
        for node in region.nodes:
            if node.op_type == "GlobalAveragePool":
                given.add(tuple(range(2, len(shape or ()))))
            elif node.op_type in _REDUCING:
                found = of_proto(node, self.opset, [constants.get(name) for name in node.input])
                if not found.integer("keepdims", 1):
                    return None
                given.add(found.attribute_or_input("axes", 1) or ())
        if shape is None and given == {(-1,)}:
            size = max(values.shape[-1] if values.ndim else 1 for values in constants.values())
            shape = (0, 0, 0, size if size > 1 else 7)
        if shape is None or any(not -len(shape) <= axis < len(shape) for axes in given for axis in axes):
            return None
        normal = {normal_axes(axes, len(shape)) for axes in given}
        reduced = normal.pop()
        if normal or not 0 < len(reduced) < len(shape) or math.prod(shape[axis] for axis in reduced) < 2:
            return None
        return reduced, tuple(size if axis in reduced else _ROWS for axis, size in enumerate(shape))

    def _run(self, region: _Region, constants: Mapping[str, Constant], x: Reals) -> Reals | None:
        """What a region makes of a tensor, in double precision as far as it casts to nothing else."""
        names = [region.leaf, *constants]
        wide = {name: v.astype(np.float64) if v.dtype.kind == "f" else v for name, v in constants.items()}
        interface = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names]
        result = helper.make_tensor_value_info(region.result.output[0], TensorProto.DOUBLE, None)
        graph = helper.make_graph(list(region.nodes), "region", interface, [result])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        try:
            with np.errstate(all="ignore"):
                (found,) = ReferenceEvaluator(model).run(None, {region.leaf: x, **wide})
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
            return None  # it does not fit together: lowering says why
        return np.asarray(found, np.float64)


def _close(found: Reals | None, wanted: Reals, scale: Reals | float = 1.0) -> bool:
    if found is None or found.shape != wanted.shape:
        return False
    return bool(np.all(np.abs(found - wanted) <= _RELATIVE * np.abs(wanted) + _ABSOLUTE * scale))


def _fitted(rows: Reals, y: Reals, epsilons: Sequence[float]) -> tuple[str, float, Reals, Reals | None] | None:
    """(operator, epsilon, scale, bias) of the normalisation that makes `y` of `rows`, None if none does."""
    for name, centred in (("LayerNormalization", True), ("RMSNormalization", False)):
        for epsilon in epsilons:
            x = rows - rows.mean(axis=1, keepdims=True) * centred
            x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + epsilon)
            middle = x - x.mean(axis=0)
            scale = (middle * y).sum(axis=0) / (middle**2).sum(axis=0)
            bias = (y - scale * x).mean(axis=0)
            if _close(y, scale * x + bias, float(np.abs(y).max())):
                shifted = bool(np.abs(bias).max() > _ABSOLUTE * np.abs(y).max())
                return name, epsilon, scale, bias if shifted else None
    return None


def _replaced(region: _Region, operator: str, inputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    last = region.result
    return helper.make_node(operator, inputs, list(last.output), name=last.name, **attributes)


def _spelled(
    region: _Region,
    operator: str,
    moved: Sequence[int],
    parts: Sequence[npt.NDArray[np.float32]],
    **attributes: Any,
) -> list[onnx.NodeProto]:
    """An operator over the last axes, between exchanges of axes where they are not the last."""
    result = region.result.output[0]
    names = [f"{result}.{part}" for part in ("scale", "bias")][: len(parts)]
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(part, name))
        for name, part in zip(names, parts)
    ]
    if list(moved) == sorted(moved):
        return [*nodes, _replaced(region, operator, [region.leaf, *names], **attributes)]
    back = [int(axis) for axis in np.argsort(moved)]
    return [
        *nodes,
        helper.make_node("Transpose", [region.leaf], [f"{result}.turned"], perm=list(moved)),
        helper.make_node(
            operator, [f"{result}.turned", *names], [f"{result}.done"], name=region.result.name, **attributes
        ),
        helper.make_node("Transpose", [f"{result}.done"], [result], perm=back),
    ]
