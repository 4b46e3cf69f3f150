"""Small programs made by hand or drawn at random: plausible for the emitters, meaningless as networks."""

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import Checkpoints, LongArray, Op, Program, Registers, Table
from pimcomp.isa.registers import assign_registers

VECTOR = (Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVDMUL, Op.VVMAX, Op.VVSLL, Op.VVSRA, Op.VRELU, Op.VTANH, Op.VSIGM)
ANY = (Op.MVMUL, *VECTOR, Op.VAVG, Op.VMV, Op.VRSU, Op.VRSL, Op.LD, Op.ST, Op.LLDI, Op.LMV, Op.SEND, Op.RECV)


def small_arch(cores: int = 4) -> Arch:
    """A chip with room for the random programs."""
    return Arch(name="small", cores=cores, crossbars_per_core=16, cell_bits=2, weight_bits=8)


def make_table(core_start: LongArray, rows: list[dict[str, int]]) -> Table:
    """A table from one dictionary per row; absent fields get the table's neutral value."""

    def column(name: str, dtype: type[np.generic], neutral: int = 0) -> np.ndarray:
        return np.array([row.get(name, neutral) for row in rows], dtype)

    assert core_start[-1] == len(rows)
    return Table(
        op=column("op", np.uint8),
        group=column("group", np.int32, -1),
        dst=column("dst", np.int64),
        src=column("src", np.int64),
        src2=column("src2", np.int64),
        size=column("size", np.int32),
        peer=column("peer", np.int32, -1),
        relu=column("relu", np.uint8),
        node=column("node", np.int32, -1),
        order=np.arange(len(rows), dtype=np.int64),
    )


def random_table(
    seed: int, rows: int, cores: int, addresses: int = 48, ops: tuple[Op, ...] = ANY
) -> tuple[Table, LongArray]:
    """(table, core_start): random instructions over few distinct addresses: registers are reused and run out."""
    rng = np.random.default_rng(seed)
    core_start = np.concatenate([[0], np.sort(rng.integers(0, rows + 1, cores - 1)), [rows]]).astype(np.int64)
    op = rng.choice(np.array([int(o) for o in ops], np.uint8), rows)
    local = rng.integers(0, 2**18, addresses)
    far = rng.choice(np.array([0, 64, 2**31 - 4, 2**31, 2**32 + 8, 2**39 + 2**31, 2**40]), rows)
    dst, src, src2 = local[rng.integers(0, addresses, (3, rows))]
    is_transfer = (op == Op.SEND) | (op == Op.RECV)
    core = np.repeat(np.arange(cores), np.diff(core_start))
    src2 = np.where((op == Op.VRSU) | (op == Op.VRSL), rng.integers(0, 3, rows), src2)
    table = Table(
        op=op,
        group=np.where(op == Op.MVMUL, rng.integers(0, 3, rows), -1).astype(np.int32),
        dst=np.where(op == Op.ST, far, dst),
        src=np.where(op == Op.LD, far, src),
        src2=np.where(op == Op.LLDI, rng.integers(0, 256, rows), src2),
        size=np.where(op == Op.MVMUL, 0, rng.integers(1, 999, rows)).astype(np.int32),
        peer=np.where(is_transfer, (core + 1) % cores, -1).astype(np.int32),
        relu=np.where(op == Op.MVMUL, rng.integers(0, 2, rows), 0).astype(np.uint8),
        node=rng.integers(-1, 3, rows).astype(np.int32),
        order=rng.permutation(rows).astype(np.int64),
    )
    return table, core_start


def program_of(table: Table, core_start: LongArray, registers: Registers | None = None, **fields: object) -> Program:
    """A program around a table: three array groups of 1, 2 and 3 crossbars per core, two of them sharing a matrix."""
    cores = len(core_start) - 1
    names = ("input", "conv", "relu")
    rng = np.random.default_rng(0)
    matrices = tuple(rng.standard_normal((4, 2 + k)).astype(np.float32) for k in range(2))
    none: IntArray = np.zeros(0, np.int32)
    empty = Checkpoints(
        after=none.astype(np.int64), node=none, image=none, row=none, col_start=none, col_stop=none,
        address=none.astype(np.int64),
    )  # fmt: skip
    defaults: dict[str, object] = {
        "cores": cores,
        "element_bytes": 1,
        "table": table,
        "core_start": core_start,
        "registers": registers or assign_registers(table, core_start),
        "group_start": np.arange(cores + 1, dtype=np.int64) * 3,
        "group_weight_bits": np.zeros(3 * cores, np.int32),
        "group_activation_bits": np.zeros(3 * cores, np.int32),
        "group_crossbars": np.tile(np.array([1, 2, 3], np.int32), cores),
        "group_matrix": np.tile(np.array([0, 1, 0], np.int32), cores),
        "group_node": np.ones(cores * 3, np.int32),
        "matrices": matrices,
        "constant_addresses": np.array([100, 101, 2**33], np.int64),
        "constant_values": np.array([0.5, -1.0, 3.25], np.float32),
        "inputs": {"image": np.arange(6, dtype=np.int64).reshape(1, 1, 2, 3)},
        "outputs": {"scores": np.arange(4, dtype=np.int64).reshape(1, 4) + 512},
        "clip_values": np.array([6.0, 0.0, -1.5], np.float32),
        "local_peak_bytes": np.full(cores, 2**18, np.int64),
        "checkpoints": empty,
        "node_names": names,
    }
    return Program(**(defaults | fields))  # type: ignore[arg-type]


def random_program(seed: int, rows: int = 200, cores: int = 4, ops: tuple[Op, ...] = ANY) -> Program:
    """A random table with its registers, inside a whole program."""
    return program_of(*random_table(seed, rows, cores, ops=ops))
