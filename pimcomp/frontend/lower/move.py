"""Rearrangements that do move data: channels, rows and columns trade places through `Pick`s and a sum.

Rows or columns become channels by picking them apart, one node per row inside a block. Channels become rows or columns
by spreading every one to its own lines, zeros elsewhere, and adding the results. A number of channels is spread prime
factor by prime factor, so that 64 of them take 12 maps, not 64. `rearrange` says what needs none of this.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pimcomp.frontend.lower import rearrange
from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.onnx_node import Constant
from pimcomp.frontend.lower.tensor import Cells, LayoutError, Tensor, node_cells, tidy
from pimcomp.ir.graph import Eltwise, Pick, Turn

MOST_PICKS = 4096  # for one rearrangement
MOST_ELEMENTS = 1 << 28  # that all of them write


def to_channels(name: str, builder: GraphBuilder, tensor: Tensor, kind: str, inner: int) -> Tensor:
    """Rows ("h") or columns ("w") 0 .. inner - 1 of every block of `inner` as channels; a factor of the tensor's axis
    becomes two."""
    axis, at = next((a, i) for a, factors in enumerate(tensor.axes) for i, (k, _) in enumerate(factors) if k == kind)
    size = tensor.axes[axis][at][1]
    outer, place = size // inner, _channel_factors(tensor, axis, at)
    if inner > MOST_PICKS:
        raise LayoutError(f"{_needs(tensor)}; that would take {inner} copies of them, at most {MOST_PICKS} are made")
    height, width = (outer, tensor.width) if kind == "h" else (tensor.height, outer)
    if tensor.cells.size == 1 and inner == tensor.height * tensor.width:  # one channel: all pixels in one step
        parts = list(node_cells(builder.emit(name, Turn(), (tensor.view,), (inner, 1, 1)), inner))
    else:
        rest = [tuple(range(first, size, inner)) for first in range(inner)]
        parts = [_picked(name, builder, tensor.cells, tensor, r, kind).reshape(tensor.cells.shape) for r in rest]
    axes = [list(factors) for factors in tensor.axes]
    axes[axis][at : at + 1] = [(kind, outer), ("c", inner)]
    return tidy(axes, np.stack(parts, axis=place), replace(tensor, height=height, width=width))


def _to_lines(name: str, builder: GraphBuilder, tensor: Tensor, axis: int, at: int, kind: str) -> Tensor:
    """The channel factor `at` of an axis merged into the rows or columns beside it in the same axis, if there are."""
    factors = list(tensor.axes[axis])
    lines = tensor.height if kind == "h" else tensor.width
    behind = at > 0 and factors[at - 1][0] == kind  # its channels lie behind the rows: they are the inner ones
    place, count = _channel_factors(tensor, axis, at), factors[at][1]
    shape = list(tensor.cells.shape)
    for prime in _primes(count):
        shape[place : place + 1] = [prime, shape[place] // prime] if behind else [shape[place] // prime, prime]
        split = place if behind else place + 1
        parts = np.moveaxis(tensor.cells.reshape(shape), split, 0)
        total = lines * prime
        spread = []
        for number, part in enumerate(parts):
            chosen = [
                (y // prime if y % prime == number else -1) if behind else (y % lines if y // lines == number else -1)
                for y in range(total)
            ]
            spread.append(_picked(name, builder, part, tensor, tuple(chosen), kind))
        height, width = (total, tensor.width) if kind == "h" else (tensor.height, total)
        views = [Tensor((), cells, height, width).view for cells in spread]
        index = builder.emit(name, Eltwise("add"), views, (parts[0].size, height, width))
        del shape[split]
        cells = node_cells(index, parts[0].size).reshape(shape)
        tensor, lines = replace(tensor, cells=cells, height=height, width=width), total
    axes = [list(found) for found in tensor.axes]
    axes[axis][at : at + 1] = []
    axes[axis] = [factor for factor in axes[axis] if factor[0] != kind]
    axes[axis].insert(at - 1 if behind else at, (kind, lines))
    return tidy(axes, tensor.cells, tensor)


def _picked(name: str, builder: GraphBuilder, cells: Cells, tensor: Tensor, lines: tuple[int, ...], kind: str) -> Cells:
    """Chosen rows or columns of some of a tensor's channels, as the cells of a new node."""
    rows, columns = tuple(range(tensor.height)), tuple(range(tensor.width))
    rows, columns = (lines, columns) if kind == "h" else (rows, lines)
    view = Tensor((), cells, tensor.height, tensor.width).view
    return node_cells(
        builder.emit(name, Pick(rows, columns), (view,), (cells.size, len(rows), len(columns))), cells.size
    )


def _channel_factors(tensor: Tensor, axis: int, at: int) -> int:
    """How many channel factors lie in front of one."""
    ahead = [factor for factors in tensor.axes[:axis] for factor in factors] + list(tensor.axes[axis][:at])
    return sum(kind == "c" for kind, _ in ahead)


def _primes(number: int) -> list[int]:
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def as_map(
    name: str, builder: GraphBuilder, tensor: Tensor, orders: Sequence[str] = rearrange.ORDERS
) -> tuple[Tensor, str]:
    """The tensor with axes in one of the given orders, and that order: as it is, turned, or by the fewest picks.

    Raises LayoutError if the tensor has no such number of axes, or that takes more than the limits.
    """
    found = rearrange.map_order(tensor)
    if found is not None and found in orders:
        return tensor, found
    exchanged = next((o for o in orders if _exchanged(tensor, o)), None)
    if exchanged is not None:
        return turned(name, builder, tensor, exchanged), exchanged
    costs = {o: _picks(tensor, o) for o in orders if len(o) == len(tensor.axes) and not _batch(tensor, o)}
    if not costs:
        raise LayoutError(f"{_needs(tensor)}; expected {' or '.join(_spelt(o) for o in orders)}")
    order = min(costs, key=lambda o: costs[o])
    if costs[order] > MOST_PICKS or costs[order] * math.prod(tensor.shape) > MOST_ELEMENTS:
        raise LayoutError(
            f"{_needs(tensor)}; expected {_spelt(order)}, and moving the data would take {costs[order]} copies of it"
        )
    for kind, size in (("h", tensor.height), ("w", tensor.width)):
        if any(kind == k for a, factors in enumerate(tensor.axes) for k, _ in factors if order[a] != kind):
            tensor = to_channels(name, builder, tensor, kind, size)
    for kind in "hw":
        axis = order.find(kind)
        while axis >= 0 and (at := [i for i, (k, _) in enumerate(tensor.axes[axis]) if k == "c"]):
            own = [i for i, (k, _) in enumerate(tensor.axes[axis]) if k == kind]
            near = next(i for i in at if not own or abs(i - own[0]) == 1)
            tensor = _to_lines(name, builder, tensor, axis, near, kind)
    return tensor, order


def _exchanged(tensor: Tensor, order: str) -> bool:
    """Whether channels and pixels, each one axis, are in each other's place."""
    wanted = {"c": tensor.pixels, "w": tuple(factor for factor in tensor.factors if factor[0] == "c")}
    same = len(order) == len(tensor.axes) and "w" in order and "h" not in order and len(wanted["w"]) == 1
    return same and all(own == wanted.get(kind, ()) for own, kind in zip(tensor.axes, order, strict=True))


def turned(name: str, builder: GraphBuilder, tensor: Tensor, order: str) -> Tensor:
    """Channels as columns and pixels as channels; `order` names the axes of the result."""
    shape = (tensor.height * tensor.width, 1, tensor.cells.size)
    return builder.layer(f"{name}.turned", Turn(), tensor, shape, order)


def _batch(tensor: Tensor, order: str) -> bool:
    return order[0] == "n" and bool(tensor.axes[0])


def _picks(tensor: Tensor, order: str) -> int:
    """How many maps it takes to bring a tensor's axes into an order."""
    count = 0
    for axis, kind in enumerate(order):
        foreign = [(k, size) for k, size in tensor.axes[axis] if k != kind]
        count += sum(size for k, size in foreign if k != "c")
        count += 0 if kind == "c" else sum(sum(_primes(size)) for _, size in foreign)
    return count


def reshape(name: str, builder: GraphBuilder, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """`rearrange.reshape`; rows or columns that it would cut through are picked apart first."""
    while True:
        try:
            return rearrange.reshape(tensor, shape)
        except rearrange.CutError as cut:
            if tensor.softmax is not None or set(tensor.kinds) <= {"c"}:
                raise
            if cut.kind == "c":
                tensor = in_channels(name, builder, tensor)
                continue
            size = tensor.height if cut.kind == "h" else tensor.width
            tensor = to_channels(name, builder, tensor, cut.kind, size // cut.outer)


def in_channels(name: str, builder: GraphBuilder, tensor: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """The tensor with all rows and columns (of the given axes) as channels."""
    for kind, size in (("h", tensor.height), ("w", tensor.width)):
        places = [a for a, factors in enumerate(tensor.axes) if any(k == kind for k, _ in factors)]
        if places and (axes is None or places[0] in axes):
            tensor = to_channels(name, builder, tensor, kind, size)
    return tensor


def constant(name: str, builder: GraphBuilder, values: Constant, like: Tensor, beside: int = -1) -> Tensor:
    """A constant as a tensor over a map of its own, laid out as `like`, to which it broadcasts; along the axis `beside`
    it keeps its size.

    It has all rows and columns of `like` or one of each. Channels that it is the same for are repeated in the map
    only where others do not lie further inside: a view repeats them at no cost.
    """
    rank = max(len(like.axes), np.ndim(values))
    like = rearrange.of_rank(like, rank)
    numbers = np.reshape(values, (1,) * (rank - np.ndim(values)) + np.shape(values)).astype(np.float64)
    order = (rearrange.map_order(like) or "").replace("n", "c") or "c" * rank
    axes = [
        own if size == whole else ((kind, size),) if size > 1 else ()
        for kind, size, whole, own in zip(order, numbers.shape, like.shape, like.axes, strict=True)
    ]
    spatial = any(kind != "c" for axis in axes for kind, _ in axis)
    inner = max((at for at, axis in enumerate(axes) if any(kind == "c" for kind, _ in axis)), default=-1)
    for at, own in enumerate(like.axes):
        mapped = any(kind != "c" for kind, _ in own)
        if at != beside and not axes[at] and (spatial if mapped else at > inner):
            axes[at] = own
    shape = [math.prod(size for _, size in axis) for axis in axes]
    factors = [factor for axis in axes for factor in axis]
    sizes = {"h": 1, "w": 1} | dict(factors)
    places = sorted(range(len(factors)), key=lambda place: "chw".index(factors[place][0]))
    split = np.broadcast_to(numbers, shape).reshape([size for _, size in factors]).transpose(places)
    index = builder.fixed(name, split.reshape(-1, sizes["h"], sizes["w"]))
    cells = node_cells(index, split.size // (sizes["h"] * sizes["w"]))
    return tidy(axes, cells, replace(like, height=sizes["h"], width=sizes["w"], softmax=None, border=None))


def _needs(tensor: Tensor) -> str:
    return f"found {list(tensor.shape)} = [{rearrange.spelt(tensor)}]"


def _spelt(order: str) -> str:
    names = {**rearrange.NAMES, "n": "1"}
    return "[" + ", ".join(names[kind] for kind in order) + "]"
