"""Which bytes instructions read and write."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.brief import brief
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Program, Table
from pimcomp.isa.table import (
    BYTES,
    DST,
    INPUT,
    MATRIX,
    MATRIX_COLUMNS,
    MATRIX_ROWS,
    ONE_OUTPUT,
    OUTPUT,
    SRC,
    SRC2,
    STRIDED,
    UNIT,
)


def fired_groups(table: Table, core_start: LongArray, group_start: LongArray) -> tuple[LongArray, LongArray]:
    """Rows of all mvmuls, and the array group (among those of all cores) that each fires."""
    fires = np.flatnonzero(UNIT[table.op] == MATRIX)
    of_core = np.diff(np.searchsorted(fires, core_start))
    return fires, np.repeat(group_start[:-1], of_core) + table.group[fires]


def mvm_input_bits(
    table: Table, core_start: LongArray, group_start: LongArray, group_activation_bits: IntArray
) -> IntArray:
    """int32[rows]: bits that every mvmul reads of its inputs; 0: the chip's, and for other instructions."""
    fires, group = fired_groups(table, core_start, group_start)
    bits = np.zeros(len(table.op), np.int32)
    bits[fires] = group_activation_bits[group]
    return bits


def stored_weight_bits(arch: Arch, weight_bits: IntArray) -> IntArray:
    """Bits that weights take in cells (`mbiw`). The simulator derives the written-back columns from it, by cells.

    weight_bits: int32[any], of the weights, 0: the chip's.
    """
    return np.asarray(arch.cells_at(weight_bits) * arch.cell_bits, np.int32)


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
    table = program.table
    matrix = np.zeros((2, program.instructions), np.int64)
    fires = np.flatnonzero(UNIT[table.op] == MATRIX)
    if len(fires):
        shapes = np.array([values.shape for values in program.matrices], np.int64)
        core = np.searchsorted(program.core_start, fires, side="right") - 1
        matrix[:, fires] = shapes[program.group_matrix[program.group_start[core] + table.group[fires]]].T
    width = np.int64(program.element_bytes)
    write, read, read2 = operand_bytes(table.op, table.size, table.src2, matrix, (width, width))
    return Extents(
        read=table.src, read_bytes=read, read2=table.src2, read2_bytes=read2, write=table.dst, write_bytes=write
    )


def operand_bytes(
    op: ByteArray,
    size: IntArray | LongArray,
    stride: LongArray,
    matrix: LongArray,
    widths: tuple[LongArray | np.int64, LongArray | np.int64],
) -> LongArray:
    """int64[3, rows]: bytes of local memory that every instruction writes at dst and reads at src and src2 (0: none).

    stride: of strided operands, in elements. matrix: int64[2, rows], rows and columns of an mvmul's matrix. widths:
    bytes of an input and of an output element, one for all or int64[rows] each.
    """
    n, inputs, outputs = (np.broadcast_to(np.asarray(a, np.int64), op.shape) for a in (size, *widths))
    out = np.zeros((3, len(op)), np.int64)
    for column, found in zip((DST, SRC, SRC2), out, strict=True):
        what = column[op]
        for kind, amount in (
            (BYTES, lambda r: n[r]),
            (INPUT, lambda r: n[r] * inputs[r]),
            (OUTPUT, lambda r: n[r] * outputs[r]),
            (ONE_OUTPUT, lambda r: outputs[r]),
            (STRIDED, lambda r: ((n[r] - 1) * stride[r] + 1) * inputs[r]),
            (MATRIX_ROWS, lambda r: matrix[0, r] * inputs[r]),
            (MATRIX_COLUMNS, lambda r: matrix[1, r] * outputs[r]),
        ):
            rows = np.flatnonzero(what == kind)
            found[rows] = amount(rows)
    return out
