"""The instruction set as data: one row per opcode, and what kernels need of it as constant arrays indexed by opcode.

Semantics: docs/isa.md. The last two columns are behaviour of the simulator alone (docs/timing.md).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.program import ByteArray, Op

REGISTERS = 32  # of a core, 32 bits each

# What occupies the core while an instruction runs.
MATRIX, VECTOR, LOCAL, SEND, RECV, LOAD, STORE, SYNC, WAIT, BUBBLE = range(10)

# What an operand is. In local memory: so many bytes or elements, of the width of inputs or of outputs.
NONE, BYTES, INPUT, OUTPUT, ONE_OUTPUT, STRIDED, MATRIX_ROWS, MATRIX_COLUMNS = range(8)
# Elsewhere: a global address (a pair of registers), a register of scalars, numbers in a register or in the instruction.
GLOBAL, SCALAR, STRIDE, BOUND, IMMEDIATE, EVENT = range(8, 14)
LAST_LOCAL = MATRIX_COLUMNS

# What a scalar instruction makes of its two operands.
NO_EFFECT, SET, ADD, SUBTRACT, MULTIPLY, CLEAR = range(6)

# Bits of `fixed`.
FIXED_DST, FIXED_SRC, FIXED_SRC2 = 1, 2, 4


class Instruction(NamedTuple):
    """A row.

    dst, src, src2: what is written at rd and what rs1 and rs2 stand for. fields: of the JSON form, in the order they
    are written ("" for what no program table may hold: the last instruction of a list must occupy a unit). record:
    what the four numbers a, b, c, d of a binary record are. effect: of a scalar instruction.
    locks: what the reorder buffer takes for the range written at rd (default: dst). fixed: operands that the offset of
    the instruction does not move.
    """

    unit: int
    fields: str
    record: tuple[str, str, str, str]
    dst: int = NONE
    src: int = NONE
    src2: int = NONE
    effect: int = NO_EFFECT
    locks: int = -1
    fixed: int = 0


_MOVED = "offset_select", "offset_value"


def _scalar(effect: int, dst: int = NONE, src: int = NONE, src2: int = NONE) -> Instruction:
    return Instruction(BUBBLE, "", ("imm", "", "offset_value", ""), dst, src, src2, effect)


def _vector(dst: int, src2: int = NONE, src: int = INPUT, locks: int = -1, fixed: int = 0) -> Instruction:
    fields = "rd rs1 rs2 len" if src2 else "rd rs1 len"
    return Instruction(VECTOR, fields, ("rs2", *_MOVED, "len"), dst, src, src2, locks=locks, fixed=fixed)


ISA: dict[Op, Instruction] = {
    Op.NOP: _scalar(NO_EFFECT),
    Op.SLDI: _scalar(SET, SCALAR, NONE, IMMEDIATE),
    Op.SLD: _scalar(CLEAR, SCALAR, GLOBAL),
    Op.SADD: _scalar(ADD, SCALAR, SCALAR, SCALAR),
    Op.SSUB: _scalar(SUBTRACT, SCALAR, SCALAR, SCALAR),
    Op.SMUL: _scalar(MULTIPLY, SCALAR, SCALAR, SCALAR),
    Op.SADDI: _scalar(ADD, SCALAR, SCALAR, IMMEDIATE),
    Op.SMULI: _scalar(MULTIPLY, SCALAR, SCALAR, IMMEDIATE),
    Op.SETBW: Instruction(BUBBLE, "", ("", "ibiw", "obiw", "")),
    Op.MVMUL: Instruction(
        MATRIX, "rd rs1 group mbiw relu", ("mbiw", "relu", "group", ""), MATRIX_COLUMNS, MATRIX_ROWS,
        fixed=FIXED_DST | FIXED_SRC | FIXED_SRC2,
    ),
    Op.VVADD: _vector(INPUT, INPUT),
    Op.VVSUB: _vector(INPUT, INPUT),
    Op.VVMUL: _vector(OUTPUT, INPUT),
    Op.VVDMUL: _vector(ONE_OUTPUT, INPUT, locks=OUTPUT, fixed=FIXED_DST),
    Op.VVMAX: _vector(INPUT, INPUT),
    Op.VVSLL: _vector(OUTPUT, INPUT),
    Op.VVSRA: _vector(OUTPUT, INPUT),
    Op.VAVG: _vector(ONE_OUTPUT, STRIDE, STRIDED, fixed=FIXED_DST | FIXED_SRC2),
    Op.VRELU: _vector(INPUT, locks=OUTPUT),
    Op.VTANH: _vector(OUTPUT),
    Op.VSIGM: _vector(OUTPUT),
    Op.VMV: _vector(INPUT, STRIDE, STRIDED, locks=NONE, fixed=FIXED_DST | FIXED_SRC | FIXED_SRC2),
    Op.VRSU: _vector(OUTPUT, BOUND, fixed=FIXED_SRC2),
    Op.VRSL: _vector(OUTPUT, BOUND, fixed=FIXED_SRC2),
    Op.LD: Instruction(LOAD, "rd rs1 size", ("", *_MOVED, "size"), BYTES, GLOBAL),
    Op.ST: Instruction(STORE, "rd rs1 size", ("", *_MOVED, "size"), GLOBAL, BYTES),
    Op.LLDI: Instruction(LOCAL, "rd imm len", ("imm", *_MOVED, "len"), BYTES, NONE, IMMEDIATE),
    # Two fields are there for the simulator's hazard check alone: size of lmv (its memory access uses len) and rs1 of
    # send (its access uses rd, a copy of it).
    Op.LMV: Instruction(LOCAL, "rd rs1 len size", ("", *_MOVED, "len"), BYTES, BYTES),
    Op.SEND: Instruction(SEND, "rd rs1 core size", ("core", *_MOVED, "size"), NONE, BYTES),
    Op.RECV: Instruction(RECV, "rd core size", ("core", *_MOVED, "size"), BYTES),
    Op.WAIT: Instruction(WAIT, "", ("", "event_register", "wait_value", "len"), src2=EVENT),
    Op.SYNC: Instruction(SYNC, "", ("core", "event_register", "offset_value", "len"), src2=EVENT),
}  # fmt: skip

BoolArray = npt.NDArray[np.bool_]


def column(value: Callable[[Instruction], int], dtype: type[np.generic] = np.uint8, absent: int = 0) -> Any:
    """A constant array of 256 entries: something of every opcode's row, and `absent` for numbers that are no opcode."""
    array = np.full(256, absent, dtype)
    for op, row in ISA.items():
        array[op] = value(row)
    array.flags.writeable = False
    return array


UNIT: ByteArray = column(lambda row: row.unit, absent=BUBBLE)
DST: ByteArray = column(lambda row: row.dst)
SRC: ByteArray = column(lambda row: row.src)
SRC2: ByteArray = column(lambda row: row.src2)
EFFECT: ByteArray = column(lambda row: row.effect)
LOCKS: ByteArray = column(lambda row: row.dst if row.locks < 0 else row.locks)
FIXED: ByteArray = column(lambda row: row.fixed)
IN_TABLE: BoolArray = column(lambda row: bool(row.fields), np.bool_)
"""Whether a program's table may hold it."""
IN_REGISTERS: ByteArray = column(
    lambda row: sum(
        1 << k
        for k, what in enumerate((NONE if row.dst == SCALAR else row.dst, row.src, row.src2))
        if what not in (NONE, IMMEDIATE, EVENT)
    )
)
"""Bit k: the instruction needs what is in register rd, rs1 or rs2."""
GLOBAL_SLOT: npt.NDArray[np.int8] = column(
    lambda row: (row.dst, row.src, row.src2).index(GLOBAL) if GLOBAL in row[3:6] else -1, np.int8, -1
)
"""Which operand is a global address, in a pair of registers: 0 for rd, 1 for rs1, -1 for none."""
COUNTS_LEN: BoolArray = column(lambda row: "len" in row.fields.split(), np.bool_)
"""Whether its size is the field `len` of files, not `size`."""
NEEDS_PEER: BoolArray = column(lambda row: "core" in row.record, np.bool_)
COMPUTES: BoolArray = column(lambda row: row.unit in (MATRIX, VECTOR), np.bool_)
TWO_VECTORS: BoolArray = column(lambda row: row.src2 == INPUT, np.bool_)
TWO_LOCKS: BoolArray = column(lambda row: row.src2 in (INPUT, BOUND), np.bool_)
"""Whether the reorder buffer takes rs2 for the address of a second vector."""
