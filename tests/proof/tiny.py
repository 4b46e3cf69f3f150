"""A convolution with one output position, by hand, on two cores: all a real program has, in 14 rows.

y = relu(bias + x @ w) over 4 inputs and 2 outputs; each core multiplies half of the rows. The second core's sum takes
a way through global memory.
"""

from dataclasses import replace

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Checkpoints, Op, Program, Table
from pimcomp.isa.registers import assign_registers

INPUT, BIAS, SPILL, OUTPUT = 0, 1 << 33, 4096, 8192
WEIGHTS = np.array([[1.0, -2.0], [0.5, 0.25], [-1.0, 1.0], [2.0, 0.0]], np.float32)
BIASES = np.array([0.5, -0.125], np.float32)


def tiny_arch(bits: int = 8) -> Arch:
    """Two small cores."""
    return Arch(
        name="tiny",
        cores=2, crossbars_per_core=2, crossbar_rows=4, crossbar_cols=2 * bits, cell_bits=2, weight_bits=bits,
        activation_bits=bits, psum_bits=bits, local_memory_bytes=256, dac_count=4, adc_count=4,
    )  # fmt: skip


Row = tuple[int, Op, dict[str, int]]  # core, opcode, the columns that matter


def build(rows: list[Row], width: int, **fields: object) -> Program:
    """A program of two cores from rows in the global order, with inputs, outputs and matrices of the convolution."""
    order = sorted(range(len(rows)), key=lambda r: rows[r][0])

    def column(name: str, dtype: type[np.generic], neutral: int = 0) -> np.ndarray:
        return np.array([rows[r][2].get(name, neutral) for r in order], dtype)

    table = Table(
        op=np.array([rows[r][1] for r in order], np.uint8),
        group=column("group", np.int32, -1),
        dst=column("dst", np.int64),
        src=column("src", np.int64),
        src2=column("src2", np.int64),
        size=column("size", np.int32),
        peer=column("peer", np.int32, -1),
        relu=column("relu", np.uint8),
        node=np.ones(len(rows), np.int32),
        order=np.array(order, np.int64),
    )
    start = np.searchsorted([rows[r][0] for r in order], range(3))
    none = np.zeros(0, np.int32)
    nowhere = none.astype(np.int64)
    defaults: dict[str, object] = {
        "cores": 2,
        "element_bytes": width,
        "table": table,
        "core_start": start,
        "registers": assign_registers(table, start),
        "group_start": np.array([0, 1, 2], np.int64),
        "group_weight_bits": np.zeros(2, np.int32),
        "group_activation_bits": np.zeros(2, np.int32),
        "group_crossbars": np.array([1, 1], np.int32),
        "group_matrix": np.array([0, 1], np.int32),
        "group_node": np.array([1, 1], np.int32),
        "matrices": (WEIGHTS[:2], WEIGHTS[2:]),
        "constant_addresses": BIAS + width * np.arange(2),
        "constant_values": BIASES,
        "inputs": {"x": INPUT + width * np.arange(4).reshape(1, 4)},
        "outputs": {"y": OUTPUT + width * np.arange(2).reshape(1, 2)},
        "clip_values": np.zeros(0, np.float32),
        "local_peak_bytes": np.array([40 * width, 20 * width], np.int64),
        "checkpoints": Checkpoints(
            after=nowhere, node=none, image=none, row=none, col_start=none, col_stop=none, address=nowhere
        ),
        "node_names": ("x", "fc"),
    }
    return Program(**(defaults | fields))  # type: ignore[arg-type]


def tiny_program(width: int = 1) -> Program:
    """The program, with elements of `width` bytes."""
    w = width
    rows: list[Row] = [
        (0, Op.LD, {"dst": 0, "src": INPUT, "size": 4 * w}),
        (0, Op.SEND, {"src": 2 * w, "size": 2 * w, "peer": 1}),
        (1, Op.RECV, {"dst": 8 * w, "size": 2 * w, "peer": 0}),
        (0, Op.MVMUL, {"dst": 16 * w, "src": 0, "group": 0}),
        (1, Op.MVMUL, {"dst": 0, "src": 8 * w, "group": 0}),
        (1, Op.ST, {"dst": SPILL, "src": 0, "size": 2 * w}),
        (1, Op.SEND, {"src": 0, "size": w, "peer": 0}),  # tells core 0 that SPILL is there
        (0, Op.RECV, {"dst": 30 * w, "size": w, "peer": 1}),
        (0, Op.LD, {"dst": 18 * w, "src": SPILL, "size": 2 * w}),
        (0, Op.LD, {"dst": 20 * w, "src": BIAS, "size": 2 * w}),
        (0, Op.VVADD, {"dst": 22 * w, "src": 16 * w, "src2": 18 * w, "size": 2}),
        (0, Op.VVADD, {"dst": 22 * w, "src": 22 * w, "src2": 20 * w, "size": 2}),
        (0, Op.VRELU, {"dst": 24 * w, "src": 22 * w, "size": 2}),
        (0, Op.ST, {"dst": OUTPUT, "src": 24 * w, "size": 2 * w}),
    ]
    zero, one = np.array([0], np.int32), np.array([1], np.int32)
    relu = Checkpoints(
        after=np.array([8]), node=one, image=zero, row=zero, col_start=zero, col_stop=one, address=np.array([24 * w])
    )
    return build(rows, width, checkpoints=relu)


def with_cell(program: Program, column: str, row: int, value: int) -> Program:
    """The program with one field of one row changed and its registers assigned anew."""
    changed = getattr(program.table, column).copy()
    changed[row] = value
    return with_table(program, replace(program.table, **{column: changed}))


def with_table(program: Program, table: Table) -> Program:
    """The program with another table and its registers assigned anew."""
    return replace(program, table=table, registers=assign_registers(table, program.core_start))
