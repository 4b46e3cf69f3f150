"""Relocatable instructions: operands are (buffer, byte offset) until the allocator has placed the buffers."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel

LITERAL = -1  # buffer of an operand that is a plain number (stride, bound, global address)
SCRATCH = -2  # the scratch area of the core that executes the instruction


class Tape(NamedTuple):
    """Structure of arrays of one entry per instruction; see `pimcomp.ir.program.Table` for the meaning of the
    columns."""

    op: npt.NDArray[np.uint8]
    group: npt.NDArray[np.int32]
    dst_buffer: npt.NDArray[np.int32]
    dst_offset: npt.NDArray[np.int64]
    src_buffer: npt.NDArray[np.int32]
    src_offset: npt.NDArray[np.int64]
    src2_buffer: npt.NDArray[np.int32]
    src2_offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int32]
    task: npt.NDArray[np.int32]


def blank_tape(rows: int) -> Tape:
    """A tape of `rows` instructions to be filled by `put`."""
    return Tape(
        np.zeros(rows, np.uint8),
        np.full(rows, -1, np.int32),
        np.full(rows, LITERAL, np.int32),
        np.zeros(rows, np.int64),
        np.full(rows, LITERAL, np.int32),
        np.zeros(rows, np.int64),
        np.full(rows, LITERAL, np.int32),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int32),
        np.zeros(rows, np.int32),
    )


@kernel
def put(tape, at, task, op, dst, dst_at, src, src_at, src2, src2_at, size):
    """Write one instruction and return the next position; a tape of length 0 only counts."""
    if len(tape.op) > 0:
        tape.op[at] = op
        tape.dst_buffer[at] = dst
        tape.dst_offset[at] = dst_at
        tape.src_buffer[at] = src
        tape.src_offset[at] = src_at
        tape.src2_buffer[at] = src2
        tape.src2_offset[at] = src2_at
        tape.size[at] = size
        tape.task[at] = task
    return at + 1
