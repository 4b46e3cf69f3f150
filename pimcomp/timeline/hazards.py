"""Local-memory ranges that the reorder buffer compares: which instructions wait for which.

A new instruction waits for an unfinished older one when its writes meet the older one's reads or its reads the older
one's writes; two writes never conflict. Ranges are closed intervals [first, first + bytes], so buffers that touch
conflict. Both are the simulator's behaviour, as are the exceptions below.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import (
    BYTES,
    LOAD,
    LOCAL,
    LOCKS,
    MATRIX,
    NONE,
    ONE_OUTPUT,
    OUTPUT,
    RECV,
    SEND,
    SRC,
    STORE,
    TWO_LOCKS,
    UNIT,
    VECTOR,
)
from pimcomp.timeline.work import Instructions, column_bytes

# Rows of the table of ranges.
READ_FIRST, READ_LAST, READ2_FIRST, READ2_LAST, WRITE_FIRST, WRITE_LAST = range(6)
RANGE_COLUMNS = 6
_NOTHING_FIRST, _NOTHING_LAST = np.int64(1) << 40, -(np.int64(1) << 40)


def ranges_of(stream: Instructions, arch: Arch) -> npt.NDArray[np.int64]:
    """int64[instructions, 6]: first and last address of both reads and of the write; empty ranges meet nothing."""
    ranges = np.empty((len(stream.op), RANGE_COLUMNS), np.int64)
    write_ranges(stream, arch, ranges, 0)
    return ranges


def write_ranges(stream: Instructions, arch: Arch, rows: npt.NDArray[np.int64], first: int) -> None:
    """The same into an array of the caller's, where ranges begin in column `first`."""
    widths = (stream.widths.input_bytes.astype(np.int64), stream.widths.output_bytes.astype(np.int64))
    _fill(stream, (*widths, column_bytes(stream.widths, arch)), arch.crossbar_rows, rows, first)


@kernel
def conflict(rows: npt.NDArray[np.int64], first: int, new: int, old: int) -> bool:
    """Whether instruction `new` has to wait for `old`, an older one. first: the column where ranges begin."""
    write_first, write_last = rows[new, first + WRITE_FIRST], rows[new, first + WRITE_LAST]
    old_first, old_last = rows[old, first + WRITE_FIRST], rows[old, first + WRITE_LAST]
    return bool(
        (write_last >= rows[old, first + READ_FIRST] and write_first <= rows[old, first + READ_LAST])
        or (write_last >= rows[old, first + READ2_FIRST] and write_first <= rows[old, first + READ2_LAST])
        or (rows[new, first + READ_LAST] >= old_first and rows[new, first + READ_FIRST] <= old_last)
        or (rows[new, first + READ2_LAST] >= old_first and rows[new, first + READ2_FIRST] <= old_last)
    )


@kernel
def _fill(
    stream: Instructions,
    widths: tuple[LongArray, LongArray, LongArray],
    crossbar_rows: int,
    rows: npt.NDArray[np.int64],
    first: int,
) -> None:
    """widths: bytes of an input and of an output element, and of what a crossbar writes back, by setting."""
    op, dst, src, src2 = stream.op, stream.dst, stream.src, stream.src2
    input_bytes, output_bytes, crossbar_bytes = widths
    for i in range(len(op)):
        out = rows[i, first:]
        for column in range(0, RANGE_COLUMNS, 2):
            out[column], out[column + 1] = _NOTHING_FIRST, _NOTHING_LAST
        kind = UNIT[op[i]]
        n, w = np.int64(stream.size[i]), stream.width[i]
        read = written = np.int64(-1)
        if kind == MATRIX:
            read, written = crossbar_rows * input_bytes[w], crossbar_bytes[w] * stream.crossbars[i]
        elif kind == VECTOR:
            locks = LOCKS[op[i]]
            if locks == NONE:  # the simulator locks nothing for a gather
                continue
            read = n * input_bytes[w]
            written = output_bytes[w] if locks == ONE_OUTPUT else n * output_bytes[w] if locks == OUTPUT else read
            if TWO_LOCKS[op[i]]:
                out[READ2_FIRST] = src2[i]
                out[READ2_LAST] = src2[i] + read
        elif kind == LOCAL:
            if SRC[op[i]] == BYTES:
                read = written = np.int64(stream.lock_size[i])
            else:
                written = np.int64(1)
        elif kind == SEND:
            read = n
        elif kind == RECV:
            written = n
        elif kind == LOAD:  # its 64-bit register read loses the local address: the range starts at 0
            out[WRITE_FIRST] = 0
            out[WRITE_LAST] = n
        elif kind == STORE:
            out[READ_FIRST] = 0
            out[READ_LAST] = n
        if read >= 0:
            out[READ_FIRST] = src[i]
            out[READ_LAST] = src[i] + read
        if written >= 0:
            out[WRITE_FIRST] = dst[i]
            out[WRITE_LAST] = dst[i] + written
