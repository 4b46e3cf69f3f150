"""Rearrangements of a `Tensor` that move no data: reshape, transpose, channel selection, concatenation, squeeze.

All functions are pure and raise LayoutError when channels, rows and columns would have to trade places.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pimcomp.frontend.lower.tensor import Factor, LayoutError, Softmax, Tensor, axis_cells, tidy


class CutError(LayoutError):
    """A reshape would cut through rows or columns; `outer`: how many of them its axis can take as a block."""

    def __init__(self, text: str, kind: str, outer: int) -> None:
        super().__init__(text)
        self.kind, self.outer = kind, outer


def reshape(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor with another shape of the same size; `shape` has no -1 and no "copy" zeros left."""
    if math.prod(shape) != math.prod(tensor.shape):
        raise LayoutError(f"cannot reshape {list(tensor.shape)} to {list(shape)}: sizes differ")
    pool = _merge_channels(tensor.factors)[::-1]
    axes: list[list[Factor]] = []
    for size in shape:
        taken: list[Factor] = []
        wanted = size
        while wanted > 1:
            kind, available = pool.pop()
            if wanted % available == 0:
                taken.append((kind, available))
                wanted //= available
            elif kind == "c" and available % wanted == 0:
                taken.append(("c", wanted))
                pool.append(("c", available // wanted))
                wanted = 1
            elif kind == "c" and (part := math.gcd(available, wanted)) > 1:
                taken.append(("c", part))
                pool.append(("c", available // part))
                wanted //= part
            else:
                text = f"reshape {list(tensor.shape)} to {list(shape)} cuts through the {available} {NAMES[kind]}"
                raise CutError(text, kind, math.gcd(available, wanted))
        axes.append(taken)
    return _with_softmax(tidy(axes, tensor.cells, tensor), tensor)


def _merge_channels(factors: Sequence[Factor]) -> list[Factor]:
    merged: list[Factor] = []
    for kind, size in factors:
        if kind == "c" and merged and merged[-1][0] == "c":
            merged[-1] = ("c", merged[-1][1] * size)
        else:
            merged.append((kind, size))
    return merged


def _with_softmax(result: Tensor, origin: Tensor) -> Tensor:
    """Carry a pending softmax over: it must run along the only axis of more than one element."""
    if origin.softmax is None:
        return result
    long_axes = [axis for axis, size in enumerate(result.shape) if size > 1]
    whole = origin.shape[origin.softmax.axis] == math.prod(origin.shape)
    if not whole or len(long_axes) > 1:
        raise LayoutError("a softmax is followed by a rearrangement of its axis")
    axis = long_axes[0] if long_axes else len(result.shape) - 1
    return replace(result, softmax=Softmax(origin.softmax.node, origin.softmax.op, origin.softmax.opset, axis))


def transpose(tensor: Tensor, perm: Sequence[int]) -> Tensor:
    """Axis i of the result is axis perm[i] of the tensor."""
    if sorted(perm) != list(range(len(tensor.axes))):
        raise LayoutError(f"perm {list(perm)} is no permutation of {len(tensor.axes)} axes")
    order: list[int] = []
    for axis in perm:
        dims = axis_cells(tensor, axis)
        order.extend(range(dims.start, dims.stop))
    result = tidy([tensor.axes[axis] for axis in perm], np.transpose(tensor.cells, order), tensor)
    if tensor.softmax is not None:
        result = replace(result, softmax=replace(tensor.softmax, axis=list(perm).index(tensor.softmax.axis)))
    return result


def take_channels(tensor: Tensor, axis: int, indices: npt.NDArray[np.int64]) -> Tensor:
    """Selected positions of an axis that holds nothing but channels (or has size 1)."""
    if any(kind != "c" for kind, _ in tensor.axes[axis]):
        raise LayoutError(f"axis {axis} of {list(tensor.shape)} holds rows or columns, not channels")
    at = axis_cells(tensor, axis).start
    cells = tensor.cells if tensor.axes[axis] else np.expand_dims(tensor.cells, at)
    axes = list(tensor.axes)
    axes[axis] = (("c", len(indices)),)
    return tidy(axes, np.take(cells, indices, axis=at), tensor)


def concat(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors side by side along an axis whose outermost factor is channels; everything else must be equal."""
    first = tensors[0]
    full = max(tensors, key=lambda t: (t.height * t.width, len(t.axes[axis])))
    rest = _behind_channels(full, axis)
    pieces: list[npt.NDArray[np.int64]] = []
    for tensor in tensors:
        same_rest = [a for i, a in enumerate(tensor.axes) if i != axis] == [
            a for i, a in enumerate(full.axes) if i != axis
        ]
        same_map = (tensor.height, tensor.width) == (full.height, full.width)
        if not same_rest or not same_map or _behind_channels(tensor, axis) != rest:
            shapes = ", ".join(str(list(t.shape)) for t in tensors)
            raise LayoutError(f"{shapes} are not maps of one size joined along their channels")
        at = axis_cells(tensor, axis).start
        leading = tensor.axes[axis][:1] if tensor.axes[axis][:1] and tensor.axes[axis][0][0] == "c" else ()
        pieces.append(tensor.cells if leading else np.expand_dims(tensor.cells, at))
    at = axis_cells(first, axis).start
    joined = np.concatenate(pieces, axis=at)
    axes: list[Sequence[Factor]] = list(full.axes)
    axes[axis] = (("c", joined.shape[at]), *rest)
    return tidy(axes, joined, full)


def _behind_channels(tensor: Tensor, axis: int) -> tuple[Factor, ...]:
    """The factors of an axis behind its leading channels."""
    factors = tensor.axes[axis]
    return factors[1:] if factors and factors[0][0] == "c" else factors


def squeeze(tensor: Tensor, axes: Sequence[int] | None) -> Tensor:
    """Without the given axes of size 1 (None: without all of them)."""
    rank = len(tensor.axes)
    gone = {axis % rank for axis in axes} if axes is not None else {i for i, s in enumerate(tensor.shape) if s == 1}
    if any(tensor.shape[axis] != 1 for axis in gone):
        raise LayoutError(f"cannot squeeze axes {sorted(gone)} of {list(tensor.shape)}: their sizes are not 1")
    return reshape(tensor, [size for axis, size in enumerate(tensor.shape) if axis not in gone])


def unsqueeze(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """With new axes of size 1 at the given places of the result."""
    rank = len(tensor.axes) + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(tensor.shape)
    return reshape(tensor, [1 if axis in new else next(old) for axis in range(rank)])


def of_rank(tensor: Tensor, rank: int) -> Tensor:
    """With axes of size 1 in front until there are `rank` of them, as broadcasting adds them."""
    missing = rank - len(tensor.axes)
    return unsqueeze(tensor, range(missing)) if missing > 0 else tensor


def map_order(tensor: Tensor) -> str | None:
    """Which of `ORDERS` the axes follow, None if none of them. Where sizes of 1 leave a choice, channels come first."""
    for order in ORDERS:
        if len(order) == len(tensor.axes) and all(
            tuple(kind for kind, _ in axis) in ((), (name,)) for axis, name in zip(tensor.axes, order, strict=True)
        ):
            return order
    return None


def spelt(tensor: Tensor) -> str:
    """What the axes hold, in words."""
    return ", ".join(" x ".join(NAMES[kind] for kind, _ in axis) or "1" for axis in tensor.axes)


ORDERS = ("nchw", "nhwc", "ncw", "nwc", "chw", "hwc", "nc", "wc", "cw", "hw", "c", "w")
NAMES = {"c": "channels", "h": "rows", "w": "columns", "n": "batch"}
