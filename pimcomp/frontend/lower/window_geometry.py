"""Sizes of sliding windows after the ONNX definitions of Conv and the pooling operators."""

from collections.abc import Sequence
from dataclasses import dataclass

from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode, Unsupported
from pimcomp.ir.graph import Window

LONGEST_SIDE = 1 << 15  # of a kernel, a dilation or a border: keeps a damaged file from exhausting the memory


@dataclass(frozen=True, slots=True)
class Sliding:
    """A window with the size of its result; `overhang`: rows and columns beyond the explicit pads (ceil_mode)."""

    window: Window
    height: int
    width: int
    overhang: tuple[int, int] = (0, 0)


def sliding(
    node: OnnxNode, kernel: Sequence[int], height: int, width: int, border: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> Sliding:
    """The window of a Conv or pooling node with `kernel` (one or two sizes) over a map of height x width.

    border: (top, left, bottom, right) that a Pad of its own adds to the node's pads.

    Raises BadShape where kernel, strides, pads and map do not fit, Unsupported for negative pads.
    """
    rank = len(kernel)
    strides, dilations = (pair(node, name, rank, 1) for name in ("strides", "dilations"))
    sizes = (1, kernel[0]) if rank == 1 else (kernel[0], kernel[1])
    if max(*sizes, *dilations, *(node.integers("pads") or (0,))) > LONGEST_SIDE:
        raise BadShape(f"a window of {list(kernel)} elements, dilated {list(dilations)}, with such pads is no window")
    if min(*sizes, *strides, *dilations) < 1:
        raise BadShape(f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)}: all must be >= 1")
    begin, end = _explicit_pads(node, rank)
    auto, ceil = node.text("auto_pad", "NOTSET"), node.integer("ceil_mode", 0) == 1
    if any(border):
        if auto != "NOTSET" or ceil:
            raise Unsupported("auto_pad or ceil_mode behind a Pad of its own: write all of it as pads")
        begin, end = (begin[0] + border[0], begin[1] + border[1]), (end[0] + border[2], end[1] + border[3])
    axes = [
        _axis(auto, ceil, size, (kernel_size - 1) * dilation + 1, stride, (head, tail))
        for size, kernel_size, stride, dilation, head, tail in zip(
            (height, width), sizes, strides, dilations, begin, end, strict=True
        )
    ]
    (top, bottom, rows, over_rows), (left, right, columns, over_columns) = axes
    window = Window(
        kernel=sizes, stride=strides, pads=(top, left, bottom + over_rows, right + over_columns), dilation=dilations
    )
    return Sliding(window, rows, columns, (over_rows, over_columns))


def pair(node: OnnxNode, name: str, rank: int, default: int) -> tuple[int, int]:
    """An attribute's value for rows and that for columns; a 1-D node has only the latter."""
    values = node.integers(name) or (default,) * rank
    if len(values) != rank:
        raise BadShape(f"{name} {list(values)}: expected {rank} value(s)")
    return (default, values[0]) if rank == 1 else (values[0], values[1])


def _explicit_pads(node: OnnxNode, rank: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, left), (bottom, right)) of the pads attribute."""
    pads = node.integers("pads") or (0,) * (2 * rank)
    if len(pads) != 2 * rank:
        raise BadShape(f"pads {list(pads)}: expected {2 * rank} values")
    if min(pads) < 0:
        raise Unsupported(f"negative pads {list(pads)}")
    return ((0, pads[0]), (0, pads[1])) if rank == 1 else ((pads[0], pads[1]), (pads[2], pads[3]))


def _axis(
    auto: str, ceil: bool, size: int, reach: int, stride: int, pads: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(pad before, pad after, windows, overhang) along one axis; `reach` is the dilated kernel size."""
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        windows = -(-size // stride)
        total = max(0, (windows - 1) * stride + reach - size)
        short, long = total // 2, total - total // 2
        return (short, long, windows, 0) if auto == "SAME_UPPER" else (long, short, windows, 0)
    if auto not in ("NOTSET", "VALID"):
        raise BadShape(f"auto_pad {auto!r}")
    head, tail = pads if auto == "NOTSET" else (0, 0)
    free = size + head + tail - reach
    if free < 0:
        raise BadShape(f"a window of {reach} does not fit into {size} elements padded by {head} and {tail}")
    if not ceil:
        return head, tail, free // stride + 1, 0
    windows = -(-free // stride) + 1
    if (windows - 1) * stride >= size + head:  # a window may not start behind the map
        windows -= 1
    return head, tail, windows, max(0, (windows - 1) * stride + reach - size - head - tail)


def misses_map(window: Window, sizes: tuple[int, int], windows: tuple[int, int]) -> bool:
    """Whether some window touches no element of a map of `sizes` (height, width), only padding."""
    for axis in (0, 1):
        for position in range(windows[axis]):
            start = position * window.stride[axis] - window.pads[axis]
            skipped = max(0, -(start // window.dilation[axis]))  # kernel elements in front of the map
            if skipped >= window.kernel[axis] or start + skipped * window.dilation[axis] >= sizes[axis]:
                return True
    return False
