"""Instructions of convolution tasks: stage inputs, fire array groups, accumulate, add bias, activate."""

from typing import NamedTuple

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.finish import Desk, finish, take
from pimcomp.schedule.emission.tape import NOTHING, SCRATCH, Operand, Pen, fire, move, plus, put
from pimcomp.schedule.emission.templates import (
    GROUP_COLUMNS,
    GROUP_FROM,
    GROUP_SLOT,
    GROUP_SPAN,
    GROUP_SPANS,
    PIECE_BYTES,
    PIECE_FROM,
    PIECE_SLOT,
    PIECE_TO,
    Templates,
)
from pimcomp.schedule.work import LongArray, PartSums

LLDI, VVADD = int(Op.LLDI), int(Op.VVADD)


class ConvTasks(NamedTuple):
    """Convolution tasks; one entry each.

    task: its number. origin: column that the first element of `total` belongs to. reads: first of its reads. total:
    partial sum (its number, then its buffer), or -1 when the task owns the result. numbers: first of its array groups
    in `Templates.numbers` (replica-major); replicas of them; turn: which replica begins.
    """

    task: LongArray
    template: LongArray
    origin: LongArray
    reads: LongArray
    total: LongArray
    numbers: LongArray
    replicas: LongArray
    turn: LongArray


class JoinTasks(NamedTuple):
    """Additions of partial sums from other cores to `total`, in which the task's columns begin at byte `skip`. parts:
    first of its `PartSums`, parts_each of them."""

    task: LongArray
    total: LongArray
    skip: LongArray
    parts: LongArray
    parts_each: LongArray


class Window(NamedTuple):
    """Input of one firing of a template: its rows are the reads from `reads` on, its first column is `column`."""

    template: int
    reads: int
    column: int


@kernel
def stage(pen: Pen, desk: Desk, t: Templates, window: Window) -> None:
    """Copy what lies apart in the input rows side by side into scratch."""
    for p in range(t.piece_start[window.template], t.piece_start[window.template + 1]):
        piece = t.pieces[p]
        source = _in_row(desk, t, window, piece[PIECE_SLOT], piece[PIECE_FROM])
        move(pen, (SCRATCH, piece[PIECE_TO]), source, piece[PIECE_BYTES])


@kernel
def input_of(desk: Desk, t: Templates, window: Window, group: int) -> Operand:
    """Where the input of an array group begins: in an input row or staged."""
    slot, offset = t.groups[group, GROUP_SLOT], t.groups[group, GROUP_FROM]
    return _in_row(desk, t, window, slot, offset) if slot >= 0 else (SCRATCH, offset)


@kernel
def _in_row(desk: Desk, t: Templates, window: Window, slot: int, offset: int) -> Operand:
    buffer = desk.reads[window.reads + slot]
    pixel_bytes = t.slot_bytes[t.slot_start[window.template] + slot]
    return buffer, (window.column - desk.low[buffer]) * pixel_bytes + offset


@kernel
def _fire_block(pen: Pen, desk: Desk, t: Templates, window: Window, sums: Operand, again: int, numbers: int) -> None:
    """One window block: stage, fire, accumulate.

    A last block is shifted back to fit. Its first `again` bytes of sums exist already, but from other array groups:
    which group holds a window's weights depends on the window's place in the block. They are computed anew.
    """
    k, eb = window.template, pen.element_bytes
    result = (SCRATCH, t.staging_bytes[k] + eb)
    stage(pen, desk, t, window)
    first = t.group_start[k]
    full = t.groups[first, GROUP_COLUMNS] == t.columns[k]
    if again > 0 and not full:
        put(pen, LLDI, sums, NOTHING, NOTHING, again)
    for g in range(first, t.group_start[k + 1]):
        begins = full and g == first
        fire(pen, sums if begins else result, input_of(desk, t, window, g), t.numbers[numbers + g - first])
        if begins:
            continue
        inside, span = 0, t.span_start[k] + t.groups[g, GROUP_SPAN]
        for s in range(span, span + t.groups[g, GROUP_SPANS]):
            low, high = t.spans[s, 0], t.spans[s, 1]
            place = plus(sums, low * eb)
            put(pen, VVADD, place, place, plus(result, inside * eb), high - low)
            inside += high - low


@kernel
def emit_conv(pen: Pen, desk: Desk, tasks: ConvTasks, t: Templates) -> None:
    """Write all convolution tasks."""
    eb = pen.element_bytes
    for i in range(len(tasks.task)):
        job, k, total = take(pen, desk, tasks.task[i]), tasks.template[i], tasks.total[i]
        width, windows = job.channels * eb, job.stop - job.start
        # Behind the staging area and a block's result, one element apart each: sums and a spare pixel.
        scratch_sums = t.staging_bytes[k] + eb + t.columns[k] * eb + eb
        spare = scratch_sums + windows * width + eb
        if total >= 0:
            sums = (total, (job.start - tasks.origin[i]) * width)
        elif job.keep == job.start:
            sums = job.out
        else:
            sums = (SCRATCH, scratch_sums)
        if t.groups[t.group_start[k], GROUP_COLUMNS] != t.columns[k]:
            put(pen, LLDI, sums, NOTHING, NOTHING, windows * width)
        x, turn = job.keep, tasks.turn[i]
        while x < job.stop:
            begin = min(x, job.stop - t.block[k])
            again = min(x, job.stop) - begin  # windows that the block before has summed: computed anew, as on all cores
            window = Window(k, tasks.reads[i], begin * t.stride[k] - t.pad[k])
            numbers = tasks.numbers[i] + turn % tasks.replicas[i] * (t.group_start[k + 1] - t.group_start[k])
            place = plus(sums, (begin - job.start) * width)
            _fire_block(pen, desk, t, window, place, again * width if x > job.keep else 0, numbers)
            x += t.block[k]
            turn += 1
        if total < 0:
            kept = plus(sums, (job.keep - job.start) * width)
            finish(pen, desk.finish, job, kept, job.out, job.stop - job.keep, spare)


@kernel
def emit_join(pen: Pen, desk: Desk, tasks: JoinTasks, parts: PartSums) -> None:
    """Write all joins; sums are buffers here."""
    for i in range(len(tasks.task)):
        job, total = take(pen, desk, tasks.task[i]), (tasks.total[i], tasks.skip[i])
        for p in range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i]):
            added = plus(total, parts.at[p])
            put(pen, VVADD, added, added, (parts.sum[p], parts.skip[p]), parts.elements[p])
        if job.out[0] >= 0:
            kept = plus(total, (job.keep - job.start) * job.channels * pen.element_bytes)
            finish(pen, desk.finish, job, kept, job.out, job.stop - job.keep, 0)
