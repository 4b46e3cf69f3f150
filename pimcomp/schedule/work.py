"""Tasks, buffers and transfers of one image, as arrays: everything that is known before time and addresses.

A task is a row segment of one node on one core. A buffer is a core's copy of some columns of one row of a feature
map: it is produced, received, sent from and read in place. Buffers of a core that touch are one buffer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel

LongArray = npt.NDArray[np.int64]

LOAD, CONV, JOIN, VECTOR, STORE, CONST = range(6)

FLAT_JOIN = 4  # sites with up to this many cores send all partial sums to the head; larger ones add in a binary tree
ALIGNMENT_BYTES = 64  # of what lies in global memory: full beats on every configuration we ship


@dataclass(frozen=True, slots=True, eq=False)
class Accesses:
    """Columns [low, high) of row `row` of node `tensor` that a task reads or writes on its core; rows of zeros have
    row -1 (above the map) or the map's height (below). All int64[accesses].
    """

    task: LongArray
    core: LongArray
    tensor: LongArray
    row: LongArray
    low: LongArray
    high: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Buffers:
    """A core's copy of columns [low, high) of a row; read_low/read_high bound what its tasks read. tensor -1: partial
    sums."""

    core: LongArray
    tensor: LongArray
    row: LongArray
    low: LongArray
    high: LongArray
    read_low: LongArray
    read_high: LongArray
    bytes: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Transfers:
    """Messages: `bytes` from (src_buffer, src_offset) to (dst_buffer, dst_offset); after task `producer`."""

    src_core: LongArray
    dst_core: LongArray
    src_buffer: LongArray
    src_offset: LongArray
    dst_buffer: LongArray
    dst_offset: LongArray
    bytes: LongArray
    producer: LongArray


def merge_accesses(
    accesses: Accesses, is_read: npt.NDArray[np.bool_], rows: int, cores: int
) -> tuple[LongArray, Buffers]:
    """Buffer of every access, and the buffers: accesses of one row on one core that overlap or touch share one."""
    key = (accesses.tensor * cores + accesses.core) * (rows + 2) + accesses.row + 1
    order = np.lexsort((accesses.low, key))
    buffer_of, low, high, read_low, read_high = _sweep(order, key, accesses.low, accesses.high, is_read)
    first = np.zeros(len(low), dtype=np.int64)
    first[buffer_of[::-1]] = np.arange(len(buffer_of) - 1, -1, -1)
    return buffer_of, Buffers(
        accesses.core[first],
        accesses.tensor[first],
        accesses.row[first],
        low,
        high,
        read_low,
        read_high,
        np.zeros(0, np.int64),
    )


@kernel
def _sweep(order, key, low, high, is_read):
    count = len(order)
    buffer_of = np.empty(count, np.int64)
    b_low, b_high = np.empty(count, np.int64), np.empty(count, np.int64)
    r_low, r_high = np.full(count, 2**30, np.int64), np.full(count, -(2**30), np.int64)
    b = -1
    previous = np.int64(-1)
    for i in range(count):
        a = order[i]
        if b < 0 or key[a] != previous or low[a] > b_high[b]:
            b += 1
            b_low[b], b_high[b] = low[a], high[a]
            previous = key[a]
        b_high[b] = max(b_high[b], high[a])
        buffer_of[a] = b
        if is_read[a]:
            r_low[b], r_high[b] = min(r_low[b], low[a]), max(r_high[b], high[a])
    n = b + 1
    return buffer_of, b_low[:n], b_high[:n], r_low[:n], r_high[:n]


@kernel
def find_transfers(
    core, tensor, row, read_low, read_high, row_start, row_index, seg_low, seg_high, seg_owner, fill, out
):
    """Segments that a buffer's readers need from other cores.

    row_start[tensor] + row indexes row_index (CSR into the segments of all nodes, by node and row). Returns the count;
    with `fill`, out int64[count, 4] receives (buffer, segment, low, high).
    """
    count = 0
    for b in range(len(core)):
        if tensor[b] < 0 or read_high[b] <= read_low[b]:
            continue
        rows = row_start[tensor[b] + 1] - row_start[tensor[b]]
        if row[b] < 0 or row[b] >= rows:
            continue
        at = row_start[tensor[b]] + row[b]
        for s in range(row_index[at], row_index[at + 1]):
            low, high = max(read_low[b], seg_low[s]), min(read_high[b], seg_high[s])
            if low < high and seg_owner[s] != core[b]:
                if fill:
                    out[count, 0], out[count, 1], out[count, 2], out[count, 3] = b, s, low, high
                count += 1
    return count


@kernel
def link_readers(
    reader_start, readers, read_task, read_low, read_high, source_buffer, source_low, source_high, source, fill, out
):
    """Edges from what fills a buffer (a transfer or a local task) to the tasks that read those columns.

    reader_start/readers: CSR of read accesses by buffer. source*: per filling, its buffer, columns and action.
    Returns the count; with `fill`, out int64[count, 2] receives (from, to).
    """
    count = 0
    for i in range(len(source)):
        b = source_buffer[i]
        for r in range(reader_start[b], reader_start[b + 1]):
            a = readers[r]
            if read_low[a] < source_high[i] and source_low[i] < read_high[a] and read_task[a] != source[i]:
                if fill:
                    out[count, 0], out[count, 1] = source[i], read_task[a]
                count += 1
    return count
