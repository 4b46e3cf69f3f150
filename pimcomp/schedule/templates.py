"""What a core does for one row segment of a layer, independent of position: which inputs it reads and how it fires.

Two replicas whose cores hold the same array groups share a template. All offsets are bytes relative to the window's
first column, so that the emission kernels only add positions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import LayerMatrix
from pimcomp.ir.graph import Graph, IntArray
from pimcomp.plan.unfoldings import copy_pieces

LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ConvTemplate:
    """One subset of a layer's array groups on one core.

    slots: int32[slots, 4], input rows it reads: (source node, dy, first dx, last dx).
    pieces: int64[pieces, 4], copies into the staging area per window block: (slot, byte offset, bytes, staging offset).
    groups: int64[groups, 6]: (array group, slot or -1 when staged, byte offset in the row or the staging area, columns,
    first span, spans). spans: int32[spans, 2] columns of the block's output.
    staging_bytes: size of the staging area. The first group covers all columns if any does.
    """

    slots: IntArray
    pieces: LongArray
    groups: LongArray
    spans: IntArray
    staging_bytes: int
    block: int
    scatter: int
    columns: int


def conv_template(graph: Graph, matrix: LayerMatrix, members: tuple[int, ...], element_bytes: int) -> ConvTemplate:
    """The template of the array groups `members` of a layer."""
    channels = np.array([node.channels for node in graph.nodes], dtype=np.int64)
    starts = copy_pieces(graph, matrix)
    piece_of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, matrix.rows)))
    rows_used = np.zeros(matrix.rows, dtype=bool)
    staged_rows = np.zeros(matrix.rows, dtype=bool)
    # Groups that cover every column first: the first of them initialises the sum.
    ordered = sorted(members, key=lambda g: (matrix.groups[g].columns != matrix.columns, g))
    for g in members:
        group = matrix.groups[g]
        rows_used[group.row_start : group.row_stop] = True
        if piece_of[group.row_start] != piece_of[group.row_stop - 1]:
            staged_rows[group.row_start : group.row_stop] = True
    linear = (matrix.row_dx.astype(np.int64) * channels[matrix.row_source] + matrix.row_channel) * element_bytes
    slots, slot_of_row = _slots(matrix, rows_used)
    staging = np.cumsum(staged_rows, dtype=np.int64) * element_bytes - element_bytes
    edge = np.flatnonzero(staged_rows & ~_continues(staged_rows, piece_of))
    stop = np.flatnonzero(staged_rows & ~np.append(_continues(staged_rows, piece_of)[1:], False)) + 1
    pieces = np.stack([slot_of_row[edge], linear[edge], (stop - edge) * element_bytes, staging[edge]], axis=1)
    groups: list[tuple[int, ...]] = []
    spans: list[tuple[int, int]] = []
    for g in ordered:
        group = matrix.groups[g]
        first = group.row_start
        direct = not staged_rows[first : group.row_stop].all()
        groups.append(
            (
                g,
                slot_of_row[first] if direct else -1,
                linear[first] if direct else staging[first],
                group.columns,
                len(spans),
                len(group.col_spans),
            )
        )
        spans.extend(group.col_spans)
    return ConvTemplate(
        slots,
        pieces.astype(np.int64).reshape(-1, 4),
        np.array(groups, dtype=np.int64),
        np.array(spans, dtype=np.int32),
        int(staged_rows.sum()) * element_bytes,
        matrix.unfolding.block,
        matrix.unfolding.scatter,
        matrix.columns,
    )


def _continues(staged: npt.NDArray[np.bool_], piece_of: LongArray) -> npt.NDArray[np.bool_]:
    """Whether a staged row continues the copy of the row before it."""
    result = np.zeros(len(staged), dtype=bool)
    result[1:] = staged[1:] & staged[:-1] & (piece_of[1:] == piece_of[:-1])
    return result


def _slots(matrix: LayerMatrix, used: npt.NDArray[np.bool_]) -> tuple[IntArray, LongArray]:
    """Distinct (source, dy) of the used rows with their column reach, and the slot of every row (-1: unused)."""
    keys = np.stack([matrix.row_source, matrix.row_dy], axis=1)
    distinct, inverse = np.unique(keys[used], axis=0, return_inverse=True)
    inverse = inverse.ravel()
    low = np.full(len(distinct), np.iinfo(np.int32).max)
    high = np.full(len(distinct), -1)
    np.minimum.at(low, inverse, matrix.row_dx[used])
    np.maximum.at(high, inverse, matrix.row_dx[used])
    slot = np.full(matrix.rows, -1, dtype=np.int64)
    slot[used] = inverse
    return np.column_stack([distinct, low, high]).astype(np.int32), slot
