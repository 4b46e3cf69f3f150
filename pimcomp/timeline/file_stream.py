"""From a decoded program file of any origin to what the timing kernels take: scalar instructions become addresses.

There are no branches and registers never depend on data, so every list is run through once.
"""

import numpy as np

from pimcomp.emit.decode import Decoded
from pimcomp.errors import ModelError
from pimcomp.ir.arch import Arch
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa.listing import Executed, execute
from pimcomp.isa.table import (
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
from pimcomp.timeline.work import Instructions, Widths


def stream_of_file(decoded: Decoded, arch: Arch) -> tuple[Instructions, LongArray]:
    """The instructions that occupy a unit, with resolved operands, and int64[rows]: which emitted one each row is.

    Raises ModelError if the program has more cores than the chip or an mvmul names a group that its core lacks.
    """
    if decoded.cores > arch.total_cores:
        raise ModelError(f"a program for {decoded.cores} cores, but {arch.name} has {arch.total_cores}")
    d, ran = decoded, execute(decoded.listing)
    emitted, core_start = ran.entry, ran.core_start
    op = d.op[emitted]
    key = ran.in_force(d.ibiw) | ran.in_force(d.obiw).astype(np.int64) << 16 | d.mbiw[emitted].astype(np.int64) << 32
    keys, width = np.unique(key, return_inverse=True)
    if len(keys) > np.iinfo(np.uint8).max:
        raise ModelError(f"expected at most 255 settings of bit widths in a program, found {len(keys)}")
    keys = keys if len(keys) else np.zeros(1, np.int64)
    widths = Widths(
        input_bits=(keys & 0xFFFF).astype(np.int32),
        output_bits=(keys >> 16 & 0xFFFF).astype(np.int32),
        weight_bits=(keys >> 32).astype(np.int32),
    )
    dst, src, src2 = _addresses(d, emitted, ran.values, widths.input_bytes[width], widths.output_bytes[width])
    unit = UNIT[op]
    size = np.where(COUNTS_LEN[op], d.length[emitted], np.where(unit == WAIT, d.wait_value[emitted], d.size[emitted]))
    bubbles, tails = _bubbles(d, ran)
    stream = Instructions(
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
        bubbles=bubbles,
        tail_bubbles=tails,
        width=width.astype(np.uint8).ravel(),
        widths=widths,
    )
    return stream, emitted


def _bubbles(decoded: Decoded, ran: Executed) -> tuple[IntArray, IntArray]:
    """(int32[rows], int32[cores]): entries in front of every instruction that occupies a unit, and behind the last."""
    has = np.diff(ran.core_start) > 0
    before = np.concatenate([[-1], ran.entry[:-1]])[: len(ran.entry)]
    before[ran.core_start[:-1][has]] = decoded.core_start[:-1][has] - 1
    last = decoded.core_start[:-1] - 1
    last[has] = ran.entry[ran.core_start[1:][has] - 1]
    return (ran.entry - before - 1).astype(np.int32), (decoded.core_start[1:] - 1 - last).astype(np.int32)


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
            f"core {core[k]}, instruction {index}: group: expected one below {counts[core[k]]}, found {group[k]}"
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
