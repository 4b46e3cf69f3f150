"""What each instruction computes, and everything the instruction set forbids.

Covers: faults, float_kernel, resolve, run.
"""

import numpy as np
import pytest

from pimcomp.emit.decode import Decoded, MemoryImage
from pimcomp.errors import InvariantError
from pimcomp.ir.program import Op
from pimcomp.proof.interpret.faults import Deadlock, ExecutionError, Fault
from pimcomp.proof.interpret.run import execute, prepare
from tests.proof.interpret.assembler import Body, assemble, at, image, raw

HIGH = 5 << 32  # global addresses beyond 32 bits
INPUT, OUTPUT = HIGH + 0xFFFFFFF0, HIGH + (1 << 32) + 64


def run(decoded: Decoded, memory: MemoryImage, x: np.ndarray, *, rounds: int = 1) -> np.ndarray:
    """x: [lanes, rounds, elements] (fewer axes: one lane, one round); y in the same form."""
    x = np.asarray(x, np.float32).reshape((1,) * (3 - np.ndim(x)) + np.shape(x))
    return execute(prepare(decoded, memory, rounds=rounds), {"x": x}).outputs["y"]


def unary(body: Body, n_in: int, n_out: int, x: np.ndarray, *, bits: int = 8, **memory: object) -> np.ndarray:
    """Load x to address 0, do `body`, store n_out elements from 512."""
    b = bits // 8
    program = [at(Op.LD, dst=0, src=INPUT, n=n_in * b), *body, at(Op.ST, dst=OUTPUT, src=512, n=n_out * b)]
    mem = image(
        inputs=INPUT + b * np.arange(n_in),
        outputs=OUTPUT + b * np.arange(n_out),
        **memory,  # type: ignore[arg-type]
    )
    groups = [len(memory.get("matrices", {}))]  # type: ignore[arg-type]
    return run(assemble([program], bits=bits, groups=groups), mem, x)


X = np.array([-3.0, 0.5, 2.0, -0.25, 7.0, 1.0], np.float32)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Op.VVADD, X[:3] + X[3:]),
        (Op.VVSUB, X[:3] - X[3:]),
        (Op.VVMUL, X[:3] * X[3:]),
        (Op.VVMAX, np.maximum(X[:3], X[3:])),
        (Op.VVDMUL, [X[:3] @ X[3:]]),
        (Op.VRELU, np.maximum(X[:3], 0)),
        (Op.VTANH, np.tanh(X[:3])),
        (Op.VSIGM, 1 / (1 + np.exp(-X[:3]))),
        (Op.LMV, X[:3]),
    ],
)
def test_vector_operations(op: Op, expected: np.ndarray, bits: int) -> None:
    n = 3 * bits // 8 if op == Op.LMV else 3
    y = unary([at(op, dst=512, src=0, src2=3 * bits // 8, n=n)], 6, len(expected), X, bits=bits)
    np.testing.assert_allclose(y[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("bits", [8, 16])
def test_strided_operations(bits: int) -> None:
    np.testing.assert_array_equal(unary([at(Op.VMV, dst=512, src=0, src2=2, n=3)], 6, 3, X, bits=bits)[0, 0], X[::2])
    np.testing.assert_allclose(
        unary([at(Op.VAVG, dst=512, src=0, src2=2, n=3)], 6, 1, X, bits=bits)[0, 0, 0], X[::2].mean()
    )


def test_bounds_come_from_the_memory_image() -> None:
    body = [at(Op.VRSU, dst=512, src=0, n=6), at(Op.VRSL, dst=512, src=512, n=6)]
    # setbw, then four scalar loads in front of ld, three in front of the others
    clips = [(0, 1 + 5 + 3, 1.5), (0, 1 + 5 + 4 + 3, -1.0)]
    np.testing.assert_array_equal(unary(body, 6, 6, X, clips=clips)[0, 0], np.clip(X, -1.0, 1.5))
    with pytest.raises(ExecutionError, match="no bound"):
        unary(body, 6, 6, X, clips=clips[:1])


@pytest.mark.parametrize("lanes", [1, 5])
@pytest.mark.parametrize("relu", [0, 1])
def test_mvmul_is_rows_times_matrix(lanes: int, relu: int) -> None:
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((6, 4)), rng.standard_normal((lanes, 1, 6))
    y = unary([at(Op.MVMUL, dst=512, src=0, group=0, relu=relu)], 6, 4, x, matrices={(0, 0): w})
    expected = x @ w
    np.testing.assert_allclose(y, np.maximum(expected, 0) if relu else expected, rtol=1e-5, atol=1e-6)


def test_lldi_fills_bytes() -> None:
    body = [at(Op.LLDI, dst=512, n=6), at(Op.LLDI, dst=514, n=1, imm=0xFF)]
    np.testing.assert_array_equal(unary(body, 6, 6, X)[0, 0], [0, 0, -1, 0, 0, 0])


def test_vector_operations_read_before_they_write() -> None:
    body = [at(Op.LMV, dst=511, src=0, n=6), at(Op.VRELU, dst=512, src=511, n=5), at(Op.VRELU, dst=517, src=511, n=1)]
    assert unary(body, 6, 5, np.abs(X))[0, 0].tolist() == np.abs(X)[:5].tolist()


def test_scalar_instructions_execute_and_wrap() -> None:
    body = [
        raw(Op.SLDI, rd=8, imm=500),
        raw(Op.SADDI, rd=9, rs1=8, imm=12),  # 512
        raw(Op.SMULI, rd=10, rs1=8, imm=0),
        raw(Op.SADD, rd=11, rs1=9, rs2=10),
        raw(Op.SSUB, rd=12, rs1=11, rs2=9),  # 0
        raw(Op.SMUL, rd=13, rs1=9, rs2=12),
        raw(Op.VRELU, rd=11, rs1=13, length=6),
    ]
    np.testing.assert_array_equal(unary(body, 6, 6, X)[0, 0], np.maximum(X, 0))


BAD: list[tuple[str, Body, Fault]] = [
    ("register never set", [raw(Op.VRELU, rd=20, rs1=21, length=1)], Fault.UNSET_REGISTER),
    ("odd register for a global address", [at(Op.SLDI), raw(Op.LD, rd=2, rs1=5, size=1)], Fault.BAD_REGISTER),
    ("beyond local memory", [at(Op.VRELU, dst=(1 << 24) - 2, src=0, n=3)], Fault.OUT_OF_RANGE),
    ("below local memory", [at(Op.VRELU, dst=512, src=-1, n=3)], Fault.OUT_OF_RANGE),
    ("never written", [at(Op.VRELU, dst=512, src=5, n=2)], Fault.UNREADABLE),
    ("no such group", [at(Op.MVMUL, dst=512, src=0, group=1)], Fault.BAD_GROUP),
    ("no such core", [at(Op.SEND, src=0, n=1, core=7)], Fault.BAD_PEER),
    ("to itself", [at(Op.SEND, src=0, n=1, core=0)], Fault.BAD_PEER),
    ("empty", [at(Op.VRELU, dst=512, src=0, n=0)], Fault.BAD_LENGTH),
    ("len and size differ", [at(Op.LMV, dst=512, src=0, n=4, size=3)], Fault.LENGTH_MISMATCH),
    ("overlapping copy", [at(Op.LMV, dst=2, src=0, n=4)], Fault.OVERLAP),
    ("offset", [at(Op.VRELU, dst=512, src=0, n=1, offset_value=4, offset_select=1)], Fault.OFFSET),
    ("a negative stride", [at(Op.VMV, dst=512, src=0, src2=-1, n=2)], Fault.BAD_STRIDE),
    ("shift by a fraction", [at(Op.VVSLL, dst=512, src=0, src2=1, n=1)], Fault.BAD_SHIFT),
    ("sld", [raw(Op.SLD, rd=3)], Fault.SLD),
    ("store into the input", [at(Op.ST, dst=INPUT, src=0, n=1)], Fault.WRITES_INPUT),
    ("hole in the numbering", [{"op": 21, "length": 1}], Fault.UNKNOWN_OP),
    ("weights without bits", [at(Op.MVMUL, dst=512, src=0, group=0, mbiw=0)], Fault.BAD_MBIW),
]


@pytest.mark.parametrize(("body", "fault"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_not_allowed_is_an_error(body: Body, fault: Fault) -> None:
    with pytest.raises(ExecutionError) as error:
        unary(body, 6, 1, X, matrices={(0, 0): np.ones((6, 1))})
    assert (error.value.fault, error.value.core) == (fault, 0)


def test_the_error_names_core_instruction_operation_and_address() -> None:
    program = [[], [at(Op.LLDI, dst=0, n=4), at(Op.VVADD, dst=8, src=0, src2=3, n=2)]]
    with pytest.raises(ExecutionError, match="core 1, instruction 8, vvadd: reads address 4"):
        execute(prepare(assemble(program), image()), {})


def test_misaligned_reads_find_no_element() -> None:
    with pytest.raises(ExecutionError) as error:
        unary([at(Op.VRELU, dst=512, src=1, n=1)], 3, 1, X[:3], bits=16)
    assert error.value.fault == Fault.UNREADABLE


def test_widths_must_be_set() -> None:
    decoded = assemble([[at(Op.LLDI, dst=0, n=4), at(Op.VRELU, dst=0, src=0, n=4)]], bits=0)
    with pytest.raises(ExecutionError, match="no setbw"):
        prepare(decoded, image())


def test_outputs_must_be_written() -> None:
    with pytest.raises(InvariantError, match="1 output elements hold nothing"):
        run(
            assemble([[at(Op.LD, dst=0, src=INPUT, n=1), at(Op.ST, dst=OUTPUT, src=0, n=1)]]),
            image(inputs=[INPUT], outputs=[OUTPUT, OUTPUT + 1]),
            X[:1],
        )


def test_deadlock_names_every_blocked_core() -> None:
    ring = [
        [at(Op.SEND, src=0, n=1, core=1), at(Op.RECV, dst=0, n=1, core=2)],
        [at(Op.SEND, src=0, n=1, core=2), at(Op.RECV, dst=0, n=1, core=0)],
        [at(Op.SEND, src=0, n=1, core=0), at(Op.RECV, dst=0, n=1, core=1)],
    ]
    with pytest.raises(Deadlock) as error:
        prepare(assemble(ring), image())
    assert error.value.blocked == tuple((core, 4, int(Op.SEND), (core + 1) % 3) for core in range(3))


def test_transfers_must_agree_in_size() -> None:
    pair = [[at(Op.SEND, src=0, n=2, core=1)], [at(Op.RECV, dst=0, n=1, core=0)]]
    with pytest.raises(ExecutionError, match="receiver takes 1 bytes"):
        prepare(assemble(pair), image())
