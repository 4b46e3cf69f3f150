"""Registers: what an instruction finds in them is what the table says, with as few loads as possible.

Covers: operands.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import InvariantError
from pimcomp.ir.program import LongArray, Op, Registers, Table
from pimcomp.isa.registers import SET_WIDTHS, assign_registers, operand_values
from pimcomp.isa.table import COMPUTES, IN_REGISTERS, MATRIX, UNIT
from tests.emit.programs import ANY, make_table, random_table


def executed_operands(table: Table, core_start: LongArray, registers: Registers, values: LongArray) -> LongArray:
    """int64[rows, 3]: executes the loads and reads the operands back from a register file, as the simulator does."""
    found = np.zeros_like(values)
    chosen = np.stack([registers.rd, registers.rs1, registers.rs2], axis=1).astype(int)
    for core in range(len(core_start) - 1):
        file: list[int | None] = [None] * 32
        for row in range(core_start[core], core_start[core + 1]):
            pair = {Op.LD: 1, Op.ST: 0}.get(Op(table.op[row]))
            if registers.loads[row] & 8:
                assert pair is not None
                file[chosen[row, pair]] = int(values[row, pair]) >> 32
            for slot in range(3):
                if registers.loads[row] >> slot & 1:
                    if slot == pair:
                        file[chosen[row, slot] + 1] = int(values[row, slot]) & 0xFFFFFFFF
                    else:
                        file[chosen[row, slot]] = int(values[row, slot])
            for slot in range(3):
                if not IN_REGISTERS[table.op[row]] >> slot & 1:
                    continue
                first = file[chosen[row, slot]]
                assert first is not None, f"row {row} reads register {chosen[row, slot]} before it is loaded"
                second = file[chosen[row, slot] + 1] if slot == pair else 0
                assert second is not None
                found[row, slot] = (first << 32) | second if slot == pair else first
    return found


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 300), cores=st.integers(1, 5), addresses=st.integers(1, 80))
def test_executing_the_loads_gives_exactly_the_table_s_operands(
    seed: int, rows: int, cores: int, addresses: int
) -> None:
    table, core_start = random_table(seed, rows, cores, addresses)
    registers = assign_registers(table, core_start)
    values = operand_values(table)
    assert (executed_operands(table, core_start, registers, values) == values).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), addresses=st.integers(20, 80))
def test_never_more_loads_than_least_recently_used(seed: int, addresses: int) -> None:
    ops = tuple(op for op in ANY if op not in (Op.LD, Op.ST))
    table, core_start = random_table(seed, 400, 1, addresses, ops)
    values = operand_values(table)
    distinct: set[int] = set()
    recent: list[int] = []
    lru_loads = 0
    for row in range(400):
        for slot in range(3):
            if IN_REGISTERS[table.op[row]] >> slot & 1:
                value = int(values[row, slot])
                distinct.add(value)
                lru_loads += value not in recent
                recent = [*(v for v in recent if v != value), value][-32:]
    loads = int(np.bitwise_count(assign_registers(table, core_start).loads % SET_WIDTHS).sum())
    assert len(distinct) <= loads <= lru_loads


def test_equal_operands_share_a_register_and_a_load() -> None:
    core_start = np.array([0, 1], np.int64)
    table = make_table(core_start, [{"op": Op.VVADD, "dst": 64, "src": 64, "src2": 64, "size": 4}])
    registers = assign_registers(table, core_start)
    assert registers.rd[0] == registers.rs1[0] == registers.rs2[0]
    assert registers.loads[0] == SET_WIDTHS + 1


def test_a_constant_address_is_loaded_once() -> None:
    core_start = np.array([0, 50], np.int64)
    rows = [{"op": Op.VRELU, "dst": 1000 + 8 * k, "src": 4, "size": 4} for k in range(50)]
    registers = assign_registers(make_table(core_start, rows), core_start)
    assert registers.loads[0] == SET_WIDTHS + 3
    assert (registers.loads[1:] == 1).all()


def test_only_the_changed_half_of_a_global_address_is_reloaded() -> None:
    core_start = np.array([0, 4], np.int64)
    rows = [{"op": Op.LD, "dst": 16, "src": far, "size": 4} for far in (2**33, 2**33 + 4, 2**34 + 4, 2**34 + 4)]
    registers = assign_registers(make_table(core_start, rows), core_start)
    assert registers.loads.tolist() == [0b11011, 0b0010, 0b1000, 0]
    assert (registers.rs1 == 0).all()
    assert (registers.rd > 1).all()


def test_ld_and_st_never_touch_the_last_register_because_the_simulator_reads_its_successor() -> None:
    table, core_start = random_table(3, 500, 1, addresses=200)
    registers = assign_registers(table, core_start)
    far = (table.op == Op.LD) | (table.op == Op.ST)
    assert far.any()
    assert max(registers.rd[far].max(), registers.rs1[far].max()) < 31


def test_send_names_its_source_twice() -> None:
    core_start = np.array([0, 1, 2], np.int64)
    rows = [{"op": Op.SEND, "src": 640, "size": 8, "peer": 1}, {"op": Op.RECV, "dst": 320, "size": 8, "peer": 0}]
    registers = assign_registers(make_table(core_start, rows), core_start)
    assert registers.rd[0] == registers.rs1[0]
    assert registers.loads.tolist() == [SET_WIDTHS + 2, SET_WIDTHS + 1]


def test_bounds_come_from_the_clip_codes() -> None:
    core_start = np.array([0, 2], np.int64)
    rows = [{"op": Op.VRSU, "dst": 8, "src": 16, "src2": 1, "size": 4}, {"op": Op.VRSL, "dst": 8, "src": 8, "size": 4}]
    table = make_table(core_start, rows)
    assert operand_values(table)[:, 2].tolist() == [1, 0]
    codes = np.array([-128, 8], np.int64)
    assert operand_values(table, codes)[:, 2].tolist() == [8, -128]
    # With these codes the first bound equals its destination's address: one register serves both.
    registers = assign_registers(table, core_start, codes)
    assert registers.rs2[0] == registers.rd[0]


@pytest.mark.parametrize("row", [{"op": Op.VRELU, "dst": 2**31, "src": 0}, {"op": Op.LD, "dst": 0, "src": -1}])
def test_addresses_out_of_range_are_refused(row: dict[str, int]) -> None:
    core_start = np.array([0, 1], np.int64)
    with pytest.raises(InvariantError, match="table row 0"):
        assign_registers(make_table(core_start, [row]), core_start)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rows=st.integers(0, 100), cores=st.integers(1, 4))
def test_what_computes_finds_its_widths_set_and_nothing_is_set_twice(seed: int, rows: int, cores: int) -> None:
    """Run as the simulator does; a core's first instruction always has a setbw."""
    table, core_start = random_table(seed, rows, cores, 40)
    bits = np.random.default_rng(seed).choice([0, 4, 6], rows).astype(np.int32) * (UNIT[table.op] == MATRIX)
    loads = assign_registers(table, core_start, input_bits=bits).loads
    for first, last in pairwise(core_start.tolist()):
        held: int | None = None
        for row in range(first, last):
            sets = bool(loads[row] & SET_WIDTHS)
            assert sets or held is not None
            assert not (sets and row > first and held == bits[row])
            held = int(bits[row]) if sets else held
            assert not COMPUTES[table.op[row]] or held == bits[row]
