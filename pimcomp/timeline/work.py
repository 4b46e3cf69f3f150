"""A program as the timing kernels see it: what every instruction occupies and for how long, without values.

All times are integer picoseconds: the simulator's own resolution, so sums are exact. Formulas: docs/timing.md, "unit
durations"; each is the behaviour of pimsim-nn, factors and floors included.
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op, Program

PS_PER_NS = 1000

# What occupies the core while an instruction runs.
MATRIX, VECTOR, LOCAL, SEND, RECV, LOAD, STORE, SYNC, WAIT, BUBBLE = range(10)

UNIT_OF = np.full(64, BUBBLE, np.uint8)
UNIT_OF[Op.MVMUL] = MATRIX
UNIT_OF[Op.VVADD : Op.VRSL + 1] = VECTOR
UNIT_OF[[Op.LLDI, Op.LMV]] = LOCAL
UNIT_OF[[Op.SEND, Op.RECV, Op.LD, Op.ST, Op.SYNC, Op.WAIT]] = [SEND, RECV, LOAD, STORE, SYNC, WAIT]

# Vector operations whose operands are two vectors, and those that write elements of the output width.
TWO_OPERANDS = np.zeros(64, np.bool_)
TWO_OPERANDS[[Op.VVADD, Op.VVSUB, Op.VVMUL, Op.VVDMUL, Op.VVMAX, Op.VVSLL, Op.VVSRA]] = True
WRITES_OUTPUT_WIDTH = np.zeros(64, np.bool_)
WRITES_OUTPUT_WIDTH[[Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VTANH, Op.VSIGM, Op.VRSU, Op.VRSL]] = True

_LMV = int(Op.LMV)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Widths:
    """The bit widths in force: int32[n] each. An instruction's `width` column indexes these (one entry per `setbw`)."""

    input_bits: IntArray
    output_bits: IntArray
    weight_bits: IntArray

    @property
    def input_bytes(self) -> IntArray:
        """Bytes of one input element."""
        return -(-self.input_bits // 8)

    @property
    def output_bytes(self) -> IntArray:
        """Bytes of one output element."""
        return -(-self.output_bits // 8)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stream:
    """Instructions with resolved operands, widths and front-end slots: the common form of programs of any origin.

    Columns as in `Table`; dst, src and src2 are the register values. bubbles: scalar instructions, `setbw` and `nop`
    in front of each; tail_bubbles int32[cores]: those after a core's last instruction (the simulator then never
    reports that core as finished). crossbars: of the array group of an mvmul. event: register of sync/wait; wait
    values are in `size`. lock_size: the size that the hazard check of lmv looks at.
    """

    core_start: LongArray
    op: ByteArray
    group: IntArray
    crossbars: IntArray
    dst: LongArray
    src: LongArray
    src2: LongArray
    size: IntArray
    lock_size: IntArray
    peer: IntArray
    event: IntArray
    bubbles: IntArray
    tail_bubbles: IntArray
    width: ByteArray
    widths: Widths

    @property
    def cores(self) -> int:
        """Cores, empty ones included."""
        return len(self.core_start) - 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Work:
    """Durations of a Stream on a chip, int64[instructions] in ps, all without waiting; 0 where they do not apply.

    read: reads of the local memory before computing (both operands); write: write to it. leg: computing of a vector
    instruction or mvmul; the one flit that asks (send, ld, sync) or grants (recv). payload: the data message; service:
    time in the global memory. period: core clock.
    """

    period: int
    unit: ByteArray
    read: LongArray
    leg: LongArray
    write: LongArray
    payload: LongArray
    service: LongArray


def stream_of(program: Program, arch: Arch) -> Stream:
    """The instructions of a compiled program; every core's stream starts with one `setbw`."""
    table, registers = program.table, program.registers
    bubbles = _BITS[registers.loads]
    sizes = np.diff(program.core_start)
    bubbles[program.core_start[:-1][sizes > 0]] += 1
    crossbars = np.zeros(program.instructions, np.int32)
    fires = np.flatnonzero(table.op == Op.MVMUL)
    if len(fires):
        core = np.searchsorted(program.core_start, fires, side="right") - 1
        crossbars[fires] = program.group_crossbars[program.group_start[core] + table.group[fires]]
    return Stream(
        core_start=program.core_start,
        op=table.op,
        group=table.group,
        crossbars=crossbars,
        dst=table.dst,
        src=table.src,
        src2=table.src2,
        size=table.size,
        lock_size=table.size,
        peer=table.peer,
        event=table.group,
        bubbles=bubbles,
        tail_bubbles=np.zeros(program.cores, np.int32),
        width=np.zeros(program.instructions, np.uint8),
        widths=Widths(
            input_bits=np.array([arch.activation_bits], np.int32),
            output_bits=np.array([arch.psum_bits], np.int32),
            weight_bits=np.array([arch.weight_bits], np.int32),
        ),
    )


_BITS = np.array([int(mask).bit_count() for mask in range(256)], np.int32)


def work_of(stream: Stream, arch: Arch) -> Work:
    """How long every instruction takes on this chip."""
    n = len(stream.op)
    columns = np.empty((5, n), np.int64)
    unit = UNIT_OF[stream.op]
    widths = stream.widths
    read_ps = np.array([_port_ps(arch, 8 * arch.crossbar_rows * int(b), write=False) for b in widths.input_bytes])
    compute_ps = np.array([_mvm_compute_ps(arch, int(bits)) for bits in widths.input_bits])
    _fill(
        stream.core_start,
        stream.op,
        unit,
        stream.crossbars,
        stream.size,
        stream.peer,
        stream.width,
        read_ps.astype(np.int64),
        compute_ps.astype(np.int64),
        column_bytes(widths, arch),
        widths.input_bytes.astype(np.int64),
        widths.output_bytes.astype(np.int64),
        arch.noc_latency_ns,
        np.array(
            [
                arch.local_width_bytes,
                arch.global_width_bytes,
                arch.bus_width_bytes,
                arch.vector_width,
                arch.local_read_cycles,
                arch.local_write_cycles,
                arch.global_read_cycles,
                arch.global_write_cycles,
                int(arch.vector_latency_ns),
            ],
            np.int64,
        ),
        np.array([arch.local_period_ns, arch.global_period_ns]),
        columns,
    )
    return Work(
        period=_ps(arch.core_period_ns),
        unit=unit,
        read=columns[0],
        leg=columns[1],
        write=columns[2],
        payload=columns[3],
        service=columns[4],
    )


def column_bytes(widths: Widths, arch: Arch) -> LongArray:
    """int64[n]: bytes that one crossbar writes back per MVM, for each width (0 where no weight width is set)."""
    weights = np.maximum(widths.weight_bits, 1)
    columns = np.where(widths.weight_bits > 0, arch.crossbar_cols * arch.cell_bits // weights, 0)
    return (columns * widths.output_bytes).astype(np.int64)


def _ps(time_ns: float) -> int:
    return int(time_ns * PS_PER_NS + 0.5)


def _port_ps(arch: Arch, size_bytes: int, *, write: bool) -> int:
    return _ps(arch.local_write_ns(size_bytes) if write else arch.local_read_ns(size_bytes))


def _mvm_compute_ps(arch: Arch, input_bits: int) -> int:
    """Crossbar time at the given input width (a `setbw` may choose another than the chip's)."""
    return _ps(replace(arch, activation_bits=input_bits, psum_bits=input_bits).mvm_compute_ns)


@numba.njit(cache=True)
def _beats_ps(size: int, width: int, cycles: int, period_ns: float) -> int:
    return int((-(-size // width)) * cycles * period_ns * PS_PER_NS + 0.5)


@numba.njit(cache=True)
def _fill(
    core_start: LongArray,
    op: ByteArray,
    unit: ByteArray,
    crossbars: IntArray,
    size: IntArray,
    peer: IntArray,
    width: ByteArray,
    mvm_read: LongArray,
    mvm_compute: LongArray,
    crossbar_bytes: LongArray,
    input_bytes: LongArray,
    output_bytes: LongArray,
    noc_ns: npt.NDArray[np.float64],
    chip: LongArray,
    memory_period_ns: npt.NDArray[np.float64],
    out: npt.NDArray[np.int64],
) -> None:
    """Fill the five duration columns. chip: the integers of `work_of`; memory_period_ns: local, global."""
    local_width, global_width, bus, vector_width = chip[0], chip[1], chip[2], chip[3]
    reads, writes, global_reads, global_writes, vector_ns = chip[4], chip[5], chip[6], chip[7], chip[8]
    local_ns, global_ns = memory_period_ns[0], memory_period_ns[1]
    memory = noc_ns.shape[0] - 1
    for core in range(len(core_start) - 1):
        for i in range(core_start[core], core_start[core + 1]):
            n = int(size[i])
            w = width[i]
            kind = unit[i]
            read = leg = write = payload = service = 0
            if kind == MATRIX:
                read, leg = mvm_read[w], mvm_compute[w]
                write = _beats_ps(crossbar_bytes[w] * crossbars[i], local_width, writes, local_ns)
            elif kind == VECTOR:
                read = _beats_ps(n * input_bytes[w], local_width, reads, local_ns)
                if TWO_OPERANDS[op[i]]:
                    read *= 2
                leg = -(-n // vector_width) * vector_ns * PS_PER_NS
                result = n * (output_bytes[w] if WRITES_OUTPUT_WIDTH[op[i]] else input_bytes[w])
                write = _beats_ps(result, local_width, writes, local_ns)
            elif kind in (SEND, STORE) or op[i] == _LMV:
                read = _beats_ps(n, local_width, reads, local_ns)
            if kind in (RECV, LOAD, LOCAL):
                write = _beats_ps(n, local_width, writes, local_ns)
            if kind >= SEND:
                to = memory if kind in (LOAD, STORE) else np.int64(peer[i])
                # The simulator truncates flits x latency to whole ns.
                if kind in (SEND, STORE):
                    payload = int(-(-n // bus) * noc_ns[core, to]) * PS_PER_NS
                if kind != STORE and to >= 0:
                    leg = int(noc_ns[core, to]) * PS_PER_NS
                if kind == LOAD:
                    service = _beats_ps(n, global_width, global_reads, global_ns)
                elif kind == STORE:
                    service = _beats_ps(n, global_width, global_writes, global_ns)
            out[0, i], out[1, i], out[2, i], out[3, i], out[4, i] = read, leg, write, payload, service
