"""Single ONNX nodes as lowering sees them."""

from typing import Any

import numpy as np
from onnx import helper

from pimcomp.frontend.lower.onnx_node import Constant, OnnxNode, Operand


def onnx_node(op: str, *operands: Operand | None, opset: int = 19, outputs: int = 1, **attributes: Any) -> OnnxNode:
    """A node with these operands and attributes."""
    names = tuple(f"y{k}" for k in range(outputs))
    found = {key: helper.make_attribute(key, value) for key, value in attributes.items()}
    return OnnxNode(op.lower(), op, opset, operands, names, found, frozenset(names))


def integers(*values: int) -> Constant:
    """An input of integers."""
    return np.array(values, np.int64)
