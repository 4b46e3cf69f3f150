"""What vector tasks read: runs of channels of their sources, and where those lie."""

from typing import NamedTuple

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.emission.tape import Operand
from pimcomp.schedule.work import LongArray


class Run(NamedTuple):
    """Channels of a source that lie side by side there and in the result: `channels` from channel `src` on to `dst`.

    operand: whose source it is. read: the first of its window's `rows` reads, from a task's first. pixel_bytes: of the
    source. broadcast: 1 if its one pixel is combined with all.
    """

    operand: int
    read: int
    rows: int
    src: int
    dst: int
    channels: int
    pixel_bytes: int
    broadcast: int


class VectorConstants(NamedTuple):
    """Where constants of vector nodes begin, in bytes. divisors: of the vector 1 / n, by n, from `divisor_start` of a
    node on. coefficients, terms: of an LRN's polynomial; of a softmax and a normalisation one value per column for each
    constant, and how many steps its iteration takes. weights: of a layer on the vector unit, [kernel
    row, kernel column, channel]."""

    divisor_start: LongArray
    divisors: LongArray
    coefficients: LongArray
    terms: LongArray
    weights: LongArray


class VectorNodes(NamedTuple):
    """Per graph node (unused entries for others): what a vector task does.

    kernel/stride/pad/dilation: columns. width: of the input map. size: channels in the sum of an LRN, rows of a window,
    1 for a normalisation that removes the mean. lanes: channels that a mean gathers together, pixels that a softmax or
    a normalisation has in scratch, pixels that a `Turn` reads at a time. counted_from/counted_to: columns that count in
    an average's divisor. copied_start: into `copied`, the input column of every output column or -1. run_start
    int64[nodes + 1] into the `Run`s, one a row, those of one source side by side.
    """

    kind: LongArray
    kernel: LongArray
    stride: LongArray
    pad: LongArray
    dilation: LongArray
    width: LongArray
    size: LongArray
    lanes: LongArray
    counted_from: LongArray
    counted_to: LongArray
    copied_start: LongArray
    copied: LongArray
    run_start: LongArray
    runs: LongArray
    constants: VectorConstants


class Reader(NamedTuple):
    """What a vector task reads: its buffers (-1: a row of zeros) and the first column of each."""

    buffer: LongArray
    low: LongArray
    first: int


@kernel
def row_of(source: Reader, run: Run, row: int, column: int) -> Operand:
    """Where a column of a row of the window begins; the buffer is negative if the row does not exist."""
    buffer = source.buffer[source.first + run.read + row]
    return buffer, (column - (source.low[buffer] if buffer >= 0 else 0)) * run.pixel_bytes


@kernel
def run_of(v: VectorNodes, r: int) -> Run:
    """One run of a node."""
    row = v.runs[r]
    return Run(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7])
