"""Integer arithmetic of each instruction: rounding, saturation, shifts, poison.

Covers: integer_kernel, integer_run.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.ir.program import Op
from pimcomp.proof.interpret.faults import ExecutionError, Fault
from pimcomp.proof.interpret.integer_kernel import Scales, Weights, multiply, rescale
from pimcomp.proof.interpret.integer_run import IntegerProgram, execute_integer, to_integers
from pimcomp.proof.interpret.run import Prepared, prepare
from tests.proof.interpret.assembler import Body, assemble, at, image, raw

INPUT, OUTPUT = 0, 64


def with_scales(
    prepared: Prepared, shift: int, matrix: np.ndarray, exponents: tuple[int, int] = (0, 0)
) -> IntegerProgram:
    """Every instruction rescales by `shift`; inputs and outputs are whole numbers; bounds are 5."""
    rows = len(prepared.stream.op)
    constant = np.full(rows, shift, np.int32)
    scales = Scales(
        constant, np.full(rows, exponents[0], np.int32), np.full(rows, exponents[1], np.int32), constant * 0 + 5
    )
    m = prepared.matrices
    return IntegerProgram(
        bits=8,
        scales=scales,
        weights=Weights(m.start, m.rows, m.cols, matrix.astype(np.int32).ravel(), True),
        constants=np.zeros(0, np.int32),
        input_exponent=np.zeros(len(prepared.inputs.address), np.int32),
        output_exponent=np.zeros(len(prepared.outputs.address), np.int32),
    )


def run(
    body: Body, n_in: int, n_out: int, x: list[int], *, shift: int = 0, matrix: np.ndarray | None = None
) -> list[float]:
    w = np.zeros((1, 1)) if matrix is None else matrix
    program: Body = [at(Op.LD, dst=0, src=INPUT, n=n_in), *body, at(Op.ST, dst=OUTPUT, src=64, n=n_out)]
    decoded: Decoded = assemble([program], groups=[1])
    memory: MemoryImage = image(
        inputs=range(INPUT, INPUT + n_in), outputs=range(OUTPUT, OUTPUT + n_out), matrices={(0, 0): w}
    )
    prepared = prepare(decoded, memory)
    values = {"x": np.array(x, np.float32).reshape(1, 1, n_in)}
    found: list[float] = execute_integer(prepared, with_scales(prepared, shift, w), values)["y"][0, 0].tolist()
    return found


@pytest.mark.parametrize(
    ("op", "x", "shift", "expected"),
    [
        (Op.VVADD, [100, -100, 3, 100, -100, 4], 0, [127, -128, 7]),
        (Op.VVSUB, [100, -100, 3, -100, 100, 4], 0, [127, -128, -1]),
        (Op.VVMAX, [1, -5, 3, 0, -4, 3], 0, [1, -4, 3]),
        (Op.VVMUL, [10, -10, 7, 10, 10, -1], 3, [13, -12, -1]),  # 12.5 and -12.5 round up, -0.875 to -1
        (Op.VVMUL, [100, -100, 1, 100, 100, 1], 0, [127, -128, 1]),
        (Op.VVDMUL, [1, 2, 3, 4, 5, 6], 2, [8]),  # 32 >> 2
        (Op.VVSLL, [1, 100, -3, 2, 1, 1], 0, [4, 127, -6]),
        (Op.VVSRA, [9, -9, 5, 1, 1, 0], 0, [4, -5, 5]),
    ],
)
def test_two_operands(op: Op, x: list[int], shift: int, expected: list[int]) -> None:
    assert run([at(op, dst=64, src=0, src2=3, n=3)], 6, len(expected), x, shift=shift) == expected


@pytest.mark.parametrize(
    ("op", "expected"),
    [(Op.VRELU, [7, 0, 3]), (Op.VRSU, [5, -4, 3]), (Op.VRSL, [7, 5, 5]), (Op.VSIGM, [1, 0, 1]), (Op.VTANH, [1, -1, 1])],
)
def test_one_operand(op: Op, expected: list[int]) -> None:
    assert run([at(op, dst=64, src=0, n=3)], 3, 3, [7, -4, 3]) == expected


def test_averages_round_half_up() -> None:
    assert run([at(Op.VAVG, dst=64, src=0, src2=1, n=2)], 2, 1, [1, 2]) == [2]
    assert run([at(Op.VAVG, dst=64, src=0, src2=1, n=2)], 2, 1, [-1, -2]) == [-1]
    assert run([at(Op.VAVG, dst=64, src=0, src2=2, n=2)], 3, 1, [4, 99, 5]) == [5]


def test_matrix_products_are_exact_before_the_shift() -> None:
    w = np.array([[127, -128], [127, 1]])
    assert run([at(Op.MVMUL, dst=64, src=0, group=0)], 2, 2, [127, 127], shift=8, matrix=w) == [126, -63]
    assert run([at(Op.MVMUL, dst=64, src=0, group=0, relu=1)], 2, 2, [127, 127], shift=8, matrix=w) == [126, 0]
    assert run([at(Op.MVMUL, dst=64, src=0, group=0)], 2, 2, [127, 127], shift=0, matrix=w) == [127, -128]


@settings(max_examples=20)
@given(x=st.lists(st.integers(-128, 127), min_size=3, max_size=3), bits=st.integers(2, 8))
def test_fewer_input_bits_read_the_highest_rounded_half_up_and_saturated(x: list[int], bits: int) -> None:
    """Of the sums nothing else changes; what follows reads whole elements again."""
    narrow, wide = raw(Op.SETBW, ibiw=bits, obiw=8), raw(Op.SETBW, ibiw=8, obiw=8)
    body: Body = [narrow, at(Op.MVMUL, dst=80, src=0, group=0), wide, at(Op.VVADD, dst=64, src=80, src2=0, n=3)]
    step = 1 << (8 - bits)
    read = np.minimum((np.array(x) + step // 2) // step, (1 << (bits - 1)) - 1) * step
    expected = np.clip(np.clip(3 * read, -128, 127) + x, -128, 127)
    assert run(body, 3, 3, x, matrix=3 * np.eye(3)) == expected.tolist()


def test_cells_never_written_are_found() -> None:
    with pytest.raises(ExecutionError) as error:
        run([at(Op.VVADD, dst=64, src=0, src2=8, n=1)], 1, 1, [1])
    assert error.value.fault == Fault.UNREADABLE


@settings(max_examples=100)
@given(total=st.integers(-(2**40), 2**40), shift=st.integers(-8, 40), bits=st.sampled_from([8, 16]))
def test_rescaling_rounds_half_up_and_saturates(total: int, shift: int, bits: int) -> None:
    top = (1 << (bits - 1)) - 1
    exact = (2 * total + 2**shift) // (2 * 2**shift) if shift > 0 else total * 2**-shift
    assert rescale(np.int64(total), np.int64(shift), np.int64(top)) == min(max(exact, -top - 1), top)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
def test_products_equal_numpys(seed: int, wide: bool) -> None:
    rng = np.random.default_rng(seed)
    limit = 1 << (15 if wide else 7)
    x = rng.integers(-limit, limit, (30, 3)).astype(np.int32)
    w = rng.integers(-limit, limit, (30, 5)).astype(np.int32)
    out = np.empty((5, 3), np.int64)
    multiply(x, 30, 5, w.ravel(), 0, np.empty(5, np.int64 if wide else np.int32), out)
    np.testing.assert_array_equal(out, w.T.astype(np.int64) @ x)


def test_real_numbers_become_integers_by_rounding_half_up() -> None:
    assert to_integers(np.array([0.5, -0.5, 1.49, 1000.0, -1000.0]), 0, 8).tolist() == [1, 0, 1, 127, -128]
    assert to_integers(np.array([0.75]), -2, 8).tolist() == [3]
