"""Instructions of scattering convolution tasks: every input pixel enters one MVM, all windows' contributions come
out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.conv import finish
from pimcomp.schedule.emission.tape import LITERAL, SCRATCH, put

LMV, LLDI, MVMUL, VVADD = int(Op.LMV), int(Op.LLDI), int(Op.MVMUL), int(Op.VVADD)


class ScatterTasks(NamedTuple):
    """Tasks that take input columns [begin, end) of one row in MVMs of several pixels.

    start/stop: output columns of the segment. parts/parts_each: first and number of its `Contributions`. Other fields
    as in `ConvTasks`.
    """

    task: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    reads: npt.NDArray[np.int64]
    constants: npt.NDArray[np.int64]
    group_table: npt.NDArray[np.int64]
    replicas: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    parts_each: npt.NDArray[np.int64]


class Contributions(NamedTuple):
    """What a task adds to one output row: kernel row `tap`; into the result of segment `segment` or, if that is -1,
    into partial sum `total`. first: the task begins the sum; last: it completes it.
    """

    task: npt.NDArray[np.int64]
    tap: npt.NDArray[np.int64]
    segment: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


@kernel
def emit_scatter(tape, bounds, tasks, t, f, c, sum_buffer, read_buffer, buffer_low, group_table, eb):
    """Emit all scattering tasks; bounds as in `emit_conv`. sum_buffer: buffer of every contribution."""
    at = 0
    for i in range(len(tasks.task)):
        bounds[i] = at
        k, node, task = tasks.template[i], tasks.node[i], tasks.task[i]
        channels, start, stop = f.channels[node], tasks.start[i], tasks.stop[i]
        pixels, kernel_w = t.scatter[k], t.kernel[k, 1]
        positions = pixels + kernel_w - 1
        block_at = t.staging_bytes[k] + eb
        spare = block_at + t.columns[k] * eb + eb
        first = t.group_start[k]
        count = t.group_start[k + 1] - first
        for p in range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i]):
            if c.first[p]:
                base = _sum_at(c, p, sum_buffer, buffer_low, start, channels * eb)
                at = put(
                    tape, at, task, LLDI, sum_buffer[p], base, LITERAL, 0, LITERAL, 0, (stop - start) * channels * eb
                )
        turn = tasks.turn[i]
        for x in range(tasks.begin[i], tasks.end[i], pixels):
            for q in range(t.piece_start[k], t.piece_start[k + 1]):
                slot = t.pieces[q, 0]
                buffer = read_buffer[tasks.reads[i] + slot]
                offset = (x - buffer_low[buffer]) * t.slot_bytes[t.slot_start[k] + slot] + t.pieces[q, 1]
                at = put(tape, at, task, LMV, SCRATCH, t.pieces[q, 3], buffer, offset, LITERAL, 0, t.pieces[q, 2])
            leftmost = x + t.pad[k] - kernel_w + 1  # output column of position 0
            low, high = max(start - leftmost, 0), min(stop - leftmost, positions)
            for g in range(first, first + count):
                slot = t.groups[g, 1]
                source, offset = np.int64(SCRATCH), t.groups[g, 2]
                if slot >= 0:
                    source = np.int64(read_buffer[tasks.reads[i] + slot])
                    offset = (x - buffer_low[source]) * t.slot_bytes[t.slot_start[k] + slot] + t.groups[g, 2]
                at = put(tape, at, task, MVMUL, SCRATCH, block_at, source, offset, LITERAL, 0, 0)
                if len(tape.op) > 0:
                    replica = turn % tasks.replicas[i]
                    tape.group[at - 1] = group_table[tasks.group_table[i] + replica * count + (g - first)]
                for p in range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i]):
                    base = _sum_at(c, p, sum_buffer, buffer_low, start, channels * eb)
                    row = c.tap[p] * positions
                    inside = np.int64(0)  # where the span begins in the result of the MVM
                    for s in range(t.span_start[k] + t.groups[g, 4], t.span_start[k] + t.groups[g, 4] + t.groups[g, 5]):
                        begin = max(np.int64(t.spans[s, 0]), (row + low) * channels)
                        end = min(np.int64(t.spans[s, 1]), (row + high) * channels)
                        if begin < end:
                            d = base + ((leftmost - start - row) * channels + begin) * eb
                            other = block_at + (inside + begin - np.int64(t.spans[s, 0])) * eb
                            at = put(
                                tape, at, task, VVADD, sum_buffer[p], d, sum_buffer[p], d, SCRATCH, other, end - begin
                            )
                        inside += np.int64(t.spans[s, 1]) - np.int64(t.spans[s, 0])
            turn += 1
        for p in range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i]):
            if c.last[p] and c.segment[p] >= 0:
                base = _sum_at(c, p, sum_buffer, buffer_low, start, channels * eb)
                at = finish(
                    tape, at, task, f, node, sum_buffer[p], base, sum_buffer[p], base, stop - start, eb,
                    tasks.constants[i], spare,
                )  # fmt: skip
    bounds[len(tasks.task)] = at
    return at


@kernel
def _sum_at(c, p, sum_buffer, buffer_low, start, width):
    """Offset of output column `start` in the buffer of a contribution."""
    if c.segment[p] >= 0:
        return (start - buffer_low[sum_buffer[p]]) * width
    return np.int64(0)
