"""ConvTranspose -> `Pick` that puts zeros between the pixels, and a convolution with the mirrored kernel."""

import numpy as np

from pimcomp.frontend.lower.graph_builder import GraphBuilder
from pimcomp.frontend.lower.onnx_node import BadShape, OnnxNode
from pimcomp.frontend.lower.tensor import Tensor
from pimcomp.frontend.lower.weighted import bias_of, convolved
from pimcomp.frontend.lower.window_geometry import LONGEST_SIDE, pair
from pimcomp.ir.graph import Conv, FloatArray, Window

Pair = tuple[int, int]


def lower_conv_transpose(node: OnnxNode, builder: GraphBuilder) -> Tensor:
    """One- and two-dimensional transposed convolution."""
    tensor, order, weights, groups = convolved(node, builder)
    if groups < 1 or weights.shape[0] != tensor.cells.size or tensor.cells.size % groups:
        raise BadShape(
            f"weights of shape {list(weights.shape)} in {groups} group(s) for an input of {list(tensor.shape)}"
        )
    rank, kernel = weights.ndim - 2, (1, *weights.shape[2:])[-2:]
    strides, dilations = (pair(node, name, rank, 1) for name in ("strides", "dilations"))
    if max(*strides, *dilations, *kernel) > LONGEST_SIDE or min(*strides, *dilations) < 1:
        raise BadShape(f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)}")
    lines, pads = [], []
    borders = _borders(node, rank, (tensor.height, tensor.width), kernel, strides, dilations)
    for size, stride, (before, after) in zip((tensor.height, tensor.width), strides, borders, strict=True):
        line = [x // stride if x % stride == 0 else -1 for x in range((size - 1) * stride + 1)]
        lines.append(tuple(line[max(0, -before) : len(line) - max(0, -after)]))
        pads.append((max(0, before), max(0, after)))
        if not lines[-1] or max(before, after) > LONGEST_SIDE:
            raise BadShape(f"pads that leave nothing of {list(tensor.shape)}")
    spread = builder.pick(node.name, tensor, lines[0], lines[1], order)
    (top, bottom), (left, right) = pads
    window = Window(kernel=(kernel[0], kernel[1]), pads=(top, left, bottom, right), dilation=dilations)
    height, width = (
        spread_size + sum(pad) - (k - 1) * d
        for spread_size, pad, k, d in zip((spread.height, spread.width), pads, kernel, dilations, strict=True)
    )
    mirrored = _mirrored(weights.reshape(*weights.shape[:2], *kernel), groups)
    operation = Conv(window=window, weights=mirrored, bias=bias_of(node, 2, len(mirrored)), groups=groups)
    return builder.layer(node.name, operation, spread, (len(mirrored), height, width), order)


def _mirrored(weights: FloatArray, groups: int) -> FloatArray:
    """[in, out / groups, h, w] -> [out, in / groups, h, w], rows and columns backwards."""
    ins, outs, *kernel = weights.shape
    grouped = weights.reshape(groups, ins // groups, outs, *kernel).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grouped.reshape(groups * outs, ins // groups, *kernel)[:, :, ::-1, ::-1])


def _borders(
    node: OnnxNode, rank: int, sizes: Pair, kernel: tuple[int, ...], strides: Pair, dilations: Pair
) -> list[Pair]:
    """Zeros before and behind the spread line of each axis; negative ones cut it."""
    extra = pair(node, "output_padding", rank, 0)
    given = node.integers("pads") or (0,) * (2 * rank)
    wanted = node.integers("output_shape")
    auto = node.text("auto_pad", "NOTSET")
    if len(given) != 2 * rank or min((0, *given)) < 0 or min(extra) < 0:
        raise BadShape(f"pads {list(given)}, output_padding {list(extra)}: expected {2 * rank} and {rank} values >= 0")
    if wanted is not None:
        wanted = wanted[-rank:]
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise BadShape(f"auto_pad {auto!r}")
    borders = []
    for axis, (size, k, stride, dilation) in enumerate(zip(sizes, kernel, strides, dilations, strict=True)):
        reach, at = (k - 1) * dilation, axis - (2 - rank)
        head, tail = (0, 0) if at < 0 or auto == "VALID" else (given[at], given[at + rank])
        target = None
        if at >= 0 and wanted:
            target = wanted[at]
        elif at >= 0 and auto.startswith("SAME"):
            target = size * stride
        if target is not None:
            total = stride * (size - 1) + extra[axis] + reach + 1 - target
            short, long = max(0, total) // 2, max(0, total) - max(0, total) // 2
            head, tail = (short, long) if auto == "SAME_UPPER" else (long, short)
            tail += min(0, total) if wanted else 0  # more than the kernel reaches: the bias alone, behind
        borders.append((reach - head, reach - tail + extra[axis]))
    return borders
