"""Every core's list as the simulator reads it, and what registers hold: scalar instructions are executed here alone.

There are no branches and registers never depend on data, so a list is run through once.
"""

from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op, Program
from pimcomp.isa.operands import mvm_input_bits
from pimcomp.isa.registers import LOAD_HIGH, SET_WIDTHS, operand_values
from pimcomp.isa.table import (
    ADD,
    BUBBLE,
    CLEAR,
    EFFECT,
    GLOBAL_SLOT,
    IMMEDIATE,
    IN_REGISTERS,
    MULTIPLY,
    NO_EFFECT,
    SRC2,
    SUBTRACT,
    UNIT,
)

_SETBW, _SLDI = int(Op.SETBW), int(Op.SLDI)


class Listing(NamedTuple):
    """Every entry of every core's list, scalar instructions, `setbw` and `nop` included.

    core_start: int64[cores + 1] into the columns; rd, rs1, rs2: register numbers, 0 where absent; imm: immediates.
    """

    core_start: LongArray
    op: ByteArray
    rd: ByteArray
    rs1: ByteArray
    rs2: ByteArray
    imm: LongArray


class Executed(NamedTuple):
    """The instructions of lists that occupy a unit, and what they find in their registers.

    entry: of each; core_start: int64[cores + 1] into them. values: int64[3, instructions], contents of rd, rs1 and rs2,
    signed; low: of the register behind the one that begins a global address. unset: the first register that an
    instruction needs and nothing has set, -1 for none. setting: entry of the setbw in force, -1 for none.
    stopped, stopped_register: the first scalar instruction that needs such a register, and which; -1 for none.
    """

    entry: LongArray
    core_start: LongArray
    values: LongArray
    low: LongArray
    unset: IntArray
    setting: LongArray
    stopped: int
    stopped_register: int

    def in_force(self, widths: IntArray | LongArray) -> IntArray:
        """int32[instructions]: a field of the setbw in force; 0 for none."""
        return np.where(self.setting >= 0, widths[self.setting], 0).astype(np.int32)

    def addresses(self, op: ByteArray) -> LongArray:
        """`values` with complete global addresses. op: of each instruction."""
        found = self.values.copy()
        for slot in range(3):
            far = GLOBAL_SLOT[op] == slot
            found[slot, far] = (found[slot, far] << 32) | (self.low[far] & 0xFFFFFFFF)
        return found


class _Rows(NamedTuple):
    """What `_list` reads of a program."""

    core_start: LongArray
    op: ByteArray
    registers: tuple[ByteArray, ByteArray, ByteArray]
    loads: ByteArray
    values: LongArray
    input_bits: IntArray


def emitted_index(program: Program) -> LongArray:
    """int64[rows]: position of every table row in its core's emitted list, behind the setbw and the sldi's."""
    start = np.repeat(emitted_start(program)[:-1], np.diff(program.core_start))
    return np.asarray(emitted_place(program) - start, np.int64)


def emitted_place(program: Program) -> LongArray:
    """int64[rows]: the same when all lists are laid one behind another."""
    scalars = np.cumsum(np.bitwise_count(program.registers.loads), dtype=np.int64)
    place: LongArray = np.arange(program.instructions) + scalars
    return place


def emitted_start(program: Program) -> LongArray:
    """int64[cores + 1]: where each core's emitted list begins when they are laid one behind another."""
    scalars = np.concatenate([[0], np.cumsum(np.bitwise_count(program.registers.loads), dtype=np.int64)])
    start: LongArray = program.core_start + scalars[program.core_start]
    return start


def listing_of(program: Program, clip_code: LongArray | None = None) -> Listing:
    """The lists of an emitted program: every instruction behind the `setbw` and the `sldi`s it needs. A `setbw` has its
    input bits as immediate, 0: the chip's.

    clip_code: the integer bounds the registers were assigned with, if any.
    """
    registers, core_start = program.registers, emitted_start(program)
    op, rd, rs1, rs2 = (np.zeros(core_start[-1], np.uint8) for _ in range(4))
    listing = Listing(core_start, op, rd, rs1, rs2, np.zeros(core_start[-1], np.int64))
    numbers = (registers.rd, registers.rs1, registers.rs2)
    values = operand_values(program.table, clip_code)
    bits = mvm_input_bits(program.table, program.core_start, program.group_start, program.group_activation_bits)
    _list(_Rows(program.core_start, program.table.op, numbers, registers.loads, values, bits), listing)
    return listing


def rows_of(listing: Listing) -> LongArray:
    """int64[entries]: the instruction that occupies a unit which an entry is or stands in front of (at a list's end:
    the last one).
    """
    own = np.concatenate([[0], np.cumsum(UNIT[listing.op] != BUBBLE)])
    last = np.repeat(own[listing.core_start[1:]] - 1, np.diff(listing.core_start))
    return np.asarray(np.minimum(own[:-1], last), np.int64)


def execute(listing: Listing) -> Executed:
    """Run all scalar instructions of every core."""
    entry = np.flatnonzero(UNIT[listing.op] != BUBBLE)
    core_start = np.searchsorted(entry, listing.core_start).astype(np.int64)
    values, low = np.empty((3, len(entry)), np.int64), np.zeros(len(entry), np.int64)
    unset, setting = np.empty(len(entry), np.int32), np.empty(len(entry), np.int64)
    stopped, register = _execute(listing, values, low, unset, setting)
    return Executed(entry, core_start, values, low, unset, setting, stopped, register)


@kernel
def _list(rows: _Rows, listing: Listing) -> None:
    op, rd, rs1, rs2, imm = listing.op, listing.rd, listing.rs1, listing.rs2, listing.imm
    k = 0
    for core in range(len(rows.core_start) - 1):
        for i in range(rows.core_start[core], rows.core_start[core + 1]):
            if rows.loads[i] & SET_WIDTHS:
                op[k], imm[k] = _SETBW, rows.input_bits[i]
                k += 1
            loads, pair = rows.loads[i], GLOBAL_SLOT[rows.op[i]]
            register = (rows.registers[0][i], rows.registers[1][i], rows.registers[2][i])
            for slot in range(-1, 3):
                if slot < 0:
                    if not loads & LOAD_HIGH:
                        continue
                    rd[k], value = register[pair], rows.values[i, pair] >> 32
                elif loads >> slot & 1:
                    rd[k], value = register[slot] + (slot == pair), rows.values[i, slot]
                else:
                    continue
                op[k], imm[k] = _SLDI, word(value)
                k += 1
            op[k] = rows.op[i]
            rd[k], rs1[k], rs2[k] = register
            k += 1


@kernel
def word(value: int) -> int:
    """What a register holds of a number: its low 32 bits, signed."""
    return ((value + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@kernel
def effect(op: int, rd: int, a: int, b: int, imm: int) -> tuple[int, int]:
    """Register that a scalar instruction writes, and the value. a, b: what rs1 and rs2 hold."""
    kind = EFFECT[op]
    if kind == CLEAR:
        return 0, 0  # whatever it names: the simulator's behaviour
    second = imm if SRC2[op] == IMMEDIATE else b
    if kind == ADD:
        second = a + second
    elif kind == SUBTRACT:
        second = a - second
    elif kind == MULTIPLY:
        second = a * second
    return rd, word(second)


@kernel
def _execute(
    listing: Listing, values: LongArray, low: LongArray, unset: IntArray, setting: LongArray
) -> tuple[int, int]:
    """Fills what `Executed` has of each instruction; returns its last two."""
    k, stopped, stopped_register = 0, -1, -1
    for core in range(len(listing.core_start) - 1):
        held, known = np.zeros(257, np.int64), np.zeros(257, np.bool_)
        widths = np.int64(-1)
        for i in range(listing.core_start[core], listing.core_start[core + 1]):
            op, pair = listing.op[i], GLOBAL_SLOT[listing.op[i]]
            numbers = (int(listing.rd[i]), int(listing.rs1[i]), int(listing.rs2[i]))
            scalar = EFFECT[op] != NO_EFFECT
            missing = -1
            for slot in range(2, -1, -1):
                register = numbers[slot]
                if not IN_REGISTERS[op] >> slot & 1:
                    continue
                if slot == pair and not known[register + 1]:
                    missing = register + 1
                if not known[register]:
                    missing = register
            if scalar:
                if missing >= 0 and stopped < 0:
                    stopped, stopped_register = i, missing
                target, value = effect(
                    int(op), numbers[0], int(held[numbers[1]]), int(held[numbers[2]]), int(listing.imm[i])
                )
                held[target], known[target] = value, True
            elif op == _SETBW:
                widths = np.int64(i)
            elif UNIT[op] != BUBBLE:
                for slot in range(3):
                    values[slot, k] = held[numbers[slot]]
                if pair >= 0:
                    low[k] = held[numbers[pair] + 1]
                unset[k], setting[k] = missing, widths
                k += 1
    return stopped, stopped_register
