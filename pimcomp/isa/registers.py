"""Which register holds which operand: Belady's replacement over each core's 32 registers.

A register is loaded by an `sldi`, a scalar instruction of one cycle; every load costs the same, so evicting the value
whose next use lies farthest ahead is optimal (L. Belady, IBM Systems Journal 5(2), 1966) and the streams are known in
full.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Registers, Table
from pimcomp.isa.table import BOUND, COMPUTES, GLOBAL_SLOT, IN_REGISTERS, REGISTERS, SEND, SRC2, UNIT

NEVER = np.iinfo(np.int64).max
LOAD_RD, LOAD_RS1, LOAD_RS2, LOAD_HIGH, SET_WIDTHS = 1, 2, 4, 8, 16
GLOBAL_HIGH, GLOBAL_LOW = 0, 1  # the pair reserved for global addresses on cores that execute ld or st


def operand_values(table: Table, clip_code: LongArray | None = None) -> LongArray:
    """int64[rows, 3]: the values of rd, rs1, rs2 of every instruction; 0 where it has no such operand.

    clip_code: integer bound per index of `Program.clip_values`, what vrsu/vrsl find in rs2 (default: the index).
    """
    has = IN_REGISTERS[table.op]
    values = np.zeros((len(table.op), 3), np.int64)
    for slot, column in enumerate((table.dst, table.src, table.src2)):
        np.copyto(values[:, slot], column, where=(has >> slot & 1).astype(bool))
    if clip_code is not None:
        bounded = SRC2[table.op] == BOUND
        values[bounded, 2] = clip_code[table.src2[bounded]]
    return values


def assign_registers(
    table: Table, core_start: LongArray, clip_code: LongArray | None = None, *, input_bits: IntArray | None = None
) -> Registers:
    """Registers of every operand and the `sldi`s in front, with as few loads per core as any assignment can have; and
    the `setbw`s: in front of each core's first instruction, and where what computes takes other widths than before.

    core_start: int64[cores + 1]. input_bits: int32[rows], of what mvmuls read; 0 or None: the chip's. Every core starts
    with unknown register contents. A send's rd equals its rs1. Cores that execute ld or st keep registers 0 and 1 for
    the global address, reload only the half that changed, and leave register 31 unused: the simulator reads the
    successor of either operand of these two.

    Raises InvariantError if a local address, stride or bound does not fit 32 bits or a global address is negative.
    """
    values = operand_values(table, clip_code)
    rows, global_slot = len(table.op), GLOBAL_SLOT[table.op]
    far = np.arange(3) == global_slot[:, None]
    _check_ranges(values, far)
    pooled = (IN_REGISTERS[table.op][:, None] >> np.arange(3) & 1).astype(bool) & ~far  # in the general registers
    core_of_row = np.repeat(np.arange(len(core_start) - 1), np.diff(core_start))
    value_id, next_use, ids = _value_ids(values, pooled, core_of_row)
    registers, loads = np.zeros((rows, 3), np.uint8), np.zeros(rows, np.uint8)
    _assign(core_start, global_slot, values, value_id, next_use, np.full(ids, -1, np.int8), registers, loads)
    sends = UNIT[table.op] == SEND
    loads[_sets_widths(table, core_start, input_bits)] |= SET_WIDTHS
    registers[sends, 0] = registers[sends, 1]
    rd, rs1, rs2 = (np.ascontiguousarray(registers[:, slot]) for slot in range(3))
    return Registers(rd=rd, rs1=rs1, rs2=rs2, loads=loads)


def _sets_widths(table: Table, core_start: LongArray, input_bits: IntArray | None) -> LongArray:
    """int64[any]: rows with a `setbw` in front. What does not compute takes any widths."""
    starts = core_start[:-1][np.diff(core_start) > 0]
    if input_bits is None or not input_bits.any():
        return starts
    rows = np.arange(len(table.op))
    last = np.maximum.accumulate(np.where(COMPUTES[table.op], rows, -1))
    own = last >= np.repeat(core_start[:-1], np.diff(core_start))
    held = np.where(own, input_bits[last], 0)
    return np.union1d(starts, np.flatnonzero(np.diff(held)) + 1)


def _check_ranges(values: LongArray, far: npt.NDArray[np.bool_]) -> None:
    wrong = np.where(far, values < 0, (values < -(2**31)) | (values >= 2**31)).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvariantError(
            f"table row {row}: operands {values[row].tolist()}: expected 32-bit values and global addresses >= 0"
        )


def _value_ids(
    values: LongArray, pooled: npt.NDArray[np.bool_], core_of_row: npt.NDArray[np.int64]
) -> tuple[IntArray, LongArray, int]:
    """(int32[rows, 3], int64[rows, 3], count): a number per distinct (core, value), and the row of its next use."""
    occurrence = np.flatnonzero(pooled)  # in (row, slot) order
    row = occurrence // 3
    key = (core_of_row[row] << 32) | (values.ravel()[occurrence] & 0xFFFFFFFF)
    by_value = np.argsort(key, kind="stable")
    key = key[by_value]
    same = key[1:] == key[:-1]
    value_id = np.full(values.shape, -1, np.int32)
    next_use = np.full(values.shape, NEVER, np.int64)
    numbers = np.zeros(len(key), np.int32)
    np.cumsum(~same, out=numbers[1:])
    value_id.ravel()[occurrence[by_value]] = numbers
    next_use.ravel()[occurrence[by_value[:-1][same]]] = row[by_value[1:][same]]
    return value_id, next_use, int(numbers[-1]) + 1 if len(numbers) else 0


@kernel
def _assign(
    core_start: LongArray,
    global_slot: npt.NDArray[np.int8],
    values: LongArray,
    value_id: IntArray,
    next_use: LongArray,
    where: npt.NDArray[np.int8],
    registers: npt.NDArray[np.uint8],
    loads: npt.NDArray[np.uint8],
) -> None:
    """Fills registers[rows, 3] and loads[rows]; where[value id] = the register that holds it, -1 for none."""
    held = np.empty(REGISTERS, np.int64)  # value id
    due = np.empty(REGISTERS, np.int64)  # row of its next use
    for core in range(len(core_start) - 1):
        start, stop = core_start[core], core_start[core + 1]
        first, last = 0, REGISTERS
        for row in range(start, stop):
            if global_slot[row] >= 0:
                first, last = GLOBAL_LOW + 1, REGISTERS - 1
                break
        held[:] = -1
        due[:] = NEVER
        high = low = np.int64(-1)
        for row in range(start, stop):
            for slot in range(3):
                value = value_id[row, slot]
                if slot == global_slot[row]:
                    if high != values[row, slot] >> 32:
                        high = values[row, slot] >> 32
                        loads[row] |= LOAD_HIGH
                    if low != values[row, slot] & 0xFFFFFFFF:
                        low = values[row, slot] & 0xFFFFFFFF
                        loads[row] |= 1 << slot
                    continue  # register 0: the pair's even one
                if value < 0:
                    continue
                if where[value] < 0:
                    # Evict the farthest next use. This row's earlier operands may never be used again, so they are
                    # skipped; its later ones, if held, are due at `row` and thus never the farthest.
                    victim = -1
                    for r in range(first, last):
                        pinned = (slot > 0 and registers[row, 0] == r and value_id[row, 0] >= 0) or (
                            slot > 1 and registers[row, 1] == r and value_id[row, 1] >= 0
                        )
                        if not pinned and (victim < 0 or due[r] > due[victim]):
                            victim = r
                    if held[victim] >= 0:
                        where[held[victim]] = -1
                    held[victim] = value
                    where[value] = victim
                    loads[row] |= 1 << slot
                registers[row, slot] = where[value]
                due[where[value]] = next_use[row, slot]
