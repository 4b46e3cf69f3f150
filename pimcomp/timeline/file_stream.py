"""From a decoded program file of any origin to what the timing kernels take: scalar instructions become addresses.

There are no branches and registers never depend on data, so every list is run through once.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import Decoded
from pimcomp.errors import ModelError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import ByteArray, LongArray, Op
from pimcomp.isa.registers import REGISTERS
from pimcomp.isa.table import (
    BUBBLE,
    COUNTS_LEN,
    DST,
    FIXED,
    FIXED_DST,
    FIXED_SRC,
    FIXED_SRC2,
    INPUT,
    MATRIX,
    NEEDS_PEER,
    UNIT,
    VECTOR,
    WAIT,
)
from pimcomp.timeline.work import Stream, Widths

_SADD, _SSUB, _SMUL, _SADDI, _SMULI = int(Op.SADD), int(Op.SSUB), int(Op.SMUL), int(Op.SADDI), int(Op.SMULI)
_SLDI, _SLD, _SETBW, _NOP = int(Op.SLDI), int(Op.SLD), int(Op.SETBW), int(Op.NOP)


def stream_of_file(decoded: Decoded, arch: Arch) -> tuple[Stream, LongArray]:
    """The instructions that occupy a unit, with resolved operands, and int64[rows]: which emitted one each row is.

    Raises ModelError if the program has more cores than the chip or an mvmul names a group that its core lacks.
    """
    if decoded.cores > arch.total_cores:
        raise ModelError(f"a program for {decoded.cores} cores, but {arch.name} has {arch.total_cores}")
    d = decoded
    values, bubbles, tails, width_key = _run_scalars(
        d.core_start, d.op, np.stack([d.rd, d.rs1, d.rs2]), d.imm, d.ibiw, d.obiw, d.mbiw
    )
    emitted = np.flatnonzero(UNIT[d.op] != BUBBLE)
    op = d.op[emitted]
    core_start = np.searchsorted(emitted, d.core_start).astype(np.int64)
    keys, width = np.unique(width_key[emitted], return_inverse=True)
    if len(keys) > np.iinfo(np.uint8).max:
        raise ModelError(f"expected at most 255 settings of bit widths in a program, found {len(keys)}")
    keys = keys if len(keys) else np.zeros(1, np.int64)
    widths = Widths(
        input_bits=(keys & 0xFFFF).astype(np.int32),
        output_bits=(keys >> 16 & 0xFFFF).astype(np.int32),
        weight_bits=(keys >> 32).astype(np.int32),
    )
    dst, src, src2 = _addresses(d, emitted, values[:, emitted], widths.input_bytes[width], widths.output_bytes[width])
    unit = UNIT[op]
    size = np.where(COUNTS_LEN[op], d.length[emitted], np.where(unit == WAIT, d.wait_value[emitted], d.size[emitted]))
    stream = Stream(
        core_start=core_start,
        op=op,
        group=np.where(unit == MATRIX, d.group[emitted], -1).astype(np.int32),
        crossbars=_crossbars(d, core_start, emitted),
        dst=dst,
        src=src,
        src2=src2,
        size=size.astype(np.int32),
        lock_size=d.size[emitted].astype(np.int32),
        peer=np.where(NEEDS_PEER[op], d.core[emitted], -1).astype(np.int32),
        event=d.event_register[emitted].astype(np.int32),
        bubbles=bubbles[emitted],
        tail_bubbles=tails,
        width=width.astype(np.uint8).ravel(),
        widths=widths,
    )
    return stream, emitted


def _crossbars(decoded: Decoded, core_start: LongArray, emitted: LongArray) -> IntArray:
    """int32[rows]: crossbars of each mvmul's array group."""
    crossbars = np.zeros(len(emitted), np.int32)
    fires = np.flatnonzero(UNIT[decoded.op[emitted]] == MATRIX)
    if not len(fires):
        return crossbars
    counts = np.array([len(groups) for groups in decoded.array_group_map], np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    core = np.searchsorted(core_start, fires, side="right") - 1
    group = decoded.group[emitted[fires]]
    wrong = (group < 0) | (group >= counts[core])
    if wrong.any():
        k = int(np.argmax(wrong))
        index = int(emitted[fires[k]] - decoded.core_start[core[k]])
        raise ModelError(
            f"core {core[k]}, instruction {index}: group: expected 0 to {counts[core[k]] - 1}, found {group[k]}"
        )
    crossbars[fires] = np.concatenate(decoded.array_group_map)[first[core] + group]
    return crossbars


def _addresses(
    d: Decoded, emitted: LongArray, values: LongArray, input_bytes: IntArray, output_bytes: IntArray
) -> tuple[LongArray, LongArray, LongArray]:
    """dst, src, src2 with offsets: that of rd obeys offset_select, those of rs1 and rs2 bits of the offset's value."""
    op, offset, select = d.op[emitted], d.offset_value[emitted].astype(np.int64), d.offset_select[emitted]
    vector = UNIT[op] == VECTOR
    result = np.where(DST[op] == INPUT, input_bytes, output_bytes)
    moves = (
        (select & 1, FIXED_DST, np.where(vector, result, 1)),
        (offset & 2, FIXED_SRC, np.where(vector, input_bytes, 1)),
        (offset & 4, FIXED_SRC2, np.where(vector, input_bytes, 1)),
    )
    dst, src, src2 = (
        value + np.where((bit != 0) & (FIXED[op] & fixed == 0), offset * unit, 0)
        for value, (bit, fixed, unit) in zip(values, moves, strict=True)
    )
    return dst, src, src2


@kernel
def _run_scalars(
    core_start: LongArray,
    op: ByteArray,
    operands: ByteArray,
    imm: LongArray,
    ibiw: IntArray,
    obiw: IntArray,
    mbiw: IntArray,
) -> tuple[npt.NDArray[np.int64], IntArray, IntArray, LongArray]:
    """(register values int64[3, emitted], bubbles in front of each, bubbles at each core's end, width setting)."""
    n, cores = len(op), len(core_start) - 1
    values, bubbles = np.zeros((3, n), np.int64), np.zeros(n, np.int32)
    tails, width = np.zeros(cores, np.int32), np.zeros(n, np.int64)
    for core in range(cores):
        register = np.zeros(REGISTERS, np.int64)
        waiting, setting = 0, np.int64(0)
        for i in range(core_start[core], core_start[core + 1]):
            kind, rd = op[i], operands[0, i]
            a, b = register[operands[1, i]], register[operands[2, i]]
            if kind > _SETBW:
                values[0, i], values[1, i], values[2, i] = register[rd], a, b
                bubbles[i] = waiting
                width[i] = setting | np.int64(mbiw[i]) << 32
                waiting = 0
                continue
            waiting += 1
            if kind == _SETBW:
                setting = np.int64(ibiw[i]) | np.int64(obiw[i]) << 16
            elif kind == _SLDI:
                register[rd] = imm[i]
            elif kind == _SLD:
                register[0] = 0  # whatever it names: the simulator's behaviour
            elif kind == _SADD:
                register[rd] = a + b
            elif kind == _SSUB:
                register[rd] = a - b
            elif kind == _SMUL:
                register[rd] = a * b
            elif kind == _SADDI:
                register[rd] = a + imm[i]
            elif kind == _SMULI:
                register[rd] = a * imm[i]
        tails[core] = waiting
    return values, bubbles, tails, width
