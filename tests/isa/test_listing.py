"""Lists and their registers, against a register file in Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.isa.listing import (
    Listing,
    emitted_index,
    emitted_place,
    emitted_start,
    execute,
    listing_of,
    rows_of,
)
from pimcomp.isa.registers import operand_values
from pimcomp.isa.table import IN_REGISTERS
from tests.emit.programs import random_program

SCALAR = (Op.SLDI, Op.SADD, Op.SSUB, Op.SMUL, Op.SADDI, Op.SMULI)
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([*SCALAR, Op.NOP, Op.SETBW, Op.VVADD, Op.LD, Op.SEND]),
        st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(-(2**31), 2**31 - 1),
    ),
    max_size=30,
)  # fmt: skip


def listing(entries: list[tuple[Op, int, int, int, int]]) -> Listing:
    """One core's list."""
    op, rd, rs1, rs2 = (np.array([entry[k] for entry in entries], np.uint8) for k in range(4))
    return Listing(np.array([0, len(entries)]), op, rd, rs1, rs2, np.array([entry[4] for entry in entries], np.int64))


def word(value: int) -> int:
    """Signed low 32 bits."""
    return (value + 2**31) % 2**32 - 2**31


@given(ENTRIES)
def test_registers_hold_what_scalar_instructions_leave(entries: list[tuple[Op, int, int, int, int]]) -> None:
    ran = execute(listing(entries))
    held: dict[int, int] = {}
    k, setting, stopped = 0, -1, -1
    for i, (op, rd, rs1, rs2, imm) in enumerate(entries):
        a, b = held.get(rs1, 0), held.get(rs2, 0)
        if op in SCALAR:
            needed = {Op.SLDI: (), Op.SADDI: (rs1,), Op.SMULI: (rs1,)}.get(op, (rs1, rs2))
            if stopped < 0 and not set(needed) <= set(held):
                stopped = i
            results = {Op.SLDI: imm, Op.SADD: a + b, Op.SSUB: a - b, Op.SMUL: a * b, Op.SADDI: a + imm}
            held[rd] = word(results.get(op, a * imm))
        elif op == Op.SETBW:
            setting = i
        elif op != Op.NOP:
            assert ran.entry[k] == i
            assert ran.values[:, k].tolist() == [held.get(r, 0) for r in (rd, rs1, rs2)]
            assert ran.setting[k] == setting
            needs = {Op.VVADD: [rd, rs1, rs2], Op.SEND: [rs1], Op.LD: [rd, rs1, rs1 + 1]}[op]
            assert ran.unset[k] == next((r for r in needs if r not in held), -1)
            k += 1
    assert (k, stopped) == (len(ran.entry), ran.stopped)


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60), cores=st.integers(1, 4))
def test_the_lists_of_a_program_load_every_operand(seed: int, rows: int, cores: int) -> None:
    program = random_program(seed, rows, cores)
    lists = listing_of(program)
    ran = execute(lists)
    assert (ran.unset < 0).all()
    assert ran.stopped == -1
    table = program.table
    has = IN_REGISTERS[table.op] >> np.arange(3)[:, None] & 1
    assert (ran.addresses(table.op) * has == operand_values(table).T).all()
    assert (ran.entry == emitted_place(program)).all()
    assert (lists.core_start == emitted_start(program)).all()
    core = np.repeat(np.arange(program.cores), np.diff(program.core_start))
    assert (lists.core_start[core] + emitted_index(program) == ran.entry).all()
    assert (rows_of(lists)[ran.entry] == np.arange(program.instructions)).all()
