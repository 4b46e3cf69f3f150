"""The shapes that operations make of their operands'."""

from collections.abc import Sequence
from typing import assert_never

from pimcomp.ir.graph import (
    Conv,
    Crop,
    Eltwise,
    Fixed,
    Input,
    Loaded,
    Lrn,
    Node,
    Normalise,
    Pick,
    Pool,
    Product,
    Shape,
    Softmax,
    Standalone,
    Turn,
    Window,
)


def expected_shape(node: Node, operands: Sequence[Shape]) -> Shape:
    """The shape of a node's map that follows from its operation and its operands.

    Raises ValueError, with what is wrong, where an operation cannot have such operands.
    """
    operation, found = node.operation, (node.channels, node.height, node.width)
    arity = 0 if isinstance(operation, Loaded) else 2 if isinstance(operation, Product) else 1
    if not isinstance(operation, Eltwise | Pick) and len(operands) != arity:
        raise ValueError(f"{type(operation).__name__} with {len(operands)} operands")
    match operation:
        case Input() | Fixed():
            return found
        case Eltwise():
            return _eltwise_shape(operation, operands)
        case Conv():
            _check_weights(operation, operands[0])
            return (len(operation.weights), *_windows(operation.window, operands[0]))
        case Pool():
            return (operands[0][0], *_windows(operation.window, operands[0]))
        case Crop():
            return (operands[0][0], node.height, node.width)
        case Pick():
            if len(set(operands)) != 1:
                raise ValueError(f"operands of shapes {list(operands)}")
            for chosen, size in zip((operation.rows, operation.columns), operands[0][1:], strict=True):
                if min(chosen) < -1 or max(chosen) >= size:
                    raise ValueError(f"picks {min(chosen)} to {max(chosen)} out of {size}")
            return (operands[0][0], len(operation.rows), len(operation.columns))
        case Standalone() | Lrn() | Softmax() | Normalise():
            return operands[0]
        case Product():
            if operands[0][0] != operands[1][0]:
                raise ValueError(f"inner products of {operands[0][0]} and {operands[1][0]} channels")
            return (operands[1][1] * operands[1][2], *operands[0][1:])
        case Turn():
            return (operands[0][1] * operands[0][2], 1, operands[0][0])
        case _:
            assert_never(operation)


def _eltwise_shape(operation: Eltwise, operands: Sequence[Shape]) -> Shape:
    if len(operands) < 2 or (operation.method == "sub" and len(operands) > 2):
        raise ValueError(f"{operation.method} of {len(operands)} operands")
    expected = (operands[0][0], max(s[1] for s in operands), max(s[2] for s in operands))
    if any(shape not in (expected, (expected[0], 1, 1)) for shape in operands):
        raise ValueError(f"operands of shapes {list(operands)}")
    return expected


def _check_weights(conv: Conv, operand: Shape) -> None:
    shape = outs, per_group, *kernel = conv.weights.shape
    if tuple(kernel) != conv.window.kernel or per_group * conv.groups != operand[0] or outs % conv.groups:
        raise ValueError(f"weights of shape {shape} in {conv.groups} groups for an input of shape {operand}")
    if conv.bias is not None and conv.bias.shape != (outs,):
        raise ValueError(f"a bias of shape {conv.bias.shape} for {outs} channels")


def _windows(window: Window, operand: Shape) -> tuple[int, int]:
    """Rows and columns of windows over a map."""
    top, left, bottom, right = window.pads
    axes = zip(operand[1:], (top + bottom, left + right), window.extent, window.stride, strict=True)
    rows, columns = ((size + pads - extent) // stride + 1 for size, pads, extent, stride in axes)
    return rows, columns
