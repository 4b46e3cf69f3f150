"""Replays the register loads of a table: does every operand find its value?"""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op, Program

REGISTERS = 32  # of a core (instruction set, 32 bits each)
REGISTER_MESSAGES = {
    1: "register {detail} is out of range, or odd for a global address",
    2: "register {detail} was never loaded",
    3: "register {detail} does not hold the operand",
}
_THREE = (
    Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVDMUL, Op.VVMAX, Op.VVSLL, Op.VVSRA, Op.VAVG, Op.VMV, Op.VRSU, Op.VRSL,
)  # fmt: skip
_BOUNDED = 2  # kind of a third operand whose value (a bound's integer code) the table does not state


def check_registers(program: Program) -> tuple[int, int, int]:
    """(0, 0, 0), or the message number, row and register of the first operand that does not find its value."""
    table, registers = program.table, program.registers
    uses = np.zeros((3, 256), np.uint8)  # by operand slot and opcode: 0 none, 1 value
    uses[:, list(_THREE)] = 1
    uses[:2, [Op.MVMUL, Op.VRELU, Op.VTANH, Op.VSIGM, Op.LD, Op.ST, Op.LMV]] = 1
    uses[0, [Op.LLDI, Op.RECV]] = 1
    uses[1, Op.SEND] = 1
    uses[2, [Op.VRSU, Op.VRSL]] = _BOUNDED
    code, row, detail = _replay(
        program.core_start,
        table.op,
        (table.dst, table.src, table.src2),
        (registers.rd, registers.rs1, registers.rs2),
        registers.loads,
        uses,
    )
    return int(code), int(row), int(detail)


@kernel
def _word(value):  # type: ignore[no-untyped-def]
    """The low 32 bits."""
    return value & 0xFFFFFFFF


@kernel
def _replay(core_start, op, values, registers, loads, uses):  # type: ignore[no-untyped-def]
    for core in range(len(core_start) - 1):
        held, known = np.zeros(REGISTERS, np.int64), np.zeros(REGISTERS, np.bool_)
        for row in range(core_start[core], core_start[core + 1]):
            global_slot = 1 if op[row] == Op.LD else (0 if op[row] == Op.ST else -1)
            for slot in range(3):
                register = np.int64(registers[slot][row])
                if uses[slot, op[row]] == 0:
                    continue
                if register >= REGISTERS or (slot == global_slot and register % 2 != 0):
                    return 1, row, register
                value = values[slot][row]
                if slot == global_slot:
                    if loads[row] & 8:
                        held[register], known[register] = _word(value >> 32), True
                    register += 1
                if loads[row] >> slot & 1:
                    held[register], known[register] = _word(value), True
            # Only when all loads are done do the operands count: one load may have overwritten another's register.
            for slot in range(3):
                register, value = np.int64(registers[slot][row]), values[slot][row]
                use = uses[slot, op[row]]
                if use == 0:
                    continue
                if slot == global_slot:
                    if not known[register]:
                        return 2, row, register
                    if held[register] != _word(value >> 32):
                        return 3, row, register
                    register += 1
                if not known[register]:
                    return 2, row, register
                if use == 1 and held[register] != _word(value):
                    return 3, row, register
    return 0, 0, 0
