"""Building an ONNX graph piece by piece: fresh tensor names, nodes with one output, raw-data initializers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

Attribute = int | float | str | Sequence[int]


@dataclass(frozen=True, slots=True)
class MapTensor:
    """A feature map in the model being written: tensor `name` of shape [N, channels, height, width]."""

    name: str
    channels: int
    height: int
    width: int


@dataclass
class OnnxWriter:
    """Collects nodes and initializers. `reserved` names belong to the model's interface: no inner tensor takes them."""

    reserved: frozenset[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def fresh(self, stem: str) -> str:
        """A tensor name that nothing else uses."""
        name, number = stem, 0
        while name in self.reserved or name in self._taken:
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name)
        return name

    def add(self, op: str, inputs: Iterable[str], stem: str, **attributes: Attribute) -> str:
        """Append a node whose only output gets a fresh name after `stem`; returns that name."""
        return self.add_named(op, inputs, self.fresh(stem), **attributes)

    def add_named(self, op: str, inputs: Iterable[str], output: str, **attributes: Attribute) -> str:
        """Append a node whose only output is exactly `output`."""
        node = helper.make_node(op, list(inputs), [output], name=f"{op}:{output}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return output

    def constant(self, stem: str, values: npt.NDArray[np.generic]) -> str:
        """Append an initializer; returns its name."""
        name = self.fresh(stem)
        self.initializers.append(
            TensorProto(
                name=name,
                data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
                dims=values.shape,
                raw_data=np.ascontiguousarray(values).tobytes(),
            )
        )
        return name

    def scalar(self, stem: str, value: float) -> str:
        """Append a float32 scalar."""
        return self.constant(stem, np.array(value, np.float32))

    def integers(self, stem: str, values: Iterable[int]) -> str:
        """Append an int64 vector: shapes, slice bounds, pads, indices."""
        return self.constant(stem, np.array(list(values), np.int64))

    def reshape(self, tensor: str, shape: Sequence[int], stem: str) -> str:
        """Reshape to [N, *shape], whatever N is."""
        return self.add("Reshape", [tensor, self.integers(f"{stem}.shape", [-1, *shape])], stem)
