"""The Graph under construction while ONNX nodes are lowered one after the other."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.onnx_node import BadShape
from pimcomp.frontend.lower.tensor import LARGEST_CHANNELS, Tensor, of_map
from pimcomp.ir.graph import Activation, Conv, Fixed, Node, Operation, Pick, Shape, Standalone, View, Window

LARGEST_ROWS = 1 << 15  # of a map: work is dealt out row by row; long signals lie along columns
LARGEST_SIDE = 1 << 19  # columns of a map
LARGEST_MAP = 1 << 30  # elements; far beyond any chip, and keeps a damaged file from exhausting the memory


class GraphBuilder:
    """Collects nodes in topological order, under unique names."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self._names: dict[str, int] = {}  # and how many nodes asked for each
        self._fixed: dict[tuple[Shape, bytes], int] = {}

    def emit(
        self,
        name: str,
        operation: Operation,
        views: Sequence[View],
        shape: Shape,
        activation: Activation | None = None,
    ) -> int:
        """Append a node with a map of `shape` (channels, height, width); returns its index.

        Raises BadShape if the map has no elements or too many.
        """
        expected = ""
        if min(shape) < 1:
            expected = "at least 1"
        elif math.prod(shape) > LARGEST_MAP:
            expected = f"at most {LARGEST_MAP} elements"
        elif shape[0] > LARGEST_CHANNELS or shape[1] > LARGEST_ROWS or shape[2] > LARGEST_SIDE:
            expected = f"at most {LARGEST_CHANNELS} channels, {LARGEST_ROWS} rows and {LARGEST_SIDE} columns"
        if expected:
            raise BadShape(f"a map of shape {list(shape)} (channels, rows, columns): expected {expected}")
        unique = name
        while unique in self._names:
            self._names[name] += 1
            unique = f"{name}.{self._names[name]}"
        self._names[unique] = 1
        channels, height, width = shape
        self.nodes.append(
            Node(
                name=unique,
                operation=operation,
                inputs=tuple(views),
                channels=channels,
                height=height,
                width=width,
                activation=activation,
            )
        )
        return len(self.nodes) - 1

    def fixed(self, name: str, values: npt.NDArray[np.float64]) -> int:
        """A map of constants [channels, height, width], the same node for the same values."""
        narrow = values.astype(np.float32)
        channels, height, width = narrow.shape
        key = (channels, height, width), narrow.tobytes()
        if key not in self._fixed:
            self._fixed[key] = self.emit(f"{name}.constant", Fixed(narrow), (), key[0])
        return self._fixed[key]

    def unary(self, name: str, operation: Operation, tensor: Tensor, activation: Activation | None = None) -> Tensor:
        """A node that computes every element from the same element of `tensor`; the result keeps its layout."""
        shape = (tensor.cells.size, tensor.height, tensor.width)
        return tensor.on_node(self.emit(name, operation, (tensor.view,), shape, activation))

    def layer(self, name: str, operation: Operation, tensor: Tensor, shape: Shape, order: str) -> Tensor:
        """A node that computes a map of another shape from `tensor`; `order` names the axes of the result."""
        return of_map(self.emit(name, operation, (tensor.view,), shape), *shape, order)

    def activation(self, name: str, tensor: Tensor, activation: Activation) -> Tensor:
        """An element-wise function of a tensor of any layout."""
        return self.unary(name, Standalone(), tensor, activation)

    def pick(
        self, name: str, tensor: Tensor, rows: tuple[int, ...], columns: tuple[int, ...], order: str = "nchw"
    ) -> Tensor:
        """Chosen rows and columns of a map whose axes are named by `order`; nothing is emitted where all stay."""
        if rows == tuple(range(tensor.height)) and columns == tuple(range(tensor.width)):
            return tensor
        return self.layer(name, Pick(rows, columns), tensor, (tensor.cells.size, len(rows), len(columns)), order)

    def scale(
        self, name: str, tensor: Tensor, factor: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
    ) -> Tensor:
        """factor * x + shift per channel of the tensor's view (float64[channels]): a depthwise 1 x 1 convolution.

        Nothing is emitted where that changes nothing.
        """
        if np.all(factor == 1) and not np.any(shift):
            return tensor
        weights = factor.astype(np.float32).reshape(-1, 1, 1, 1)
        bias = shift.astype(np.float32) if np.any(shift) else None
        operation = Conv(window=Window(kernel=(1, 1)), weights=weights, bias=bias, groups=len(factor))
        return self.unary(name, operation, tensor)
