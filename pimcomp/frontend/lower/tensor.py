"""What an ONNX tensor holds while the network is lowered: which channels of which nodes, in which order of axes.

A tensor's elements are the elements of feature maps: every axis of the tensor is a product of *factors*, each of them
channels ("c"), rows ("h") or columns ("w"). [1, 64, 56, 56] is [(), (c64), (h56), (w56)]; flattened it is
[(), (c64, h56, w56)]; inside a channel shuffle it is [(), (c3), (c80), (h28), (w28)]. Factors of size 1 are left out,
so layouts that differ only in axes of size 1 are equal. Reshape, Transpose, Slice and Concat only rearrange factors and
`cells`, so none of them costs an instruction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import View

Cells = npt.NDArray[np.int64]
Factor = tuple[str, int]  # ("c" | "h" | "w", size > 1)

LARGEST_CHANNELS = 1 << 20  # of a tensor: keeps a file that doubles them from exhausting the memory
_SOURCE_SHIFT = 32  # a cell is source << 32 | channel


class LayoutError(ValueError):
    """A rearrangement that cannot be absorbed: it would move data between channels, rows and columns."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """A softmax still to be applied along `axis`: fine on the way to an output, nowhere else. `node`: where it was."""

    node: str
    op: str
    opset: int
    axis: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An ONNX tensor made of feature-map channels.

    axes: the factors of every axis, outermost first. cells: one (source, channel) code per channel, its shape being the
    sizes of the "c" factors in order. height, width: of the maps it is made of, so every "h" factor is `height`.
    """

    axes: tuple[tuple[Factor, ...], ...]
    cells: Cells
    height: int
    width: int
    softmax: Softmax | None = field(default=None)
    border: tuple[int, int, int, int] | None = None  # top, left, bottom, right: -infinity around, for MaxPool alone

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(math.prod(size for _, size in axis) for axis in self.axes)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in row-major order."""
        return tuple(factor for axis in self.axes for factor in axis)

    @property
    def kinds(self) -> str:
        """The kinds of all factors in row-major order, for example "chw"."""
        return "".join(kind for kind, _ in self.factors)

    @property
    def view(self) -> View:
        """The channels in their order, as the operand of a node."""
        flat = self.cells.ravel()
        return View((flat >> _SOURCE_SHIFT).astype(np.int32), (flat & 0xFFFFFFFF).astype(np.int32))

    @property
    def pixels(self) -> tuple[Factor, ...]:
        """All rows and columns of its maps, as the factors of one axis."""
        return tuple((kind, size) for kind, size in (("h", self.height), ("w", self.width)) if size > 1)

    def on_node(self, source: int, *, height: int | None = None, width: int | None = None) -> "Tensor":
        """The same layout over all channels of a node that computes channel k from channel k of this tensor's view."""
        height, width = height or self.height, width or self.width
        sizes = {"h": height, "w": width}
        axes = tuple(
            tuple((kind, sizes.get(kind, size)) for kind, size in axis if sizes.get(kind, size) > 1)
            for axis in self.axes
        )
        cells = node_cells(source, self.cells.size).reshape(self.cells.shape)
        return replace(self, axes=axes, cells=cells, height=height, width=width)


def node_cells(source: int, channels: int) -> Cells:
    """The codes of all channels of a node, in order."""
    first = source << _SOURCE_SHIFT
    return np.arange(first, first + channels, dtype=np.int64)


def of_map(source: int, channels: int, height: int, width: int, order: str = "nchw") -> Tensor:
    """All channels of a node as a tensor whose axes are named by `order`; "n" is an axis of size 1."""
    sizes = {"c": channels, "h": height, "w": width, "n": 1}
    axes = tuple(((kind, sizes[kind]),) if sizes[kind] > 1 else () for kind in order)
    cells = node_cells(source, channels)
    return Tensor(axes, cells.reshape((channels,) if channels > 1 else ()), height, width)


def tidy(axes: Sequence[Sequence[Factor]], cells: Cells, like: Tensor) -> Tensor:
    """A tensor in normal form: no factor of size 1, neighbouring "c" factors of one axis merged.

    Raises LayoutError for more than LARGEST_CHANNELS channels.
    """
    if cells.size > LARGEST_CHANNELS:
        raise LayoutError(f"{cells.size} channels; at most {LARGEST_CHANNELS} are supported")
    merged: list[tuple[Factor, ...]] = []
    for axis in axes:
        kept: list[Factor] = []
        for kind, size in axis:
            if size == 1:
                continue
            if kind == "c" and kept and kept[-1][0] == "c":
                kept[-1] = ("c", kept[-1][1] * size)
            else:
                kept.append((kind, size))
        merged.append(tuple(kept))
    shape = tuple(size for axis in merged for kind, size in axis if kind == "c")
    return replace(like, axes=tuple(merged), cells=cells.reshape(shape))


def axis_cells(tensor: Tensor, axis: int) -> slice:
    """Which dimensions of `cells` belong to an axis."""
    before = sum(kind == "c" for factors in tensor.axes[:axis] for kind, _ in factors)
    return slice(before, before + sum(kind == "c" for kind, _ in tensor.axes[axis]))


def channel_dims(tensor: Tensor, axes: Sequence[int]) -> list[int]:
    """Which dimensions of `cells` belong to some axes."""
    return [dim for axis in axes for dim in range(axis_cells(tensor, axis).start, axis_cells(tensor, axis).stop)]


def channels_of(tensor: Tensor, axes: Sequence[int]) -> Cells:
    """The cells of some axes side by side, one row for every combination of the channels of the others."""
    dims = channel_dims(tensor, axes)
    last = np.moveaxis(tensor.cells, dims, range(-len(dims), 0))
    return last.reshape(-1, math.prod(last.shape[last.ndim - len(dims) :]))
