"""A program as the timing kernels see it: what every instruction occupies and for how long, without values.

All times are integer picoseconds: the simulator's own resolution, so sums are exact. Formulas: docs/timing.md, "unit
durations"; each is the behaviour of pimsim-nn, factors and floors included.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Program
from pimcomp.isa.operands import fired_groups, stored_weight_bits
from pimcomp.isa.table import (
    BYTES,
    DST,
    INPUT,
    LOAD,
    MATRIX,
    OUTPUT,
    SEND,
    SRC,
    SRC2,
    STORE,
    UNIT,
    VECTOR,
)
from pimcomp.timeline.borrow import borrow

PS_PER_NS = 1000


class Widths(NamedTuple):
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


class Instructions(NamedTuple):
    """With resolved operands, widths and front-end slots: the common form of programs of any origin.

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


class UnitWork(NamedTuple):
    """Durations of Instructions on a chip, int64[instructions] in ps, all without waiting; 0 where they do not apply.

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


def stream_of(program: Program, arch: Arch) -> Instructions:
    """The instructions of a compiled program."""
    table, registers = program.table, program.registers
    fires, group = fired_groups(table, program.core_start, program.group_start)
    crossbars = np.zeros(program.instructions, np.int32)
    crossbars[fires] = program.group_crossbars[group]
    bits = np.pad(np.stack([program.group_weight_bits, program.group_activation_bits]), ((0, 0), (0, 1)))
    stored = np.stack([stored_weight_bits(arch, bits[0]), arch.input_bits_at(bits[1])])  # last: of what does not fire
    settings, setting = np.unique(stored.astype(np.int32), axis=1, return_inverse=True)
    weights, inputs = np.ascontiguousarray(settings)
    width = np.full(program.instructions, setting[-1], np.uint8)
    width[fires] = setting[group]
    return Instructions(
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
        bubbles=np.bitwise_count(registers.loads).astype(np.int32),
        tail_bubbles=np.zeros(program.cores, np.int32),
        width=width,
        widths=Widths(
            input_bits=inputs,
            output_bits=np.full_like(inputs, arch.psum_bits),
            weight_bits=weights,
        ),
    )


# Beats that the table of their times goes up to at most: what stays in the fastest cache.
_TABLE = 2048


class Tables(NamedTuple):
    """A chip and a stream's widths as `durations` reads them.

    memory_ps: int64[4, beats], time of so many beats: local read, local write, global read, global write; cycles and
    periods_ns: int64[4], float64[4], of one beat, for more of them than the table has.
    settings: int64[widths, 5]: read and compute time of an mvmul, bytes that a crossbar writes back, bytes of an input
    and of an output element. noc_ns: float64[cores + 1, cores + 1]. chip: int64[9], see `tables_of`.
    """

    memory_ps: LongArray
    cycles: LongArray
    periods_ns: npt.NDArray[np.float64]
    settings: LongArray
    noc_ns: npt.NDArray[np.float64] | LongArray
    chip: LongArray


def tables_of(stream: Instructions, arch: Arch) -> Tables:
    """All that durations depend on."""
    widths = stream.widths
    crossbar_bytes = column_bytes(widths, arch)
    cycles = np.array(
        [arch.local_read_cycles, arch.local_write_cycles, arch.global_read_cycles, arch.global_write_cycles], np.int64
    )
    periods_ns = np.array([arch.local_period_ns, arch.local_period_ns, arch.global_period_ns, arch.global_period_ns])
    most = max(int(stream.size.max(initial=0)) * 4, int(crossbar_bytes.max() * stream.crossbars.max(initial=0)))
    beats = np.arange(min(_TABLE, -(-most // min(arch.local_width_bytes, arch.global_width_bytes)) + 1))
    memory_ps = beats * cycles[:, None] * periods_ns[:, None] * PS_PER_NS + 0.5
    read_ps = [_ps(arch.local_read_ns(8 * arch.crossbar_rows * int(b))) for b in widths.input_bytes]
    compute_ps = [_mvm_compute_ps(arch, int(bits)) for bits in widths.input_bits]
    settings = [read_ps, compute_ps, crossbar_bytes, widths.input_bytes, widths.output_bytes]
    chip = [int(arch.vector_latency_ns) * PS_PER_NS]
    for width in (arch.local_width_bytes, arch.global_width_bytes, arch.bus_width_bytes, arch.vector_width):
        chip += [width, width.bit_length() - 1 if width & (width - 1) == 0 else -1]
    return Tables(
        memory_ps=memory_ps.astype(np.int64),
        cycles=cycles,
        periods_ns=periods_ns,
        settings=np.array(settings, np.int64).T.copy(),
        noc_ns=arch.noc_latency_ns,
        chip=np.array(chip, np.int64),
    )


def work_of(stream: Instructions, arch: Arch) -> UnitWork:
    """How long every instruction takes on this chip."""
    read, leg, write, payload, service = np.empty((5, len(stream.op)), np.int64)
    work = UnitWork(period_of(arch), UNIT[stream.op], read, leg, write, payload, service)
    _fill(stream, tables_of(stream, arch), work)
    return work


def period_of(arch: Arch) -> int:
    """The core clock's period in ps."""
    return _ps(arch.core_period_ns)


def column_bytes(widths: Widths, arch: Arch) -> LongArray:
    """int64[n]: bytes that one crossbar writes back per MVM, for each width (0 where no weight width is set)."""
    weights = np.maximum(widths.weight_bits, 1)
    columns = np.where(widths.weight_bits > 0, arch.crossbar_cols * arch.cell_bits // weights, 0)
    return (columns * widths.output_bytes).astype(np.int64)


def _ps(time_ns: float) -> int:
    return int(time_ns * PS_PER_NS + 0.5)


def _mvm_compute_ps(arch: Arch, input_bits: int) -> int:
    """Crossbar time at the given input width (a `setbw` may choose another than the chip's)."""
    return _ps(arch.compute_ns(input_bits))


@kernel
def units(amount: int, width: int, shift: int) -> int:
    """How many `width`s hold an amount; shift: log2 of the width, negative where it is no power of two."""
    return (amount + width - 1) >> shift if shift >= 0 else (amount + width - 1) // width


@kernel
def beats_ps(beats: int, what: int, tables: Tables) -> int:
    """Time of so many beats; what: index into the tables."""
    if beats < tables.memory_ps.shape[1]:
        return int(tables.memory_ps[what, beats])
    return int(beats * tables.cycles[what] * tables.periods_ns[what] * PS_PER_NS + 0.5)


@kernel
def durations(
    core: int,
    kind: int,
    op: int,
    n: int,
    crossbars: int,
    peer: int,
    width: int,
    tables: Tables,
) -> tuple[int, int, int, int, int]:
    """(read, leg, write, payload, service) of one instruction: see UnitWork. n: its size."""
    settings, noc_ns, chip = tables.settings, tables.noc_ns, tables.chip
    vector_ps, local, local_shift, shared, shared_shift = chip[0], chip[1], chip[2], chip[3], chip[4]
    bus, bus_shift, lanes, lanes_shift = chip[5], chip[6], chip[7], chip[8]
    read = leg = write = payload = service = 0
    if kind == MATRIX:
        read, leg = int(settings[width, 0]), int(settings[width, 1])
        write = beats_ps(units(settings[width, 2] * crossbars, local, local_shift), 1, tables)
    elif kind == VECTOR:
        in_bytes = settings[width, 3]
        read = beats_ps(units(n * in_bytes, local, local_shift), 0, tables)
        if SRC2[op] == INPUT:
            read *= 2
        leg = units(n, lanes, lanes_shift) * vector_ps
        out_bytes = settings[width, 4] if DST[op] == OUTPUT else in_bytes
        write = beats_ps(units(n * out_bytes, local, local_shift), 1, tables)
    else:
        beats = units(n, local, local_shift)
        if SRC[op] == BYTES:
            read = beats_ps(beats, 0, tables)
        if DST[op] == BYTES:
            write = beats_ps(beats, 1, tables)
        if kind >= SEND:
            to = noc_ns.shape[0] - 1 if kind in (LOAD, STORE) else peer
            # The simulator truncates flits x latency to whole ns.
            if kind in (SEND, STORE):
                payload = int(units(n, bus, bus_shift) * noc_ns[core, to]) * PS_PER_NS
            if kind != STORE and to >= 0:
                leg = int(noc_ns[core, to]) * PS_PER_NS
            if kind == LOAD:
                service = beats_ps(units(n, shared, shared_shift), 2, tables)
            elif kind == STORE:
                service = beats_ps(units(n, shared, shared_shift), 3, tables)
    return read, leg, write, payload, service


def message_ends_ns(latency_ns: Any, read_ns: Any, write_ns: Any, flits: Any) -> tuple[Any, Any]:
    """(sender's, receiver's) time of a message whose ends come at the same time (docs/timing.md, Rendezvous): request
    and grant, then the sender reads, and the receiver waits for the data and writes. Numbers or arrays."""
    send_ns = 2 * latency_ns + read_ns
    return send_ns, send_ns + flits * latency_ns + write_ns


message_ends = kernel(message_ends_ns)  # for kernels


@kernel
def borrowed(tables: Tables) -> Tables:
    """The tables for the inside of a kernel: see `borrow`."""
    return Tables(
        borrow(tables.memory_ps), borrow(tables.cycles), borrow(tables.periods_ns), borrow(tables.settings),
        borrow(tables.noc_ns), borrow(tables.chip),
    )  # fmt: skip


@kernel
def _fill(stream: Instructions, tables: Tables, out: UnitWork) -> None:
    tables = borrowed(tables)
    for core in range(len(stream.core_start) - 1):
        for i in range(stream.core_start[core], stream.core_start[core + 1]):
            out.read[i], out.leg[i], out.write[i], out.payload[i], out.service[i] = durations(
                core, out.unit[i], stream.op[i], int(stream.size[i]), int(stream.crossbars[i]), int(stream.peer[i]),
                stream.width[i], tables,
            )  # fmt: skip
