"""Instructions of convolution tasks: stage inputs, fire array groups, accumulate, add bias, activate."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.tape import LITERAL, SCRATCH, put

LMV, LLDI, MVMUL = int(Op.LMV), int(Op.LLDI), int(Op.MVMUL)
VVADD, VVMUL, VVMAX = int(Op.VVADD), int(Op.VVMUL), int(Op.VVMAX)
VRELU, VSIGM, VTANH, VRSU, VRSL = int(Op.VRELU), int(Op.VSIGM), int(Op.VTANH), int(Op.VRSU), int(Op.VRSL)

# Activation codes of `Finish.code`.
NONE, RELU, CLIP, LEAKY, SIGMOID, TANH, HARD_SIGMOID, HARD_SWISH = range(8)


class Finish(NamedTuple):
    """What happens to a node's sums, per node: bias and activation. Offsets are bytes in the node's constants, -1:
    none.

    low, high: indices of clip bounds (-1: none). alpha, beta: constant vectors of one pixel.
    """

    channels: npt.NDArray[np.int64]
    bias: npt.NDArray[np.int64]
    code: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    alpha: npt.NDArray[np.int64]
    beta: npt.NDArray[np.int64]


class Templates(NamedTuple):
    """All `ConvTemplate`s of a network, concatenated; `x_start` arrays have one entry more than there are templates."""

    slot_start: npt.NDArray[np.int64]
    slot_bytes: npt.NDArray[np.int64]  # bytes of one column of the slot's source
    piece_start: npt.NDArray[np.int64]
    pieces: npt.NDArray[np.int64]
    group_start: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    span_start: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int32]
    staging_bytes: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    stride: npt.NDArray[np.int64]  # columns
    pad: npt.NDArray[np.int64]  # columns on the left
    kernel: npt.NDArray[np.int64]  # [templates, 2]
    scatter: npt.NDArray[np.int64]  # pixels per MVM of a scattering template, else 0


class ConvTasks(NamedTuple):
    """Convolution tasks; one entry each.

    task: its number. template, node. start/keep/stop: computes columns [start, stop), keeps [keep, stop). origin:
    column that the first element of `total` belongs to.
    reads: first of its read buffers in `read_buffer`. total: buffer of partial sums, or -1 when the task owns the
    result. out: result buffer or -1. constants: buffer of the node's constants. group_table: first of its array-group
    numbers (replica-major); replicas of them; turn: which replica begins.
    """

    task: npt.NDArray[np.int64]
    template: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    origin: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    keep: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    reads: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]
    constants: npt.NDArray[np.int64]
    group_table: npt.NDArray[np.int64]
    replicas: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int64]


@kernel
def activate(tape, at, task, f, node, buffer, offset, pixels, eb, constants, temp):
    """Apply a node's activation in place; `temp`: scratch offset of one spare pixel."""
    code = f.code[node]
    c = f.channels[node]
    n = pixels * c
    if code == RELU:
        at = put(tape, at, task, VRELU, buffer, offset, buffer, offset, LITERAL, 0, n)
    elif code == CLIP:
        if f.low[node] >= 0:
            at = put(tape, at, task, VRSL, buffer, offset, buffer, offset, LITERAL, f.low[node], n)
        if f.high[node] >= 0:
            at = put(tape, at, task, VRSU, buffer, offset, buffer, offset, LITERAL, f.high[node], n)
    elif code == SIGMOID:
        at = put(tape, at, task, VSIGM, buffer, offset, buffer, offset, LITERAL, 0, n)
    elif code == TANH:
        at = put(tape, at, task, VTANH, buffer, offset, buffer, offset, LITERAL, 0, n)
    elif code != NONE:
        for p in range(pixels):
            x = offset + p * c * eb
            if code == LEAKY:
                at = put(tape, at, task, VVMUL, SCRATCH, temp, buffer, x, constants, f.alpha[node], c)
                at = put(tape, at, task, VVMAX, buffer, x, buffer, x, SCRATCH, temp, c)
            else:  # hard sigmoid; hard swish multiplies it with its argument
                at = put(tape, at, task, VVMUL, SCRATCH, temp, buffer, x, constants, f.alpha[node], c)
                at = put(tape, at, task, VVADD, SCRATCH, temp, SCRATCH, temp, constants, f.beta[node], c)
                at = put(tape, at, task, VRSL, SCRATCH, temp, SCRATCH, temp, LITERAL, f.low[node], c)
                at = put(tape, at, task, VRSU, SCRATCH, temp, SCRATCH, temp, LITERAL, f.high[node], c)
                if code == HARD_SWISH:
                    at = put(tape, at, task, VVMUL, buffer, x, buffer, x, SCRATCH, temp, c)
                else:
                    at = put(tape, at, task, LMV, buffer, x, SCRATCH, temp, LITERAL, 0, c * eb)
    return at


@kernel
def finish(tape, at, task, f, node, src, src_at, out, out_at, pixels, eb, constants, temp):
    """Bias and activation of `pixels` sums at (src, src_at), results at (out, out_at)."""
    c = f.channels[node]
    if f.bias[node] >= 0:
        for p in range(pixels):
            d = p * c * eb
            at = put(tape, at, task, VVADD, out, out_at + d, src, src_at + d, constants, f.bias[node], c)
    elif src != out or src_at != out_at:
        at = put(tape, at, task, LMV, out, out_at, src, src_at, LITERAL, 0, pixels * c * eb)
    return activate(tape, at, task, f, node, out, out_at, pixels, eb, constants, temp)


@kernel
def scratch_layout(t, f, template, node, windows, eb):
    """Scratch offsets of a convolution task: (block result, sums, spare pixel, end). One element apart each."""
    block = t.staging_bytes[template] + eb
    sums = block + t.columns[template] * eb + eb
    spare = sums + windows * f.channels[node] * eb + eb
    return block, sums, spare, spare + f.channels[node] * eb + eb


@kernel
def fire_block(tape, at, tasks, i, t, x, again, acc, acc_at, read_buffer, buffer_low, group_table, turn, eb, block_at):
    """One window block at output column x: stage, fire, accumulate.

    A last block is shifted back to fit. Its first `again` bytes of sums exist already, but from other array groups:
    which group holds a window's weights depends on the window's place in the block. They are computed anew.
    """
    k = tasks.template[i]
    task = tasks.task[i]
    column = x * t.stride[k] - t.pad[k]
    for p in range(t.piece_start[k], t.piece_start[k + 1]):
        slot = t.pieces[p, 0]
        buffer = read_buffer[tasks.reads[i] + slot]
        offset = (column - buffer_low[buffer]) * t.slot_bytes[t.slot_start[k] + slot] + t.pieces[p, 1]
        at = put(tape, at, task, LMV, SCRATCH, t.pieces[p, 3], buffer, offset, LITERAL, 0, t.pieces[p, 2])
    first = t.group_start[k]
    count = t.group_start[k + 1] - first
    full = t.groups[first, 3] == t.columns[k]
    if again > 0 and not full:
        at = put(tape, at, task, LLDI, acc, acc_at, LITERAL, 0, LITERAL, 0, again)
    for g in range(first, first + count):
        slot = t.groups[g, 1]
        source, offset = np.int64(SCRATCH), t.groups[g, 2]
        if slot >= 0:
            source = read_buffer[tasks.reads[i] + slot]
            offset = (column - buffer_low[source]) * t.slot_bytes[t.slot_start[k] + slot] + t.groups[g, 2]
        number = group_table[tasks.group_table[i] + turn * count + (g - first)]
        if full and g == first:
            at = put(tape, at, task, MVMUL, acc, acc_at, source, offset, LITERAL, 0, 0)
            if len(tape.op) > 0:
                tape.group[at - 1] = number
            continue
        at = put(tape, at, task, MVMUL, SCRATCH, block_at, source, offset, LITERAL, 0, 0)
        if len(tape.op) > 0:
            tape.group[at - 1] = number
        inside = np.int64(0)
        for s in range(t.span_start[k] + t.groups[g, 4], t.span_start[k] + t.groups[g, 4] + t.groups[g, 5]):
            low, high = np.int64(t.spans[s, 0]), np.int64(t.spans[s, 1])
            d, other = acc_at + low * eb, block_at + inside * eb
            at = put(tape, at, task, VVADD, acc, d, acc, d, SCRATCH, other, high - low)
            inside += high - low
    return at


@kernel
def emit_conv(tape, bounds, tasks, t, f, read_buffer, buffer_low, group_table, eb):
    """Emit all convolution tasks; bounds int64[tasks + 1] receives where each begins. Returns the number of rows."""
    at = 0
    for i in range(len(tasks.task)):
        bounds[i] = at
        k, node, task = tasks.template[i], tasks.node[i], tasks.task[i]
        start, stop, width = tasks.start[i], tasks.stop[i], f.channels[node] * eb
        block_at, sums, spare, _ = scratch_layout(t, f, k, node, stop - start, eb)
        out = tasks.out[i]
        out_at = np.int64(0)
        if out >= 0:
            out_at = (tasks.keep[i] - buffer_low[out]) * width
        if tasks.total[i] >= 0:
            acc, acc_at = tasks.total[i], (start - tasks.origin[i]) * width
        elif tasks.keep[i] == start:
            acc, acc_at = out, out_at
        else:
            acc, acc_at = np.int64(SCRATCH), sums
        if t.groups[t.group_start[k], 3] != t.columns[k]:
            at = put(tape, at, task, LLDI, acc, acc_at, LITERAL, 0, LITERAL, 0, (stop - start) * width)
        x, turn = tasks.keep[i], tasks.turn[i]
        while x < stop:
            begin = min(x, stop - t.block[k])
            again = min(x, stop) - begin  # windows that the block before has summed: computed anew, as on all cores
            at = fire_block(
                tape, at, tasks, i, t, begin, again * width if x > tasks.keep[i] else 0, acc, acc_at + (begin - start)
                * width, read_buffer, buffer_low, group_table, turn % tasks.replicas[i], eb, block_at,
            )  # fmt: skip
            x += t.block[k]
            turn += 1
        if tasks.total[i] < 0:
            at = finish(
                tape, at, task, f, node, acc, acc_at + (tasks.keep[i] - start) * width, out, out_at,
                stop - tasks.keep[i], eb, tasks.constants[i], spare,
            )  # fmt: skip
    bounds[len(tasks.task)] = at
    return at


class JoinTasks(NamedTuple):
    """Additions of partial sums from other cores; fields as in `ConvTasks`. parts: first of its received buffers in
    `part_buffer`, parts_each of them. out is -1 when the sum travels on.
    """

    task: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    keep: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]
    constants: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    parts_each: npt.NDArray[np.int64]


@kernel
def emit_join(tape, bounds, tasks, f, part_buffer, buffer_low, eb):
    """Emit all joins; bounds as in `emit_conv`."""
    at = 0
    for i in range(len(tasks.task)):
        bounds[i] = at
        node, task, total = tasks.node[i], tasks.task[i], tasks.total[i]
        width = f.channels[node] * eb
        n = (tasks.stop[i] - tasks.start[i]) * f.channels[node]
        for p in range(tasks.parts[i], tasks.parts[i] + tasks.parts_each[i]):
            at = put(tape, at, task, VVADD, total, 0, total, 0, part_buffer[p], 0, n)
        if tasks.out[i] >= 0:
            out_at = (tasks.keep[i] - buffer_low[tasks.out[i]]) * width
            at = finish(
                tape, at, task, f, node, total, (tasks.keep[i] - tasks.start[i]) * width, tasks.out[i], out_at,
                tasks.stop[i] - tasks.keep[i], eb, tasks.constants[i], 0,
            )  # fmt: skip
    bounds[len(tasks.task)] = at
    return at
