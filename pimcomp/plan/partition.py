"""Weights to array groups: unfold every layer into a matrix and cut it into slices that one `mvmul` fires.

A slice takes up to `crossbar_rows` consecutive rows; of the columns it takes those that its rows can influence, so that
grouped and depthwise convolutions, window blocks and kernels with zeros around them occupy only their non-zero blocks.
A slice wider than a core is cut by columns. Source: PIMCOMP-NN's node partition (docs/glossary.md) generalised to
blocks, groups and physical columns.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pimcomp.errors import CapacityError
from pimcomp.ir.arch import Arch
from pimcomp.ir.array_group import ArrayGroup, LayerMatrix, Partition, Unfolding
from pimcomp.ir.graph import Conv, FloatArray, Graph, IntArray, Node
from pimcomp.plan.rows import sources_of
from pimcomp.plan.unfoldings import firings, unfoldings_of

BoolArray = npt.NDArray[np.bool_]
Spans = tuple[tuple[int, int], ...]  # column intervals
Known = dict[object, tuple[IntArray, tuple[LayerMatrix, ...]]]  # unfoldings by layer, with the nodes that it read

MAX_BLOCK = 8  # windows per MVM that are tried; more only widens the array group


def partition(graph: Graph, arch: Arch, known: Known | None = None) -> Partition:
    """Every weighted layer's useful unfoldings; the first is the plain one (one window per MVM).

    known: remembers the layers of several graphs for one chip.

    Raises CapacityError if a single column of crossbars is wider than a core can hold (never for valid chips).
    """
    nodes = graph.weighted()
    options = tuple(useful_unfoldings(graph, node, arch, known) for node in nodes)
    flat = unfoldings_of(graph, [matrix for offered in options for matrix in offered])
    return Partition(nodes, options, flat, _layers_read(graph, nodes))


def _layers_read(graph: Graph, nodes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Per weighted layer those (by k) that it depends on without another one between."""
    layer = {node: k for k, node in enumerate(nodes)}
    read: list[set[int]] = []
    for node in graph.nodes:
        read.append(set().union(*({layer[s]} if s in layer else read[s] for s in sources_of(node))))
    return tuple(tuple(sorted(read[node])) for node in nodes)


def useful_unfoldings(graph: Graph, node: int, arch: Arch, known: Known | None = None) -> tuple[LayerMatrix, ...]:
    """Unfoldings in growing block size, each with fewer MVMs per inference than all before it.

    known: remembers those of layers that differ in numbers of nodes and values of weights alone.
    """
    layer, reach = graph.nodes[node], _reach(conv_of(graph.nodes[node]))
    if known is None:
        return _found_unfoldings(graph, node, arch, reach)
    conv, view = conv_of(layer), layer.inputs[0]
    sources, place = np.unique(view.sources, return_inverse=True)
    read = graph.nodes[int(sources[0])]
    shapes = (conv.weights.shape, layer.channels, layer.height, layer.width, read.height, read.width)
    taps = b"" if reach.all() else reach.tobytes()
    key = (conv.window, conv.groups, conv.precision, shapes, place.tobytes(), view.channels.tobytes(), taps)
    if key not in known:
        known[key] = sources, _found_unfoldings(graph, node, arch, reach)
    then, found = known[key]
    now = np.zeros(int(then[-1]) + 1, np.int32)
    now[then] = sources
    return tuple(replace(matrix, node=node, row_source=now[matrix.row_source]) for matrix in found)


def _found_unfoldings(graph: Graph, node: int, arch: Arch, reach: BoolArray) -> tuple[LayerMatrix, ...]:
    plain = unfold(graph, node, arch, Unfolding(1), reach)
    chosen, best = [plain], firings(graph, plain) * len(plain.groups)
    for block in range(2, min(MAX_BLOCK, graph.nodes[node].width) + 1):
        matrix = unfold(graph, node, arch, Unfolding(block), reach)
        cost = firings(graph, matrix) * len(matrix.groups)
        if cost < best and max(g.crossbars for g in matrix.groups) <= arch.crossbars_per_core:
            chosen.append(matrix)
            best = cost
    if scatters(graph, node):
        channels = len(graph.nodes[node].inputs[0].sources)
        matrix = unfold(graph, node, arch, Unfolding(scatter=max(1, arch.crossbar_rows // channels)), reach)
        if max(g.crossbars for g in matrix.groups) <= arch.crossbars_per_core:
            chosen.append(matrix)
    return tuple(chosen)


def scatters(graph: Graph, node: int) -> bool:
    """Whether input-side unfolding is defined for a layer: dense, stride and dilation 1, a kernel of more than one
    tap."""
    conv = conv_of(graph.nodes[node])
    window = conv.window
    out = graph.nodes[node]
    dense = conv.groups == 1 and window.stride == (1, 1) and window.dilation == (1, 1)
    # Fully connected layers (one window) would fire once per input pixel for nothing.
    return dense and window.kernel[0] * window.kernel[1] > 1 and out.height * out.width > 1


def unfold(graph: Graph, node: int, arch: Arch, unfolding: Unfolding, reach: BoolArray | None = None) -> LayerMatrix:
    """Row meanings of a layer's unfolded matrix and its array groups.

    reach: the layer's `_reach`, where it is at hand.
    """
    conv, view = conv_of(graph.nodes[node]), graph.nodes[node].inputs[0]
    kernel_h, kernel_w = conv.window.kernel
    dilation_h, dilation_w = conv.window.dilation
    taps = np.arange(kernel_w) * dilation_w
    shifts = np.arange(unfolding.block) * conv.window.stride[1]
    dy, dx = np.arange(kernel_h) * dilation_h, np.unique(taps[:, None] + shifts)
    columns = unfolding.block * graph.nodes[node].channels
    if unfolding.scatter:
        dy, dx = np.zeros(1, dtype=np.int64), np.arange(unfolding.scatter)
        columns = kernel_h * (unfolding.scatter + kernel_w - 1) * graph.nodes[node].channels
    physical = np.lexsort((view.channels, view.sources))
    blocks = []
    for source in np.unique(view.sources):
        inputs = physical[view.sources[physical] == source]
        grid = np.meshgrid(dy, dx, inputs, indexing="ij")
        rows = np.stack([axis.ravel() for axis in grid])
        blocks.append(np.vstack([np.full(rows.shape[1], source), rows[:2], view.channels[rows[2]], rows[2]]))
    table = np.concatenate(blocks, axis=1).astype(np.int32)
    reach = _reach(conv) if reach is None else reach
    groups = _cut(conv, reach, table, unfolding, columns, arch, graph.nodes[node].name)
    source, row_dy, row_dx, channel, row_input = table
    return LayerMatrix(node, unfolding, source, row_dy, row_dx, channel, row_input, columns, groups)


def weights_of(graph: Graph, matrix: LayerMatrix, group: ArrayGroup) -> FloatArray:
    """float32[rows, columns] that the crossbars of an array group hold."""
    conv = conv_of(graph.nodes[matrix.node])
    out_channels = graph.nodes[matrix.node].channels
    rows = slice(group.row_start, group.row_stop)
    columns = np.concatenate([np.arange(start, stop) for start, stop in group.col_spans])
    if matrix.unfolding.scatter:
        return np.ascontiguousarray(_scattering_weights(conv, matrix, rows)[:, columns])
    window, channel = columns // out_channels, columns % out_channels
    per_group_in, per_group_out = conv.weights.shape[1], out_channels // conv.groups
    tap_y = matrix.row_dy[rows] // conv.window.dilation[0]
    offset = matrix.row_dx[rows, None] - window * conv.window.stride[1]
    tap_x, rest = offset // conv.window.dilation[1], offset % conv.window.dilation[1]
    in_group = matrix.row_input[rows] // per_group_in
    valid = (tap_x >= 0) & (tap_x < conv.window.kernel[1]) & (rest == 0)
    valid &= in_group[:, None] == channel // per_group_out
    values = conv.weights[
        channel[None, :],
        (matrix.row_input[rows] % per_group_in)[:, None],
        tap_y[:, None],
        np.clip(tap_x, 0, conv.window.kernel[1] - 1),
    ]
    return np.where(valid, values, np.float32(0)).astype(np.float32)


def _scattering_weights(conv: Conv, matrix: LayerMatrix, rows: slice) -> FloatArray:
    """float32[rows, columns]: pixel dx contributes to output position q with kernel column dx + width - 1 - q."""
    kernel_w = conv.window.kernel[1]
    positions = matrix.unfolding.scatter + kernel_w - 1
    tap = matrix.row_dx[rows, None] + kernel_w - 1 - np.arange(positions)
    valid = (tap >= 0) & (tap < kernel_w)
    values = conv.weights[:, matrix.row_input[rows, None], :, np.clip(tap, 0, kernel_w - 1)]  # [rows, q, out, dy]
    values = np.where(valid[:, :, None, None], values, np.float32(0))
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)).reshape(len(tap), -1).astype(np.float32)


def conv_of(node: Node) -> Conv:
    """The operation of a node that is known to have weights."""
    assert isinstance(node.operation, Conv), node.name
    return node.operation


def _cut(
    conv: Conv, reach: BoolArray, table: np.ndarray, unfolding: Unfolding, columns: int, arch: Arch, name: str
) -> tuple[ArrayGroup, ...]:
    weight_cols = int(arch.weight_cols_at(conv.precision.weight_bits))
    widest = arch.crossbars_per_core * weight_cols
    if widest < 1:
        raise CapacityError("columns per core", columns, widest, ("crossbars_per_core",), where=name)
    groups, full = [], conv.groups == 1 and bool(reach.all())
    for start in range(0, table.shape[1], arch.crossbar_rows):
        stop = min(start + arch.crossbar_rows, table.shape[1])
        if full and (unfolding.block == 1 or unfolding.scatter):
            spans: Spans = ((0, columns),)
        elif full:
            spans = _windows_met(conv, table[2, start:stop], unfolding, columns)
        else:
            spans = _influence(conv, reach, table[:, start:stop], unfolding)
        while spans:
            piece, spans = _take(spans, widest)
            width = sum(b - a for a, b in piece)
            groups.append(ArrayGroup(start, stop, piece, -(-width // weight_cols), conv.precision))
    return tuple(groups)


def _reach(conv: Conv) -> BoolArray:
    """bool[out_channels, kernel_h, kernel_w]: which taps of a filter have weights.

    All of them, unless filters of different kernels lie side by side: a filter or a tap without any weight counts as
    full, so that every input element still enters an MVM and every output comes out of one.
    """
    reach = np.ones((len(conv.weights), *conv.window.kernel), dtype=bool)
    if reach[0].size == 1:
        return reach
    found = (conv.weights != 0).any(axis=1)
    return reach if found.all() or not found.any(axis=0).all() else found | ~found.any(axis=(1, 2), keepdims=True)


def _windows_met(conv: Conv, dx: np.ndarray, unfolding: Unfolding, columns: int) -> Spans:
    """Column intervals of a block's windows that take one of these rows, where every filter takes every tap."""
    offset = np.unique(dx)[:, None] - np.arange(unfolding.block) * conv.window.stride[1]
    taps = conv.window.kernel[1] * conv.window.dilation[1]
    met = ((offset >= 0) & (offset < taps) & (offset % conv.window.dilation[1] == 0)).any(axis=0)
    channels = columns // unfolding.block
    return tuple((start * channels, stop * channels) for start, stop in _intervals(met))


def _influence(conv: Conv, reach: BoolArray, rows: np.ndarray, unfolding: Unfolding) -> Spans:
    """Column intervals that at least one of these rows can influence."""
    out_channels, kernel_h, kernel_w = reach.shape
    _, dy, dx, _, row_input = rows
    if unfolding.scatter:
        touched = np.zeros((kernel_h, unfolding.scatter + kernel_w - 1, out_channels), dtype=bool)
        for pixel in np.unique(dx):
            for tap in range(kernel_w):
                touched[:, pixel + kernel_w - 1 - tap] |= reach[:, :, tap].T
        return _intervals(touched.ravel())
    taps = reach.reshape(conv.groups, out_channels // conv.groups, kernel_h * kernel_w)
    part, y = row_input // conv.weights.shape[1], dy // conv.window.dilation[0]
    windows = []
    for window in range(unfolding.block):
        offset = dx - window * conv.window.stride[1]
        x = offset // conv.window.dilation[1]
        reaches = (offset % conv.window.dilation[1] == 0) & (x >= 0) & (x < kernel_w)
        met = np.zeros((conv.groups, kernel_h * kernel_w), dtype=bool)
        met[part[reaches], y[reaches] * kernel_w + x[reaches]] = True
        windows.append((taps & met[:, None]).any(axis=2).ravel())
    return _intervals(np.concatenate(windows))


def _intervals(touched: BoolArray) -> Spans:
    """Runs of true elements as (start, stop)."""
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    return tuple((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))


def _take(spans: Spans, width: int) -> tuple[Spans, Spans]:
    """The first `width` columns of the spans, and the rest."""
    taken: list[tuple[int, int]] = []
    for index, (start, stop) in enumerate(spans):
        if stop - start > width:
            if width:
                taken.append((start, start + width))
            return tuple(taken), ((start + width, stop), *spans[index + 1 :])
        taken.append((start, stop))
        width -= stop - start
    return tuple(taken), ()
