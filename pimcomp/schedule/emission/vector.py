"""Instructions of everything that uses no crossbar: pooling, element-wise work, activations, copies, LRN."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.conv import activate
from pimcomp.schedule.emission.tape import LITERAL, SCRATCH, put

LMV, LLDI, VAVG = int(Op.LMV), int(Op.LLDI), int(Op.VAVG)
VVADD, VVSUB, VVMUL, VVMAX = int(Op.VVADD), int(Op.VVSUB), int(Op.VVMUL), int(Op.VVMAX)

# Kinds of `VectorNodes.kind`.
ADD, SUB, MUL, COPY, MAX_POOL, AVG_POOL, MEAN, LRN, IDENTITY, DEPTHWISE = range(10)


class VectorNodes(NamedTuple):
    """Per graph node (unused entries for others): what a vector task does.

    run_start int64[nodes + 1] into runs int64[runs, 8]: (operand, first read of its source, rows of the window, source
    channel, destination channel, channels, bytes of one source column, 1 if the operand is broadcast). Runs of one
    source are neighbours. kernel, stride, pad, dilation: columns. width: of the input map. divisor_start: into
    `divisors`, byte offset of the constant vector 1 / n by n.
    """

    kind: npt.NDArray[np.int64]
    run_start: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    kernel: npt.NDArray[np.int64]
    stride: npt.NDArray[np.int64]
    pad: npt.NDArray[np.int64]
    dilation: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]
    counted: npt.NDArray[np.int64]  # int64[nodes, 2]: columns [first, stop) that count in an average's divisor
    copied_start: npt.NDArray[np.int64]  # COPY: into `copied`, the input column of every output column or -1
    copied: npt.NDArray[np.int64]
    divisor_start: npt.NDArray[np.int64]
    divisors: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]  # LRN: channels in the sum; MEAN: rows
    lanes: npt.NDArray[np.int64]  # MEAN: channels that are gathered together
    terms: npt.NDArray[np.int64]  # LRN: coefficients of the polynomial
    coefficients: npt.NDArray[np.int64]  # LRN: byte offset of the first of them
    weights: npt.NDArray[np.int64]  # DEPTHWISE: byte offset of the weights, [kernel row, kernel column, channel]


class VectorTasks(NamedTuple):
    """Vector tasks; fields as in `ConvTasks`. rows: rows of the window that count in an average's divisor."""

    task: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    reads: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]
    constants: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@kernel
def _whole(v, node, channels, eb):
    """Every operand is one feature map as it is: segments can be processed as one vector."""
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = v.runs[r]
        if run[5] != channels or run[6] != channels * eb or run[7] == 1:
            return False
    return True


@kernel
def _eltwise(tape, at, tasks, i, v, node, op, out, out_at, channels, read_buffer, buffer_low, eb):
    """out = operand 0 (op) operand 1 (op) ...; op < 0 copies operand 0."""
    task, start, pixels = tasks.task[i], tasks.start[i], tasks.stop[i] - tasks.start[i]
    first, last = v.run_start[node], v.run_start[node + 1]
    if op >= 0 and _whole(v, node, channels, eb):
        held, held_at = np.int64(-1), np.int64(0)
        for r in range(first, last):
            buffer = np.int64(read_buffer[tasks.reads[i] + v.runs[r, 1]])
            offset = (start - buffer_low[buffer]) * channels * eb
            if r == first:
                held, held_at = buffer, offset
                continue
            at = put(tape, at, task, op, out, out_at, held, held_at, buffer, offset, pixels * channels)
            held, held_at = out, out_at
        return at
    for r in range(first, last):
        run = v.runs[r]
        buffer = read_buffer[tasks.reads[i] + run[1]]
        whole = run[0] == 0 and run[5] == channels and run[6] == channels * eb and run[7] == 0
        if whole:
            offset = (start - buffer_low[buffer]) * channels * eb
            at = put(tape, at, task, LMV, out, out_at, buffer, offset, LITERAL, 0, pixels * channels * eb)
            continue
        for p in range(pixels):
            column = 0 if run[7] == 1 else start + p - buffer_low[buffer]
            src = column * run[6] + run[3] * eb
            dst = out_at + (p * channels + run[4]) * eb
            if run[0] == 0:
                at = put(tape, at, task, LMV, out, dst, buffer, src, LITERAL, 0, run[5] * eb)
            else:
                at = put(tape, at, task, op, out, dst, out, dst, buffer, src, run[5])
    return at


@kernel
def _copy(tape, at, tasks, i, v, node, out, out_at, channels, read_buffer, buffer_low, eb):
    """Copy the chosen columns of the input row, neighbours at once where the map stays as it is; zero elsewhere."""
    task, start, stop = tasks.task[i], tasks.start[i], tasks.stop[i]
    columns = v.copied[v.copied_start[node] :]
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = v.runs[r]
        buffer = read_buffer[tasks.reads[i] + run[1]]
        whole = run[5] == channels
        p = start
        while p < stop:
            column = columns[p] if buffer >= 0 else -1
            step = 0 if column < 0 else 1
            q = p + 1
            while whole and q < stop and (buffer < 0 or columns[q] == column + step * (q - p)):
                if step == 1 and run[6] != channels * eb:
                    break
                q += 1
            dst, size = out_at + ((p - start) * channels + run[4]) * eb, ((q - p - 1) * channels + run[5]) * eb
            if step == 1:
                src = (column - buffer_low[buffer]) * run[6] + run[3] * eb
                at = put(tape, at, task, LMV, out, dst, buffer, src, LITERAL, 0, size)
            else:
                at = put(tape, at, task, LLDI, out, dst, LITERAL, 0, LITERAL, 0, size)
            p = q
    return at


@kernel
def _reduce_rows(tape, at, tasks, i, run, op, low, high, read_buffer, buffer_low, eb):
    """Combine the rows of a window over input columns [low, high); returns (at, buffer, offset of column `low`)."""
    task = tasks.task[i]
    held, held_at = np.int64(-1), np.int64(0)
    for row in range(run[2]):
        buffer = np.int64(read_buffer[tasks.reads[i] + run[1] + row])
        if buffer < 0:
            continue
        offset = (low - buffer_low[buffer]) * run[6]
        if held == -1:
            held, held_at = buffer, offset
            continue
        at = put(tape, at, task, op, SCRATCH, 0, held, held_at, buffer, offset, (high - low) * run[6] // eb)
        held, held_at = np.int64(SCRATCH), np.int64(0)
    return at, held, held_at


@kernel
def _pool(tape, at, tasks, i, v, node, op, out, out_at, channels, read_buffer, buffer_low, eb):
    """Max or sum over a window: rows first, over the whole segment, then columns per output position."""
    task, start, stop = tasks.task[i], tasks.start[i], tasks.stop[i]
    stride, pad, dilation, kernel = v.stride[node], v.pad[node], v.dilation[node], v.kernel[node]
    low = max(start * stride - pad, 0)
    high = min((stop - 1) * stride - pad + (kernel - 1) * dilation + 1, v.width[node])
    held, held_at = np.int64(-1), np.int64(0)
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = v.runs[r]
        if r == v.run_start[node] or v.runs[r - 1, 1] != run[1]:
            at, held, held_at = _reduce_rows(tape, at, tasks, i, run, op, low, high, read_buffer, buffer_low, eb)
        for x in range(start, stop):
            dst = out_at + ((x - start) * channels + run[4]) * eb
            seen, first = 0, np.int64(0)
            for tap in range(kernel):
                column = x * stride - pad + tap * dilation
                if column < 0 or column >= v.width[node]:
                    continue
                src = held_at + (column - low) * run[6] + run[3] * eb
                if seen == 0:
                    first = src
                elif seen == 1:
                    at = put(tape, at, task, op, out, dst, held, first, held, src, run[5])
                else:
                    at = put(tape, at, task, op, out, dst, out, dst, held, src, run[5])
                seen += 1
            if seen == 1:
                at = put(tape, at, task, LMV, out, dst, held, first, LITERAL, 0, run[5] * eb)
    return at


@kernel
def _divide(tape, at, tasks, i, v, node, out, out_at, channels, eb):
    """Sums to averages: multiply by the constant 1 / n of every position."""
    for x in range(tasks.start[i], tasks.stop[i]):
        columns = 0
        for tap in range(v.kernel[node]):
            column = x * v.stride[node] - v.pad[node] + tap * v.dilation[node]
            if v.counted[node, 0] <= column < v.counted[node, 1]:
                columns += 1
        n = columns * tasks.rows[i]
        if n != 1:
            dst = out_at + (x - tasks.start[i]) * channels * eb
            constant = v.divisors[v.divisor_start[node] + n]
            at = put(tape, at, tasks.task[i], VVMUL, out, dst, out, dst, tasks.constants[i], constant, channels)
    return at


@kernel
def _mean(tape, at, tasks, i, v, node, out, out_at, read_buffer, buffer_low, eb):
    """Average of a whole map: all pixels gathered, then one `vavg` per channel (exact rounding in integers)."""
    task, width, rows = tasks.task[i], v.width[node], v.size[node]
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = v.runs[r]
        if v.lanes[node] * eb < run[6]:
            at = _mean_by_lanes(tape, at, tasks, i, v, node, r, out, out_at, read_buffer, buffer_low, eb)
            continue
        if r == v.run_start[node] or v.runs[r - 1, 1] != run[1]:
            for row in range(rows):
                buffer = read_buffer[tasks.reads[i] + run[1] + row]
                offset = -buffer_low[buffer] * run[6]
                at = put(tape, at, task, LMV, SCRATCH, row * width * run[6], buffer, offset, LITERAL, 0, width * run[6])
        for c in range(run[5]):
            src, dst = (run[3] + c) * eb, out_at + (run[4] + c) * eb
            at = put(tape, at, task, VAVG, out, dst, SCRATCH, src, LITERAL, run[6] // eb, rows * width)
    return at


@kernel
def _mean_by_lanes(tape, at, tasks, i, v, node, r, out, out_at, read_buffer, buffer_low, eb):
    """`_mean` of one run where scratch holds some channels of the map at a time."""
    task, width, rows, run = tasks.task[i], v.width[node], v.size[node], v.runs[r]
    for first in range(0, run[5], v.lanes[node]):
        lanes = min(v.lanes[node], run[5] - first)
        for row in range(rows):
            buffer = read_buffer[tasks.reads[i] + run[1] + row]
            for column in range(width):
                src = (column - buffer_low[buffer]) * run[6] + (run[3] + first) * eb
                dst = (row * width + column) * lanes * eb
                at = put(tape, at, task, LMV, SCRATCH, dst, buffer, src, LITERAL, 0, lanes * eb)
        for c in range(lanes):
            dst = out_at + (run[4] + first + c) * eb
            at = put(tape, at, task, VAVG, out, dst, SCRATCH, c * eb, LITERAL, lanes, rows * width)
    return at


@kernel
def _lrn(tape, at, tasks, i, v, node, out, out_at, channels, eb):
    """Local response normalisation of the values already in `out`: x * polynomial(sum of squares)."""
    task, constants, size = tasks.task[i], tasks.constants[i], v.size[node]
    squares, pixel = np.int64(0), channels * eb
    before, after = (size - 1) // 2 * eb, size // 2 * eb
    total = squares + before + pixel + after + eb
    power = total + pixel + eb
    at = put(tape, at, task, LLDI, SCRATCH, squares, LITERAL, 0, LITERAL, 0, before + pixel + after)
    for p in range(tasks.stop[i] - tasks.start[i]):
        x = out_at + p * pixel
        at = put(tape, at, task, VVMUL, SCRATCH, squares + before, out, x, out, x, channels)
        at = put(tape, at, task, VVADD, SCRATCH, total, SCRATCH, squares, SCRATCH, squares + eb, channels)
        for k in range(2, size):
            at = put(tape, at, task, VVADD, SCRATCH, total, SCRATCH, total, SCRATCH, squares + k * eb, channels)
        c = v.coefficients[node]
        at = put(tape, at, task, VVMUL, SCRATCH, power, SCRATCH, total, constants, c, channels)
        at = put(tape, at, task, VVADD, SCRATCH, power, SCRATCH, power, constants, c + pixel, channels)
        for k in range(2, v.terms[node]):
            at = put(tape, at, task, VVMUL, SCRATCH, power, SCRATCH, power, SCRATCH, total, channels)
            at = put(tape, at, task, VVADD, SCRATCH, power, SCRATCH, power, constants, c + k * pixel, channels)
        at = put(tape, at, task, VVMUL, out, x, out, x, SCRATCH, power, channels)
    return at


@kernel
def _depthwise(tape, at, tasks, i, v, f, node, out, out_at, channels, read_buffer, buffer_low, eb):
    """Sum of products with a channel's own weights, pixel by pixel; taps outside the map add nothing."""
    task, constants, kernel = tasks.task[i], tasks.constants[i], v.kernel[node]
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = v.runs[r]
        n, lane = run[5], run[4] * eb
        for x in range(tasks.start[i], tasks.stop[i]):
            dst, begun = out_at + (x - tasks.start[i]) * channels * eb + lane, False
            for row in range(run[2]):
                buffer = np.int64(read_buffer[tasks.reads[i] + run[1] + row])
                for tap in range(kernel):
                    column = x * v.stride[node] - v.pad[node] + tap * v.dilation[node]
                    if buffer < 0 or column < 0 or column >= v.width[node]:
                        continue
                    src = (column - buffer_low[buffer]) * run[6] + run[3] * eb
                    weight = v.weights[node] + (row * kernel + tap) * channels * eb + lane
                    if not begun:
                        at = put(tape, at, task, VVMUL, out, dst, buffer, src, constants, weight, n)
                        begun = True
                    else:
                        at = put(tape, at, task, VVMUL, SCRATCH, 0, buffer, src, constants, weight, n)
                        at = put(tape, at, task, VVADD, out, dst, out, dst, SCRATCH, 0, n)
            if not begun:
                at = put(tape, at, task, LLDI, out, dst, LITERAL, 0, LITERAL, 0, n * eb)
            if f.bias[node] >= 0:
                at = put(tape, at, task, VVADD, out, dst, out, dst, constants, f.bias[node] + lane, n)
    return at


@kernel
def emit_vector(tape, bounds, tasks, v, f, read_buffer, buffer_low, eb):
    """Emit all vector tasks; bounds as in `emit_conv`."""
    at = 0
    for i in range(len(tasks.task)):
        bounds[i] = at
        node = tasks.node[i]
        kind, out, channels = v.kind[node], tasks.out[i], f.channels[node]
        out_at = (tasks.start[i] - buffer_low[out]) * channels * eb
        if kind in (MAX_POOL, AVG_POOL):
            op = VVMAX if kind == MAX_POOL else VVADD
            at = _pool(tape, at, tasks, i, v, node, op, out, out_at, channels, read_buffer, buffer_low, eb)
            if kind == AVG_POOL:
                at = _divide(tape, at, tasks, i, v, node, out, out_at, channels, eb)
        elif kind == MEAN:
            at = _mean(tape, at, tasks, i, v, node, out, out_at, read_buffer, buffer_low, eb)
        elif kind == DEPTHWISE:
            at = _depthwise(tape, at, tasks, i, v, f, node, out, out_at, channels, read_buffer, buffer_low, eb)
        elif kind == COPY:
            at = _copy(tape, at, tasks, i, v, node, out, out_at, channels, read_buffer, buffer_low, eb)
        else:
            op = -1
            if kind == ADD:
                op = VVADD
            elif kind == SUB:
                op = VVSUB
            elif kind == MUL:
                op = VVMUL
            at = _eltwise(tape, at, tasks, i, v, node, op, out, out_at, channels, read_buffer, buffer_low, eb)
            if kind == LRN:
                at = _lrn(tape, at, tasks, i, v, node, out, out_at, channels, eb)
        pixels = tasks.stop[i] - tasks.start[i]
        at = activate(tape, at, tasks.task[i], f, node, out, out_at, pixels, eb, tasks.constants[i], 0)
    bounds[len(tasks.task)] = at
    return at
