"""Unfoldings as flat arrays: what every closed form over a partition needs, computed once for a crossbar's shape."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import LayerMatrix, LongArray, Unfoldings
from pimcomp.ir.graph import Conv, Graph


def unfoldings_of(graph: Graph, matrices: Sequence[LayerMatrix]) -> Unfoldings:
    """The arrays of these unfoldings, in their order."""
    groups = [group for matrix in matrices for group in matrix.groups]
    pieces = [copy_pieces(graph, matrix) for matrix in matrices]
    runs = [np.diff(first, append=matrix.rows) for first, matrix in zip(pieces, matrices, strict=True)]
    copies = [copy for first, matrix in zip(pieces, matrices, strict=True) for copy in _copies(first, matrix)]
    spans = [[stop - start for start, stop in group.col_spans] for group in groups]
    nodes = [graph.nodes[matrix.node] for matrix in matrices]
    return Unfoldings(
        node=_longs(matrix.node for matrix in matrices),
        block=_longs(matrix.unfolding.block for matrix in matrices),
        scatter=_longs(matrix.unfolding.scatter for matrix in matrices),
        kernel_rows=_longs(n.operation.window.kernel[0] for n in nodes if isinstance(n.operation, Conv)),
        channels=_longs(node.channels for node in nodes),
        rows=_longs(matrix.rows for matrix in matrices),
        columns=_longs(matrix.columns for matrix in matrices),
        firings=_longs(firings(graph, matrix) for matrix in matrices),
        group_start=starts(len(matrix.groups) for matrix in matrices),
        run_start=starts(map(len, runs)),
        run=_joined(runs),
        crossbars=_longs(group.crossbars for group in groups),
        weight_bits=_longs(group.precision.weight_bits for group in groups),
        activation_bits=_longs(group.precision.activation_bits for group in groups),
        group_columns=_longs(map(sum, spans)),
        copy_start=starts(map(len, copies)),
        copy=_joined(copies),
        span_start=starts(map(len, spans)),
        span=_longs(width for widths in spans for width in widths),
    )


def firings(graph: Graph, matrix: LayerMatrix) -> int:
    """Window blocks per inference: how often one replica's array groups fire if it is alone."""
    node = graph.nodes[matrix.node]
    if matrix.unfolding.scatter:
        source = graph.nodes[int(node.inputs[0].sources[0])]
        return source.height * -(-source.width // matrix.unfolding.scatter)
    return node.height * -(-node.width // matrix.unfolding.block)


def copy_pieces(graph: Graph, matrix: LayerMatrix) -> LongArray:
    """Row indices where a new contiguous run of the feature map begins (0 included): int64[runs]."""
    channels = np.array([node.channels for node in graph.nodes])
    linear = matrix.row_dx.astype(np.int64) * channels[matrix.row_source] + matrix.row_channel
    breaks = (np.diff(linear) != 1) | (np.diff(matrix.row_dy) != 0) | (np.diff(matrix.row_source) != 0)
    return np.concatenate([[0], np.flatnonzero(breaks) + 1])


def starts(lengths: Iterable[int]) -> LongArray:
    """int64[n + 1]: where each of so many elements begin, and their end."""
    return np.cumsum([0, *lengths]).astype(np.int64)


def sums(values: npt.NDArray[Any], start: LongArray) -> npt.NDArray[Any]:
    """Sums of values[start[i]:start[i + 1]], 0 where there are none."""
    filled = np.flatnonzero(np.diff(start))
    result = np.zeros(len(start) - 1, values.dtype)
    result[filled] = np.add.reduceat(values, start[filled]) if len(filled) else 0
    return result


def _copies(first: LongArray, matrix: LayerMatrix) -> list[LongArray]:
    """Per array group the runs that gather its part of the patch, none if it lies contiguously in a row buffer.

    first: where the matrix's contiguous runs begin.
    """
    stop = np.append(first[1:], matrix.rows)
    result = []
    for group in matrix.groups:
        a = int(np.searchsorted(first, group.row_start, side="right")) - 1
        b = int(np.searchsorted(first, group.row_stop - 1, side="right"))
        lengths = np.minimum(stop[a:b], group.row_stop) - np.maximum(first[a:b], group.row_start)
        result.append(lengths if b - a > 1 else lengths[:0])
    return result


def _longs(values: Iterable[int]) -> LongArray:
    return np.fromiter(values, dtype=np.int64)


def _joined(parts: Sequence[LongArray]) -> LongArray:
    return np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64)
