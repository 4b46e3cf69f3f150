"""A correct program passes; every way to break it is named.

Covers: flow, register_replay.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op, Program
from pimcomp.proof.static import verify_program
from tests.proof.tiny import INPUT, OUTPUT, SPILL, Row, build, tiny_arch, tiny_program, with_cell, with_table

Break = Callable[[Program], Program]


@pytest.mark.parametrize("width", [1, 2])
def test_a_correct_program_passes(width: int) -> None:
    verify_program(tiny_program(width), tiny_arch(8 * width))


def row_of(program: Program, op: Op, nth: int = 0) -> int:
    return int(np.flatnonzero(program.table.op == op)[nth])


def cell(column: str, op: Op, nth: int, value: int) -> Break:
    return lambda program: with_cell(program, column, row_of(program, op, nth), value)


def without_rows(program: Program, *rows: int) -> Program:
    kept = np.setdiff1d(np.arange(program.instructions), rows)
    table = replace(program.table, **{c: getattr(program.table, c)[kept] for c in type(program.table).__slots__})
    shorter = replace(program, core_start=np.searchsorted(kept, program.core_start))
    return with_table(shorter, table)


def wrong_register(program: Program) -> Program:
    rs1 = program.registers.rs1.copy()
    rs1[row_of(program, Op.VRELU)] = program.registers.rd[row_of(program, Op.VRELU)]
    return replace(program, registers=replace(program.registers, rs1=rs1))


def lost_load(program: Program) -> Program:
    loads = program.registers.loads.copy()
    loads[row_of(program, Op.MVMUL)] = 0
    return replace(program, registers=replace(program.registers, loads=loads))


def lost_widths(program: Program) -> Program:
    return replace(program, group_activation_bits=program.group_activation_bits + 4)


def swapped_order(program: Program) -> Program:
    order = program.table.order.copy()
    a, b = row_of(program, Op.MVMUL), row_of(program, Op.MVMUL, 1)
    order[[a, b]] = order[[b, a]]
    order[[row_of(program, Op.ST), b]] = order[[b, row_of(program, Op.ST)]]
    return replace(program, table=replace(program.table, order=order))


def announcement_gone(program: Program) -> Program:
    return without_rows(program, row_of(program, Op.SEND, 1), row_of(program, Op.RECV, 0))


def one_way(announced: bool) -> list[Row]:
    """Core 1 stores, core 0 loads, round after round: the next store must wait for the load."""
    rows: list[Row] = [
        (1, Op.LLDI, {"dst": 0, "size": 4}),
        (1, Op.ST, {"dst": SPILL, "src": 0, "size": 4}),
        (1, Op.SEND, {"src": 0, "size": 2, "peer": 0}),
        (0, Op.RECV, {"dst": 8, "size": 2, "peer": 1}),
        (0, Op.LD, {"dst": 0, "src": SPILL, "size": 4}),
        (0, Op.ST, {"dst": OUTPUT, "src": 0, "size": 4}),
    ]
    done: list[Row] = [
        (0, Op.SEND, {"src": 8, "size": 2, "peer": 1}),
        (1, Op.RECV, {"dst": 8, "size": 2, "peer": 0}),
    ]
    return rows + done if announced else rows


def test_reuse_of_global_memory_in_the_next_round_is_ordered() -> None:
    verify_program(build(one_way(announced=True), 2), tiny_arch(16))
    with pytest.raises(InvariantError, match=f"row 4, st .node fc.: stores to global address {SPILL}, but no chain"):
        verify_program(build(one_way(announced=False), 2), tiny_arch(16))


def test_two_cores_must_not_store_to_the_same_place() -> None:
    rows: list[Row] = [(c, Op.LLDI, {"dst": 0, "size": 4}) for c in (0, 1)]
    rows += [(c, Op.ST, {"dst": OUTPUT, "src": 0, "size": 4}) for c in (0, 1)]
    with pytest.raises(InvariantError, match=f"stores to global address {OUTPUT}, but no chain .* after a store"):
        verify_program(build(rows, 2), tiny_arch(16))


def test_what_a_pipeline_leaves_for_the_next_round_needs_a_delay() -> None:
    rows: list[Row] = [
        (0, Op.ST, {"dst": OUTPUT, "src": 8, "size": 4}),
        (0, Op.VRELU, {"dst": 8, "src": 0, "size": 2}),
        (0, Op.LD, {"dst": 0, "src": INPUT, "size": 8}),
    ]
    verify_program(build(rows, 2, output_round_delay=2), tiny_arch(16))
    for delay in (0, 1):
        with pytest.raises(InvariantError):
            verify_program(build(rows, 2, output_round_delay=delay), tiny_arch(16))


BROKEN: list[tuple[str, Break, str]] = [
    ("scalar op", cell("op", Op.VRELU, 0, Op.SADD), "opcode 3 must not be in a table"),
    ("empty vector", cell("size", Op.VRELU, 0, 0), "core 0, row 8, vrelu (node fc): size 0"),
    ("beyond local memory", cell("dst", Op.VRELU, 0, 300), "beyond the core's peak"),
    ("misaligned", cell("src", Op.VRELU, 0, 45), "misaligned address 45"),
    ("half an element", cell("size", Op.LD, 0, 7), "7 bytes are not whole elements"),
    ("no such group", cell("group", Op.MVMUL, 1, 1), "core 1, row 11, mvmul (node fc): array group 1 does not exist"),
    ("no such core", cell("peer", Op.SEND, 0, 2), "no core 2"),
    ("wrong peer", cell("peer", Op.SEND, 0, 0), "not next in the order"),
    ("sizes differ", cell("size", Op.SEND, 0, 2), "sends 2 bytes, row 10 receives 4"),
    ("a swapped order", swapped_order, "do not follow the global order"),
    ("wrong register", wrong_register, "does not hold the operand"),
    ("widths not set", lost_widths, "the setbw in front is for other bits than 4"),
    ("a load is missing", lost_load, "mvmul (node fc): register"),
    ("never written", cell("src", Op.VRELU, 0, 26), "reads local address 26, which was never written"),
    ("never loaded", cell("size", Op.LD, 0, 6), "core 1, row 11, mvmul (node fc): reads local address 18"),
    ("overwrites the input", cell("dst", Op.ST, 0, 2), "holds an input or a constant"),
    ("output not stored", cell("size", Op.ST, 0, 2), "global address 8194 is not stored in every round"),
    ("unordered load", announcement_gone, f"loads global address {SPILL}, but no chain"),
    ("no stride", lambda p: with_cell(with_cell(p, "op", 8, Op.VMV), "src2", 8, -1), "stride -1"),
    ("no bound", cell("op", Op.VRELU, 0, Op.VRSU), "no bound number 0"),
    ("overlap", lambda p: with_cell(with_cell(p, "op", 8, Op.LMV), "src", 8, 48), "overlap"),
    ("fewer crossbars", lambda p: replace(p, group_crossbars=np.array([3, 1], np.int32)), "3 crossbars of 2"),
    ("matrix too wide", lambda p: replace(p, matrices=(np.ones((2, 9), np.float32),) * 2), "does not fit 1 crossbars"),
    ("peak above memory", lambda p: replace(p, local_peak_bytes=np.array([257, 9])), "257 of 256 bytes"),
    ("short column", lambda p: replace(p, core_start=np.array([0, 10, 13])), "core_start does not divide"),
]


@pytest.mark.parametrize(("broken", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_every_violation_is_named(broken: Break, message: str) -> None:
    with pytest.raises(InvariantError) as error:
        verify_program(broken(tiny_program(2)), tiny_arch(16))
    assert message in str(error.value)
