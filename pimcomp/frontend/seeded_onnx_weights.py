"""Seeded weights inside an ONNX model, where they stand: what `--weights random:SEED` does before the model is lowered.

Doing it here, not in the Graph, keeps the reference model's own operators (BatchNormalization, Reshape, ...), so that
comparing the two proves the lowering.
"""

import math

import numpy as np
import onnx
from onnx import helper

from pimcomp.frontend.lower.constant_fold import FOLD_LIMIT_BYTES, is_floating, set_values, tensor_values
from pimcomp.frontend.lower.onnx_node import BadShape
from pimcomp.frontend.random_weights import draw_bias, draw_weights
from pimcomp.ir.graph import FloatArray

_MOVING = frozenset({"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Flatten"})
_HALVING = frozenset({"Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish"})
_LOOKED_THROUGH = frozenset({"BatchNormalization", "Identity", "Dropout", "Add"})
_MULTIPLYING = frozenset({"Conv", "Gemm", "MatMul"})


def randomize(model: onnx.ModelProto, seed: int) -> None:
    """Replace the floating-point weights of `model` in place, in node order, each from its own stream of `seed`.

    Conv, Gemm and MatMul weights: normal with variance gain / fan-in, gain 2 in front of activations that drop about
    half of the signal and 1 otherwise (He et al., ICCV 2015). Biases: normal, deviation 0.1. BatchNormalization: scale
    and variance uniform in [0.5, 1.5], bias and mean as biases. A tensor that several nodes share is drawn once.
    """
    weights = _Weights(model, seed)
    for node in list(model.graph.node):
        if node.op_type in _MULTIPLYING:
            for position in (0, 1):
                weights.draw_matrix(node, position)
            if node.op_type != "MatMul":
                weights.draw_vector(node, 2)
        elif node.op_type == "BatchNormalization":
            for position in (1, 4):
                weights.draw_vector(node, position, positive=True)
            for position in (2, 3):
                weights.draw_vector(node, position)
        elif node.op_type == "Add" and weights.follows_product(node):
            for position in (0, 1):
                weights.draw_vector(node, position)
    weights.drop_replaced()


class _Weights:
    """Where the weights of a model come from, and which have been drawn."""

    def __init__(self, model: onnx.ModelProto, seed: int) -> None:
        self.model, self.seed = model, seed
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {output: node for node in model.graph.node for output in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.drawn: set[str] = set()
        self.replaced: list[onnx.NodeProto] = []

    def draw_matrix(self, node: onnx.NodeProto, position: int) -> None:
        """Fresh weights for one operand, if it is a constant."""
        found = self._origin(node, position)
        if found is None:
            return
        name, shape, turned = found
        if len(shape) < 2:
            return
        if node.op_type == "Conv":
            fan_in = math.prod(shape[1:])
        else:
            turned ^= any(attribute.name == "transB" and attribute.i for attribute in node.attribute) or position == 0
            fan_in = shape[-1] if turned else shape[-2]
        self._store(name, draw_weights(self._rng(), shape, fan_in, halved=self._is_halved(node.output[0])))

    def draw_vector(self, node: onnx.NodeProto, position: int, *, positive: bool = False) -> None:
        """A fresh bias (or positive scale) for one operand, if it is a constant."""
        found = self._origin(node, position)
        if found is None:
            return
        name, shape, _ = found
        rng = self._rng()
        self._store(name, rng.uniform(0.5, 1.5, shape).astype(np.float32) if positive else draw_bias(rng, shape))

    def follows_product(self, node: onnx.NodeProto) -> bool:
        """Whether one operand of an Add is the result of a Conv or MatMul, so that the other may be its bias."""
        producers = (self.producers.get(name) for name in node.input)
        return any(producer is not None and producer.op_type in _MULTIPLYING for producer in producers)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, len(self.drawn)])

    def _origin(self, node: onnx.NodeProto, position: int) -> tuple[str, tuple[int, ...], bool] | None:
        """(name, shape, transposed) of the undrawn float constant behind an operand; None for anything else."""
        if position >= len(node.input):
            return None
        name, turned = node.input[position], False
        for _ in self.model.graph.node:  # not for ever, should the graph have a cycle
            if name in self.initializers:
                break
            producer = self.producers.get(name)
            if producer is None or producer.op_type not in (*_MOVING, "Constant", "ConstantOfShape"):
                return None
            if producer.op_type not in _MOVING:
                break
            if not producer.input:
                return None
            turned ^= producer.op_type == "Transpose"
            name = producer.input[0]
        shape = None if name in self.drawn else self._float_shape(name)
        if shape is None or min(shape, default=1) < 0 or math.prod(shape) * 4 > FOLD_LIMIT_BYTES:
            return None  # lowering says what is wrong with it
        return name, shape, turned

    def _float_shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a constant of floats, None if it is of another type or its shape is computed."""
        tensor = self.initializers.get(name)
        if tensor is not None:
            return tuple(tensor.dims) if is_floating(tensor.data_type) else None
        producer = self.producers.get(name)
        if producer is None or producer.op_type in _MOVING:
            return None
        value = next((attribute.t for attribute in producer.attribute if attribute.name == "value"), None)
        if value is not None and not is_floating(value.data_type):
            return None
        if producer.op_type == "Constant":
            return None if value is None else tuple(value.dims)
        size = self.initializers.get(producer.input[0]) if producer.input else None
        if size is None and producer.input:
            inner = self.producers.get(producer.input[0])
            size = next((a.t for a in inner.attribute if a.name == "value"), None) if inner is not None else None
        try:
            return None if size is None else tuple(int(extent) for extent in tensor_values(size).ravel())
        except BadShape:
            return None  # lowering says what is wrong with it

    def _is_halved(self, name: str) -> bool:
        """Whether the activation behind a result drops about half of it."""
        for _ in range(4):  # BatchNormalization, bias, dropout, identity
            readers = self.readers.get(name, [])
            if any(reader.op_type in _HALVING for reader in readers):
                return True
            if len(readers) != 1 or readers[0].op_type not in _LOOKED_THROUGH:
                return False
            name = readers[0].output[0]
        return False

    def _store(self, name: str, values: FloatArray) -> None:
        self.drawn.add(name)
        tensor = self.initializers.get(name)
        if tensor is None:
            self.replaced.append(self.producers[name])
            tensor = self.model.graph.initializer.add()
            data_type = onnx.TensorProto.FLOAT
        else:
            data_type = tensor.data_type
        set_values(tensor, name, values.astype(helper.tensor_dtype_to_np_dtype(data_type), copy=False))

    def drop_replaced(self) -> None:
        """Remove the nodes whose outputs are initializers now."""
        for node in self.replaced:
            self.model.graph.node.remove(node)
