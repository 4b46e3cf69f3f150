"""Writes instruction lists as JSON text straight from the table's columns: no Python object per instruction."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.ascii_kernels import put, put_integer
from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Program
from pimcomp.isa.fields import SOURCES, Source, templates
from pimcomp.isa.operands import fired_groups, mvm_input_bits, stored_weight_bits
from pimcomp.isa.registers import LOAD_HIGH, SET_WIDTHS, operand_values
from pimcomp.isa.table import GLOBAL_SLOT, IMMEDIATE, IN_TABLE, SRC2

BUFFER_BYTES = 4 << 20
ROW_BYTES = 512  # more than the longest row: a setbw, four sldi and an instruction with five numbers


class _Rows(NamedTuple):
    """The table as the kernels read it: operand values int64[rows, 3] and, per row and Source, the number to write;
    input_bits int32[rows] that a `setbw` in front of a row sets, and output_bits of all."""

    op: ByteArray
    loads: ByteArray
    values: LongArray
    numbers: IntArray
    core_start: LongArray
    input_bits: IntArray
    output_bits: int


class _Text(NamedTuple):
    """The pieces of `templates`."""

    literals: ByteArray
    piece_start: LongArray
    piece_source: LongArray
    first_piece: LongArray


class JsonWriter:
    """The instruction lists of a program as JSON text."""

    def __init__(self, program: Program, arch: Arch, clip_code: LongArray | None = None) -> None:
        """clip_code: the integer bounds the registers were assigned with, if any.

        Raises InvariantError for an opcode that a table must not hold.
        """
        check_opcodes(program.table.op)
        self._rows, self._text = _rows(program, arch, clip_code), _Text(*templates())
        self._buffer = np.empty(BUFFER_BYTES, np.uint8)

    def chunks(self, cores: range, *, keyed: bool) -> Iterator[memoryview]:
        r"""The lists of the non-empty cores in `cores`, a few MB at a time; a chunk is valid until the next.

        keyed: every list is preceded by `,\n"coreN":`, as in the single-file form.
        """
        state = np.array([cores.start, self._rows.core_start[cores.start], 0], np.int64)
        while state[0] < cores.stop:
            used = _fill(self._buffer, state, cores.stop, keyed, self._rows, self._text)
            yield self._buffer[:used].data


def check_opcodes(op: ByteArray) -> None:
    """Raises InvariantError unless all are instructions that programs consist of, any of which may be a core's last."""
    known = IN_TABLE[op]
    if not known.all():
        row = int(np.argmin(known))
        raise InvariantError(f"table row {row}: opcode {op[row]} is not one that programs consist of")


def source_columns(program: Program, arch: Arch) -> dict[Source, npt.NDArray[np.integer] | int]:
    """For every source of a field, the number of each row, or the one of all."""
    table, registers = program.table, program.registers
    fires, group = fired_groups(table, program.core_start, program.group_start)
    stored = np.zeros(program.instructions, np.int32)
    stored[fires] = stored_weight_bits(arch, program.group_weight_bits)[group]
    return {
        Source.RD: registers.rd,
        Source.RS1: registers.rs1,
        Source.RS2: registers.rs2,
        Source.GROUP: table.group,
        Source.SIZE: table.size,
        Source.PEER: table.peer,
        Source.RELU: table.relu,
        Source.FILL: np.where(SRC2[table.op] == IMMEDIATE, table.src2, 0),
        Source.MBIW: stored,
    }


def _rows(program: Program, arch: Arch, clip_code: LongArray | None) -> _Rows:
    table = program.table
    numbers = np.empty((len(table.op), SOURCES), np.int32)
    for source, column in source_columns(program, arch).items():
        numbers[:, source] = column
    loads, values = program.registers.loads, operand_values(table, clip_code)
    own = mvm_input_bits(table, program.core_start, program.group_start, program.group_activation_bits)
    bits = np.asarray(arch.input_bits_at(own), np.int32)
    return _Rows(table.op, loads, values, numbers, program.core_start, bits, arch.psum_bits)


@kernel
def _put_load(buffer: ByteArray, at: int, register: int, value: int) -> int:
    """Writes `sldi register, value`, with the low 32 bits as the signed number that the simulator's registers hold."""
    value &= 0xFFFFFFFF
    if value >= 1 << 31:
        value -= 1 << 32
    at = put(buffer, at, b',\n{"op":"sldi","rd":')
    at = put_integer(buffer, at, register)
    at = put(buffer, at, b',"imm":')
    at = put_integer(buffer, at, value)
    return put(buffer, at, b"}")


@kernel
def _put_row(buffer: ByteArray, at: int, row: int, rows: _Rows, text: _Text) -> int:
    """Writes what a row needs in front and the row itself; returns the position behind it."""
    op, loads, numbers = rows.op[row], rows.loads[row], rows.numbers[row]
    # Operand slot of the global address, whose low half is in the odd register of the pair (numbers[slot] is the even).
    pair = GLOBAL_SLOT[op]
    if loads & SET_WIDTHS:
        at = put(buffer, at, b',\n{"op":"setbw","ibiw":')
        at = put_integer(buffer, at, rows.input_bits[row])
        at = put(buffer, at, b',"obiw":')
        at = put_integer(buffer, at, rows.output_bits)
        at = put(buffer, at, b"}")
    if loads & LOAD_HIGH:
        at = _put_load(buffer, at, numbers[pair], rows.values[row, pair] >> 32)
    for slot in range(3):
        if loads >> slot & 1:
            register = numbers[slot] + 1 if slot == pair else numbers[slot]
            at = _put_load(buffer, at, register, rows.values[row, slot])
    at = put(buffer, at, b",\n")
    for piece in range(text.first_piece[op], text.first_piece[op + 1]):
        at = put(buffer, at, text.literals[text.piece_start[piece] : text.piece_start[piece + 1]])
        if text.piece_source[piece] < SOURCES:
            at = put_integer(buffer, at, numbers[text.piece_source[piece]])
    return at


@kernel
def _fill(buffer: ByteArray, state: LongArray, core_stop: int, keyed: bool, rows: _Rows, text: _Text) -> int:
    """Fills the buffer from where state = [core, row, list begun] stands and advances it; returns the bytes written."""
    at = 0
    core, row, begun = state[0], state[1], state[2]
    while core < core_stop and at + ROW_BYTES <= len(buffer):
        row_stop = rows.core_start[core + 1]
        if rows.core_start[core] == row_stop:
            core += 1
            continue
        if not begun:
            if keyed:
                at = put(buffer, at, b',\n"core')
                at = put_integer(buffer, at, core)
                at = put(buffer, at, b'":')
            begun = 1
        while row < row_stop and at + ROW_BYTES <= len(buffer):
            start, at = at, _put_row(buffer, at, row, rows, text)
            if row == rows.core_start[core]:
                buffer[start] = 91  # [ in place of the comma
            row += 1
        if row == row_stop:
            buffer[at] = 93  # ], for which ROW_BYTES leaves room
            at += 1
            core += 1
            begun = 0
    state[0], state[1], state[2] = core, row, begun
    return at
