"""Relocatable instructions: operands are (buffer, byte offset) until the allocator has placed the buffers."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.work import LongArray

Operand: TypeAlias = tuple[int, int]  # buffer, byte offset

LITERAL = -1  # buffer of an operand that is a plain number (stride, bound, global address)
SCRATCH = -2  # the scratch area of the core that executes the instruction
NOTHING = (LITERAL, 0)
SCRATCH_START = (SCRATCH, 0)

LMV, MVMUL = int(Op.LMV), int(Op.MVMUL)


class Tape(NamedTuple):
    """Structure of arrays of one entry per instruction, by task; see `pimcomp.ir.program.Table` for the meaning of the
    columns."""

    op: npt.NDArray[np.uint8]
    group: npt.NDArray[np.int32]
    dst_buffer: npt.NDArray[np.int32]
    dst_offset: LongArray
    src_buffer: npt.NDArray[np.int32]
    src_offset: LongArray
    src2_buffer: npt.NDArray[np.int32]
    src2_offset: LongArray
    size: npt.NDArray[np.int32]
    task: npt.NDArray[np.int32]


class Pen(NamedTuple):
    """Writes instructions on a tape; on one of length 0 it only counts them.

    row: per task, where its next instruction goes. task: the one in hand.
    """

    tape: Tape
    row: LongArray
    task: LongArray  # int64[1]
    element_bytes: int


def pen_for(counts: LongArray, element_bytes: int) -> Pen:
    """A pen and a blank tape for that many instructions of every task."""
    rows = int(counts.sum())
    places = [(np.full(rows, LITERAL, np.int32), np.zeros(rows, np.int64)) for _ in range(3)]
    (dst, dst_at), (src, src_at), (src2, src2_at) = places
    op, group, size = np.zeros(rows, np.uint8), np.full(rows, -1, np.int32), np.zeros(rows, np.int32)
    task = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    tape = Tape(op, group, dst, dst_at, src, src_at, src2, src2_at, size, task)
    return Pen(tape, np.cumsum(counts) - counts, np.zeros(1, np.int64), element_bytes)


@kernel
def put(pen: Pen, op: int, dst: Operand, src: Operand, src2: Operand, size: int) -> None:
    """Write the next instruction of the task in hand."""
    tape, task = pen.tape, pen.task[0]
    at = pen.row[task]
    pen.row[task] = at + 1
    if len(tape.op) > 0:
        tape.op[at] = op
        tape.dst_buffer[at], tape.dst_offset[at] = dst
        tape.src_buffer[at], tape.src_offset[at] = src
        tape.src2_buffer[at], tape.src2_offset[at] = src2
        tape.size[at] = size


@kernel
def move(pen: Pen, dst: Operand, src: Operand, size: int) -> None:
    """Copy so many bytes."""
    put(pen, LMV, dst, src, NOTHING, size)


@kernel
def fire(pen: Pen, dst: Operand, src: Operand, group: int) -> None:
    """An array group, by its number in the core, multiplies a vector."""
    put(pen, MVMUL, dst, src, NOTHING, 0)
    if len(pen.tape.op) > 0:
        pen.tape.group[pen.row[pen.task[0]] - 1] = group


@kernel
def plus(place: Operand, offset: int) -> Operand:
    """So many bytes further in the same buffer."""
    return place[0], place[1] + offset
