"""Which bytes each instruction of a table reads and writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pimcomp.ir.brief import brief
from pimcomp.ir.program import LongArray, Op, Program

_ONE_RESULT = (Op.VVDMUL, Op.VAVG)


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Extents:
    """int64[rows] each: local byte ranges [address, address + bytes) read as first and second operand and written.

    bytes is 0 where an instruction has no such operand (a global one is none).
    """

    read: LongArray
    read_bytes: LongArray
    read2: LongArray
    read2_bytes: LongArray
    write: LongArray
    write_bytes: LongArray

    def local(self) -> Iterator[tuple[LongArray, LongArray]]:
        """(address, bytes) of the three operands."""
        yield self.read, self.read_bytes
        yield self.read2, self.read2_bytes
        yield self.write, self.write_bytes


def extents(program: Program) -> Extents:
    """The local byte ranges of every row; mvmul's follow from its group's matrix. Groups must exist."""
    table, width = program.table, program.element_bytes
    op = table.op
    mvmul, size = op == Op.MVMUL, table.size.astype(np.int64)
    vector = (op > Op.MVMUL) & (op < Op.LD)
    two = (op >= Op.VVADD) & (op <= Op.VVSRA)
    strided = np.isin(op, (Op.VAVG, Op.VMV))
    span = np.where(strided, (size - 1) * np.where(strided, table.src2, 1) + 1, size) * width
    elements = np.where(np.isin(op, _ONE_RESULT), 1, size) * width
    read_bytes = np.where(vector, span, np.where(np.isin(op, (Op.ST, Op.SEND, Op.LMV)), size, 0))
    write_bytes = np.where(vector, elements, np.where(np.isin(op, (Op.LD, Op.LLDI, Op.RECV, Op.LMV)), size, 0))
    if mvmul.any():
        shapes = np.array([matrix.shape for matrix in program.matrices], np.int64)
        core = np.repeat(np.arange(program.cores), np.diff(program.core_start))[mvmul]
        shape = shapes[program.group_matrix[program.group_start[core] + table.group[mvmul]]]
        read_bytes[mvmul], write_bytes[mvmul] = shape[:, 0] * width, shape[:, 1] * width
    return Extents(
        read=table.src,
        read_bytes=read_bytes,
        read2=table.src2,
        read2_bytes=np.where(two, size * width, 0),
        write=table.dst,
        write_bytes=write_bytes,
    )
