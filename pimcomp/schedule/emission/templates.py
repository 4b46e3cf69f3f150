"""What a core does for one row segment of a layer, independent of position: which inputs it reads and how it fires.

Two replicas whose cores hold the same array groups share a template. All offsets are bytes relative to the window's
first column, so that the emission kernels only add positions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.array_group import LayerMatrix
from pimcomp.ir.graph import Conv, Graph
from pimcomp.plan.unfoldings import copy_pieces
from pimcomp.schedule.work import LongArray

# Columns of `ConvTemplate.pieces`: copies per window block from a slot to the staging area.
PIECE_SLOT, PIECE_FROM, PIECE_BYTES, PIECE_TO = range(4)
# Columns of `ConvTemplate.groups`: where the input of an array group begins in the row of its slot, or in the staging
# area if GROUP_SLOT is -1; the columns it has, and its spans.
GROUP, GROUP_SLOT, GROUP_FROM, GROUP_COLUMNS, GROUP_SPAN, GROUP_SPANS = range(6)
# Columns of `ConvTemplate.slots`.
SLOT_SOURCE, SLOT_ROW, SLOT_FIRST, SLOT_LAST = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class ConvTemplate:
    """One subset of a layer's array groups on one core.

    slots: int64[slots, 4], input rows it reads: (source node, dy, first dx, last dx).
    pieces: int64[pieces, 4], see PIECE_SLOT and the following. groups: int64[groups, 6], see GROUP and the following.
    spans: int64[spans, 2] columns of the block's output.
    staging_bytes: size of the staging area. scatter: pixels per MVM, 0: the template gathers.
    """

    slots: LongArray
    pieces: LongArray
    groups: LongArray
    spans: LongArray
    staging_bytes: int
    block: int
    scatter: int
    columns: int


class Templates(NamedTuple):
    """All `ConvTemplate`s of a network, concatenated; `x_start` arrays have one entry more than there are templates.

    slot_bytes: of one column of the slot's source. stride, pad: in columns, the latter on the left. kernel:
    int64[templates, 2]. numbers: core-local numbers of the array groups of sites, which name their first.
    """

    slot_start: LongArray
    slot_bytes: LongArray
    piece_start: LongArray
    pieces: LongArray
    group_start: LongArray
    groups: LongArray
    span_start: LongArray
    spans: LongArray
    staging_bytes: LongArray
    block: LongArray
    columns: LongArray
    scatter: LongArray
    stride: LongArray
    pad: LongArray
    kernel: LongArray
    numbers: LongArray


def join_templates(
    graph: Graph, templates: list[ConvTemplate], nodes: list[int], numbers: list[LongArray], element_bytes: int
) -> Templates:
    """Templates one after the other; nodes: whose they are."""
    windows = [operation.window for n in nodes if isinstance(operation := graph.nodes[n].operation, Conv)]
    channels = np.array([node.channels for node in graph.nodes], dtype=np.int64)

    def starts(name: str) -> LongArray:
        return np.cumsum([0, *[len(getattr(t, name)) for t in templates]]).astype(np.int64)

    def rows(name: str, columns: int) -> LongArray:
        return np.concatenate([np.zeros((0, columns), np.int64), *[getattr(t, name) for t in templates]])

    def each(name: str) -> LongArray:
        return np.array([getattr(t, name) for t in templates], dtype=np.int64)

    return Templates(
        slot_start=starts("slots"),
        slot_bytes=channels[rows("slots", 4)[:, SLOT_SOURCE]] * element_bytes,
        piece_start=starts("pieces"),
        pieces=rows("pieces", 4),
        group_start=starts("groups"),
        groups=rows("groups", 6),
        span_start=starts("spans"),
        spans=rows("spans", 2),
        staging_bytes=each("staging_bytes"),
        block=each("block"),
        columns=each("columns"),
        scatter=each("scatter"),
        stride=np.array([w.stride[1] for w in windows], dtype=np.int64),
        pad=np.array([w.pads[1] for w in windows], dtype=np.int64),
        kernel=np.array([w.kernel for w in windows], dtype=np.int64).reshape(-1, 2),
        numbers=np.concatenate([np.zeros(0, np.int64), *numbers]),
    )


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
        np.array(spans, dtype=np.int64),
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


def _slots(matrix: LayerMatrix, used: npt.NDArray[np.bool_]) -> tuple[LongArray, LongArray]:
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
    return np.column_stack([distinct, low, high]).astype(np.int64), slot
