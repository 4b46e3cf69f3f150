"""Instruction streams of a whole chip as one structure of arrays, and everything needed to execute them.

An instruction is a row of `Table`; the rows of core c are [core_start[c], core_start[c + 1]), in execution order.
Operands are addresses (bytes), not registers: `registers.assign` decides which register holds which address and which
must be reloaded first. Semantics: docs/isa.md. File format and timing: pimsim-nn.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pimcomp.ir.brief import brief
from pimcomp.ir.graph import FloatArray, IntArray

LongArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]


class Op(IntEnum):
    """Instructions with the numbers of the HEAPLab fork's binary form; names are the simulator's, in upper case."""

    NOP = 0
    SLDI = 1
    SLD = 2
    SADD = 3
    SSUB = 4
    SMUL = 5
    SADDI = 6
    SMULI = 7
    SETBW = 8
    MVMUL = 9
    VVADD = 10
    VVSUB = 11
    VVMUL = 12
    VVDMUL = 13
    VVMAX = 14
    VVSLL = 15
    VVSRA = 16
    VAVG = 17
    VRELU = 18
    VTANH = 19
    VSIGM = 20
    VMV = 22
    VRSU = 23
    VRSL = 24
    LD = 25
    ST = 26
    LLDI = 27
    LMV = 28
    SEND = 29
    RECV = 30
    WAIT = 31
    SYNC = 32


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table:
    """Structure of arrays, one entry per instruction, all of the same length.

    op: `Op`. group: array group of an mvmul (index within its core), else -1.
    dst, src, src2: byte addresses (local; global for ld.src and st.dst). src2 is the second vector operand, the
    stride in elements of vmv/vavg, the index into `Program.clip_values` for vrsu/vrsl, the fill byte of lldi.
    size: elements for vector instructions, bytes for ld/st/lldi/lmv/send/recv, 0 for mvmul.
    peer: other core of send/recv, else -1. relu: fused ReLU of mvmul. node: graph node it works for, else -1.
    order: position in the chip's global order (rows of one transfer's two ends are neighbours in it).
    """

    op: ByteArray
    group: IntArray
    dst: LongArray
    src: LongArray
    src2: LongArray
    size: IntArray
    peer: IntArray
    relu: ByteArray
    node: IntArray
    order: LongArray


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Registers:
    """Which registers hold an instruction's operands, and which of them an `sldi` must load first.

    rd, rs1, rs2: uint8 register numbers (for a global address the even register of the pair). loads: uint8 bit mask,
    bit 0: sldi rd, bit 1: sldi rs1, bit 2: sldi rs2, bit 3: the high half of the global pair; the number of set bits
    is the number of scalar instructions in front. Operands an instruction does not have keep register 0 and no load.
    """

    rd: ByteArray
    rs1: ByteArray
    rs2: ByteArray
    loads: ByteArray


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Checkpoints:
    """Where intermediate feature maps can be seen: after row `after` of the table, core-local bytes hold part of a map.

    One entry per (node, image, row segment): elements of columns [col_start, col_stop) x all channels of row `row`
    of `node`, in (column, channel) order, are at `address` of the local memory of the core that executes `after`.
    """

    after: LongArray
    node: IntArray
    image: IntArray
    row: IntArray
    col_start: IntArray
    col_stop: IntArray
    address: LongArray


@brief
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Program:
    """A compiled program.

    core_start: int64[cores + 1] into the table. Array groups are sorted by core: those of core c are
    [group_start[c], group_start[c + 1]); group_crossbars physical crossbars each, group_weight_bits and
    group_activation_bits the bits of its weights and of what it reads (0: the chip's), group_matrix which of `matrices`
    (float32[rows, cols], shared by replicas) it multiplies with, group_node its graph node.
    constant_addresses / constant_values: elements in global memory. inputs / outputs: per ONNX tensor name, byte
    address of every element in the ONNX shape, with a leading axis of images_per_round when that is > 1.
    clip_values: real bounds of vrsu/vrsl. local_peak_bytes: int64[cores], highest local address used + 1.
    spilled_bytes: moved to and from global memory per round because local memory is too small.
    output_round_delay: rounds after which a round's outputs appear (0: in the same round); output_delays: of those that
    appear before that.
    """

    cores: int
    element_bytes: int
    table: Table
    core_start: LongArray
    registers: Registers
    group_start: LongArray
    group_crossbars: IntArray
    group_weight_bits: IntArray
    group_activation_bits: IntArray
    group_matrix: IntArray
    group_node: IntArray
    matrices: tuple[FloatArray, ...]
    constant_addresses: LongArray
    constant_values: FloatArray
    inputs: dict[str, LongArray]
    outputs: dict[str, LongArray]
    clip_values: FloatArray
    local_peak_bytes: LongArray
    checkpoints: Checkpoints
    node_names: tuple[str, ...]
    images_per_round: int = 1
    output_round_delay: int = 0
    spilled_bytes: int = 0
    output_delays: dict[str, int] = field(default_factory=dict)

    @property
    def instructions(self) -> int:
        """Rows of the table (scalar instructions not counted)."""
        return len(self.table.op)
