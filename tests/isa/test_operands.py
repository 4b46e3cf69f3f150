"""Which bytes instructions touch, against docs/isa.md written down a second time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.isa.operands import extents, operand_bytes
from pimcomp.isa.table import IN_TABLE
from tests.proof.tiny import tiny_program

ELEMENT_WISE = {
    "input": (Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VRELU),
    "output": (Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VTANH, Op.VSIGM, Op.VRSU, Op.VRSL),
}
TWO = (Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVDMUL, Op.VVMAX, Op.VVSLL, Op.VVSRA)


def by_hand(op: Op, size: int, stride: int, matrix: tuple[int, int], widths: tuple[int, int]) -> tuple[int, int, int]:
    """Bytes (written, read at src, read at src2)."""
    ib, ob = widths
    if op == Op.MVMUL:
        return matrix[1] * ob, matrix[0] * ib, 0
    if op in (Op.LD, Op.LLDI, Op.RECV):
        return size, 0, 0
    if op in (Op.ST, Op.SEND):
        return 0, size, 0
    if op == Op.LMV:
        return size, size, 0
    read2 = size * ib if op in TWO else 0
    if op in (Op.VAVG, Op.VMV):
        return (ob if op == Op.VAVG else size * ib), ((size - 1) * stride + 1) * ib, 0
    if op == Op.VVDMUL:
        return ob, size * ib, read2
    return size * (ib if op in ELEMENT_WISE["input"] else ob), size * ib, read2


@given(
    op=st.sampled_from([op for op in Op if IN_TABLE[op]]),
    size=st.integers(1, 999),
    stride=st.integers(1, 9),
    matrix=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    widths=st.tuples(st.integers(1, 2), st.integers(1, 4)),
)
def test_bytes_are_those_of_the_documented_instruction(
    op: Op, size: int, stride: int, matrix: tuple[int, int], widths: tuple[int, int]
) -> None:
    row = np.array([size]), np.array([stride]), np.array(matrix)[:, None], tuple(np.int64(w) for w in widths)
    found = operand_bytes(np.array([op], np.uint8), row[0], row[1], row[2], (row[3][0], row[3][1]))
    assert tuple(found[:, 0].tolist()) == by_hand(op, size, stride, matrix, widths)


@pytest.mark.parametrize("width", [1, 2])
def test_a_matrix_operand_is_as_long_as_the_group_s_matrix(width: int) -> None:
    program = tiny_program(width)
    found = extents(program)
    fires = np.flatnonzero(program.table.op == Op.MVMUL)
    assert found.read_bytes[fires].tolist() == [2 * width] * len(fires)
    assert found.write_bytes[fires].tolist() == [2 * width] * len(fires)
