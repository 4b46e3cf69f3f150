"""Tasks, buffers and transfers of one image, as arrays: everything that is known before time and addresses.

A task is a row segment of one node on one core. A buffer is a core's copy of some columns of one row of a feature
map: it is produced, received, sent from and read in place. Buffers of a core that touch are one buffer.
"""

from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]

LOAD, CONV, JOIN, VECTOR, STORE, CONST = range(6)

FLAT_JOIN = 4  # sites with up to this many cores send all partial sums to the head; larger ones add in a binary tree
ALIGNMENT_BYTES = 64  # of what lies in global memory: full beats on every configuration we ship


class Tasks(NamedTuple):
    """What a task is, and columns [start, stop) of its row, of which [keep, stop) are its own. out: the segment whose
    result it writes (-1: none). All columns here are int64."""

    kind: LongArray
    node: LongArray
    core: LongArray
    row: LongArray
    start: LongArray
    keep: LongArray
    stop: LongArray
    out: LongArray


class Accesses(NamedTuple):
    """Columns [low, high) of row `row` of node `tensor` that a task reads or writes on its core; rows of zeros have
    row -1 (above the map) or the map's height (below). valid: 0 if there is no such row, and nothing is read.
    """

    task: LongArray
    core: LongArray
    tensor: LongArray
    row: LongArray
    low: LongArray
    high: LongArray
    valid: LongArray


class MapSegments(NamedTuple):
    """Segments of all feature maps, by node, row and column: columns [low, high), owned by a core; task `final`
    completes them. That task writes from column `begin` on, which may lie before `low`.
    """

    node: LongArray
    row: LongArray
    low: LongArray
    high: LongArray
    begin: LongArray
    owner: LongArray
    final: LongArray


class Sums(NamedTuple):
    """Partial sums that travel: the core that holds one, and its size."""

    core: LongArray
    bytes: LongArray


class PartSums(NamedTuple):
    """What joins add to their columns of a sum, from byte `at` on: `elements` of sum `sum`, from byte `skip` on."""

    sum: LongArray
    skip: LongArray
    at: LongArray
    elements: LongArray


class SumTransfers(NamedTuple):
    """Messages from sum `src`, from byte `skip` on, to sum `dst`, after task `producer` and before task `consumer`."""

    src: LongArray
    skip: LongArray
    dst: LongArray
    producer: LongArray
    consumer: LongArray
    bytes: LongArray


class Edges(NamedTuple):
    """Action `before` ends before action `after` starts."""

    before: LongArray
    after: LongArray


class Buffers(NamedTuple):
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


class Transfers(NamedTuple):
    """Messages: `bytes` from (src_buffer, src_offset) to (dst_buffer, dst_offset); after task `producer`."""

    src_core: LongArray
    dst_core: LongArray
    src_buffer: LongArray
    src_offset: LongArray
    dst_buffer: LongArray
    dst_offset: LongArray
    bytes: LongArray
    producer: LongArray


Columns = TypeVar("Columns", bound=NamedTuple)


class Stack(Generic[Columns]):
    """Grows columns of equal length by blocks of rows."""

    def __init__(self, kind: type[Columns]) -> None:
        self.kind, self.rows = kind, 0
        self.blocks: list[Columns] = []

    def add(self, block: Columns) -> LongArray:
        """Append rows; returns their numbers."""
        self.blocks.append(block)
        numbers = np.arange(self.rows, self.rows + len(block[0]))
        self.rows += len(numbers)
        return numbers

    def joined(self) -> Columns:
        """All rows."""
        none = np.zeros(0, np.int64)
        return self.kind._make(
            np.concatenate([none, *[b[i] for b in self.blocks]]) for i in range(len(self.kind._fields))
        )


def select(columns: Columns, rows: npt.NDArray[np.generic] | slice) -> Columns:
    """Some rows of all columns, by their numbers or a mask."""
    return columns._make(column[rows] for column in columns)


def stack(*parts: Columns) -> Columns:
    """Rows of all parts, one after the other."""
    return parts[0]._make(np.concatenate(column) for column in zip(*parts, strict=True))


def same(value: int, rows: LongArray) -> LongArray:
    """A column of one value."""
    return np.full(len(rows), value, dtype=np.int64)
