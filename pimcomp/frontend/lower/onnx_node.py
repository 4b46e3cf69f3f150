"""One ONNX node during lowering: its operands (feature maps or constants) and its typed attributes.

Many operators moved parameters from attributes to inputs between opsets; `attribute_or_input` reads either form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from pimcomp.frontend.lower.tensor import Tensor

Constant = npt.NDArray[np.generic]
Operand = Tensor | Constant


class Unsupported(ValueError):
    """The node cannot be lowered; the text is the reason shown to the user."""


class NotRepeatable(Unsupported):
    """Nor can anything else compute it: what comes out does not follow from what goes in."""


class BadShape(ValueError):
    """The node's shapes contradict each other; the text says how."""


@dataclass(frozen=True, slots=True, eq=False)
class OnnxNode:
    """A node with resolved operands; a missing optional input is None."""

    name: str
    op: str
    opset: int
    operands: tuple[Operand | None, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, onnx.AttributeProto]
    used_outputs: frozenset[str]  # those that something reads

    def has(self, key: str) -> bool:
        """Whether the attribute is given."""
        return key in self.attributes

    def integer(self, key: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes[key].i) if key in self.attributes else default

    def real(self, key: str, default: float) -> float:
        """A float attribute."""
        return float(self.attributes[key].f) if key in self.attributes else default

    def text(self, key: str, default: str) -> str:
        """A string attribute."""
        return self.attributes[key].s.decode(errors="replace") if key in self.attributes else default

    def integers(self, key: str) -> tuple[int, ...] | None:
        """An integer-list attribute, None if absent."""
        return tuple(int(i) for i in self.attributes[key].ints) if key in self.attributes else None

    def reals(self, key: str) -> tuple[float, ...]:
        """A float-list attribute, empty if absent."""
        return tuple(float(x) for x in self.attributes[key].floats) if key in self.attributes else ()

    def operand(self, position: int) -> Operand:
        """The operand at a position.

        Raises BadShape if the node does not have it.
        """
        found = self.optional(position)
        if found is None:
            raise BadShape(f"input {position} is missing")
        return found

    def optional(self, position: int) -> Operand | None:
        """The operand at a position, None if the node leaves it out."""
        return self.operands[position] if position < len(self.operands) else None

    def tensor(self, position: int = 0) -> Tensor:
        """An operand that must be a feature map."""
        found = self.operand(position)
        if not isinstance(found, Tensor):
            raise Unsupported(f"input {position} is a constant, expected the result of another layer")
        return found

    def constant(self, position: int, what: str) -> Constant:
        """An operand that must be known at compile time; `what` names it in the reason."""
        found = self.operand(position)
        if isinstance(found, Tensor):
            raise Unsupported(f"{what} (input {position}) is computed by the network, expected a constant")
        if found.dtype.kind in "cOSU":
            held = "complex numbers" if found.dtype.kind == "c" else "text"
            raise Unsupported(f"{what} (input {position}) holds {held}, expected real numbers")
        return found

    def constant_or_none(self, position: int, what: str) -> Constant | None:
        """As `constant`, None if the node leaves it out."""
        return None if self.optional(position) is None else self.constant(position, what)

    def attribute_or_input(self, key: str, position: int) -> tuple[int, ...] | None:
        """Integers given as attribute (older opsets) or as constant input (newer ones), None if neither."""
        given = self.integers(key)
        if given is None:
            found = self.constant_or_none(position, key)
            given = None if found is None else whole_numbers(found, key)
        return given

    def scalar(self, key: str, position: int) -> float | None:
        """A number given as attribute or as constant input of one element, None if neither."""
        if self.has(key):
            return self.real(key, 0.0)
        found = self.constant_or_none(position, key)
        if found is not None and found.size != 1:
            raise Unsupported(f"{key} has {found.size} elements, expected one")
        return None if found is None else float(np.asarray(found).ravel()[0])

    def axis(self, rank: int, default: int, key: str = "axis") -> int:
        """An axis attribute, counted from the front.

        Raises BadShape if the tensor has no such axis.
        """
        return normal_axis(self.integer(key, default), rank)


def whole_numbers(values: Constant, what: str) -> tuple[int, ...]:
    """The elements of a constant as integers; BadShape, which names them `what`, if they are none."""
    given = np.asarray(values, np.float64 if values.dtype.kind not in "iub" else None).ravel()
    if not np.all(np.isfinite(given) & (given == np.trunc(given))):
        raise BadShape(f"{what}: expected whole numbers, found {given[:8].tolist()}")
    return tuple(map(int, given.tolist()))


def of_proto(proto: onnx.NodeProto, opset: int, operands: Sequence[Operand | None]) -> OnnxNode:
    """A node of a file with its operands."""
    attributes, outputs = {attribute.name: attribute for attribute in proto.attribute}, tuple(proto.output)
    return OnnxNode(proto.name, proto.op_type, opset, tuple(operands), outputs, attributes, frozenset(outputs))


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set; 1 when an old file does not say."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


def normal_axis(axis: int, rank: int) -> int:
    """An axis counted from the front; BadShape if there is none."""
    if not -rank <= axis < rank:
        raise BadShape(f"axis {axis} of a tensor with {rank} axes")
    return axis % rank


def normal_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, ascending; BadShape if one does not exist."""
    return tuple(sorted({normal_axis(axis, rank) for axis in axes}))
