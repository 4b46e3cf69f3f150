"""Building an ONNX model piece by piece: fresh tensor names, nodes with one output, initializers.

Initializers never become protobuf objects: large networks hold hundreds of megabytes of weights, which protobuf would
copy several times. They are written straight behind the serialised model, see `serialise`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

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
    """Appends nodes to `model`. `reserved` names belong to the model's interface: no inner tensor takes them."""

    model: onnx.ModelProto
    reserved: frozenset[str]
    _initializers: list[tuple[onnx.TensorProto, npt.NDArray[np.generic]]] = field(default_factory=list)
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
        self.model.graph.node.append(node)
        return output

    def constant(self, stem: str, values: npt.NDArray[np.generic]) -> str:
        """Append an initializer; returns its name."""
        name = self.fresh(stem)
        header = onnx.TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(values.dtype), dims=values.shape)
        self._initializers.append((header, np.ascontiguousarray(values)))
        return name

    def scalar(self, stem: str, value: float) -> str:
        """Append a float32 scalar."""
        return self.constant(stem, np.array(value, np.float32))

    def integers(self, stem: str, values: Iterable[int]) -> str:
        """Append an int64 vector: shapes, slice bounds, pads, indices."""
        return self.constant(stem, np.array(list(values), np.int64))

    def reshape(self, tensor: str, shape: Sequence[int], stem: str) -> str:
        """Reshape to [N, *shape], whatever N is."""
        return self.reshape_named(tensor, shape, self.fresh(stem))

    def reshape_named(self, tensor: str, shape: Sequence[int], output: str) -> str:
        """`reshape` whose output is exactly `output`."""
        return self.add_named("Reshape", [tensor, self.integers(f"{output}.shape", [-1, *shape])], output)

    def serialise(self) -> bytes:
        """The model with its initializers as bytes.

        Protobuf merges an embedded message that appears several times: behind the serialised model, each initializer
        follows as one more `graph` message that holds nothing else.
        """
        parts: list[bytes | memoryview] = [self.model.SerializeToString(deterministic=True)]
        for header, values in self._initializers:
            head = header.SerializeToString(deterministic=True) + _opening(
                onnx.TensorProto.RAW_DATA_FIELD_NUMBER, values.nbytes
            )
            head = _opening(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, len(head) + values.nbytes) + head
            head = _opening(onnx.ModelProto.GRAPH_FIELD_NUMBER, len(head) + values.nbytes) + head
            parts += [head, values.reshape(-1).view(np.uint8).data]
        return b"".join(parts)


def _opening(field_number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field (wire type 2) in protobuf's wire format."""
    return _varint(field_number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits per byte, lowest first, the top bit set on all but the last."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
