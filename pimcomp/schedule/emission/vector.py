"""Instructions of everything that uses no crossbar: pooling, element-wise work, activations, copies, LRN."""

from typing import NamedTuple

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.attention import normalise, product, softmax, turn
from pimcomp.schedule.emission.finish import Desk, Job, activate, take
from pimcomp.schedule.emission.reader import Reader, Run, VectorNodes, row_of, run_of
from pimcomp.schedule.emission.tape import (
    LITERAL,
    NOTHING,
    SCRATCH,
    SCRATCH_START,
    Operand,
    Pen,
    move,
    plus,
    put,
)
from pimcomp.schedule.work import LongArray

LLDI, VAVG = int(Op.LLDI), int(Op.VAVG)
VVADD, VVSUB, VVMUL, VVMAX = int(Op.VVADD), int(Op.VVSUB), int(Op.VVMUL), int(Op.VVMAX)

# Kinds of `VectorNodes.kind`.
(
    ADD, SUB, MUL, COPY, MAX_POOL, AVG_POOL, MEAN, LRN, IDENTITY, DEPTHWISE, SOFTMAX, NORMALISE, PRODUCT, TURN
) = range(14)  # fmt: skip


class VectorTasks(NamedTuple):
    """Vector tasks; fields as in `ConvTasks`. rows: rows of the window that count in an average's divisor; whose
    turn it is among a `Pick`'s operands."""

    task: LongArray
    reads: LongArray
    rows: LongArray


@kernel
def _is_whole(run: Run, job: Job, element_bytes: int) -> bool:
    """The source is one feature map as it is: segments can be processed as one vector."""
    same = run.channels == job.channels and run.pixel_bytes == job.channels * element_bytes
    return same and run.broadcast == 0


@kernel
def _eltwise(pen: Pen, source: Reader, v: VectorNodes, job: Job, op: int) -> None:
    """out = operand 0 (op) operand 1 (op) ...; op < 0 copies operand 0."""
    eb, pixels = pen.element_bytes, job.stop - job.start
    first, last = v.run_start[job.node], v.run_start[job.node + 1]
    whole = op >= 0
    for r in range(first, last):
        whole = whole and _is_whole(run_of(v, r), job, eb)
    held = NOTHING
    for r in range(first, last):
        run = run_of(v, r)
        if whole:
            other = row_of(source, run, 0, job.start)
            if r > first:
                put(pen, op, job.out, held, other, pixels * job.channels)
            held = other if r == first else job.out
        elif run.operand == 0 and _is_whole(run, job, eb):
            move(pen, job.out, row_of(source, run, 0, job.start), pixels * job.channels * eb)
        else:
            for p in range(pixels):
                src = plus(row_of(source, run, 0, 0 if run.broadcast == 1 else job.start + p), run.src * eb)
                dst = plus(job.out, (p * job.channels + run.dst) * eb)
                if run.operand == 0:
                    move(pen, dst, src, run.channels * eb)
                else:
                    put(pen, op, dst, dst, src, run.channels)


@kernel
def _copy(pen: Pen, source: Reader, v: VectorNodes, job: Job, operand: int) -> None:
    """Copy the chosen columns of an operand's row, neighbours at once where the map stays as it is; zero elsewhere."""
    eb = pen.element_bytes
    columns = v.copied[v.copied_start[job.node] :]
    for r in range(v.run_start[job.node], v.run_start[job.node + 1]):
        run = run_of(v, r)
        if run.operand != operand:
            continue
        absent = row_of(source, run, 0, 0)[0] < 0
        p = job.start
        while p < job.stop:
            column = -1 if absent else columns[p]
            step = 0 if column < 0 else 1
            q = p + 1
            while run.channels == job.channels and q < job.stop and (absent or columns[q] == column + step * (q - p)):
                if step == 1 and run.pixel_bytes != job.channels * eb:
                    break
                q += 1
            dst = plus(job.out, ((p - job.start) * job.channels + run.dst) * eb)
            size = ((q - p - 1) * job.channels + run.channels) * eb
            if step == 1:
                move(pen, dst, plus(row_of(source, run, 0, column), run.src * eb), size)
            else:
                put(pen, LLDI, dst, NOTHING, NOTHING, size)
            p = q


@kernel
def _reduce_rows(pen: Pen, source: Reader, run: Run, op: int, low: int, high: int) -> Operand:
    """Combine the rows of a window over input columns [low, high); returns where column `low` is."""
    held = NOTHING
    for row in range(run.rows):
        other = row_of(source, run, row, low)
        if other[0] < 0:
            continue
        if held[0] == LITERAL:
            held = other
            continue
        put(pen, op, SCRATCH_START, held, other, (high - low) * run.pixel_bytes // pen.element_bytes)
        held = SCRATCH_START
    return held


@kernel
def _pool(pen: Pen, source: Reader, v: VectorNodes, job: Job, op: int) -> None:
    """Max or sum over a window: rows first, over the whole segment, then columns per output position."""
    node, eb = job.node, pen.element_bytes
    stride, pad, dilation, kernel = v.stride[node], v.pad[node], v.dilation[node], v.kernel[node]
    low = max(job.start * stride - pad, 0)
    high = min((job.stop - 1) * stride - pad + (kernel - 1) * dilation + 1, v.width[node])
    held, reduced = NOTHING, -1
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = run_of(v, r)
        if run.read != reduced:
            held, reduced = _reduce_rows(pen, source, run, op, low, high), run.read
        for x in range(job.start, job.stop):
            dst = plus(job.out, ((x - job.start) * job.channels + run.dst) * eb)
            seen, first = 0, NOTHING
            for tap in range(kernel):
                column = x * stride - pad + tap * dilation
                if column < 0 or column >= v.width[node]:
                    continue
                src = plus(held, (column - low) * run.pixel_bytes + run.src * eb)
                if seen == 0:
                    first = src
                else:
                    put(pen, op, dst, first if seen == 1 else dst, src, run.channels)
                seen += 1
            if seen == 1:
                move(pen, dst, first, run.channels * eb)


@kernel
def _divide(pen: Pen, v: VectorNodes, job: Job, rows: int) -> None:
    """Sums to averages: multiply by the constant 1 / n of every position."""
    node = job.node
    for x in range(job.start, job.stop):
        columns = 0
        for tap in range(v.kernel[node]):
            column = x * v.stride[node] - v.pad[node] + tap * v.dilation[node]
            if v.counted_from[node] <= column < v.counted_to[node]:
                columns += 1
        n = columns * rows
        if n != 1:
            place = plus(job.out, (x - job.start) * job.channels * pen.element_bytes)
            constant = v.constants.divisors[v.constants.divisor_start[node] + n]
            put(pen, VVMUL, place, place, (job.constants, constant), job.channels)


@kernel
def _mean(pen: Pen, source: Reader, v: VectorNodes, job: Job) -> None:
    """Average of a whole map: all pixels gathered, then one `vavg` per channel (exact rounding in integers).

    Where scratch holds no whole map, some channels of it at a time.
    """
    eb, width, rows, lanes = pen.element_bytes, v.width[job.node], v.size[job.node], v.lanes[job.node]
    gathered = -1
    for r in range(v.run_start[job.node], v.run_start[job.node + 1]):
        run = run_of(v, r)
        if lanes * eb < run.pixel_bytes:
            for first in range(0, run.channels, lanes):
                count = min(lanes, run.channels - first)
                for row in range(rows):
                    for column in range(width):
                        src = plus(row_of(source, run, row, column), (run.src + first) * eb)
                        move(pen, (SCRATCH, (row * width + column) * count * eb), src, count * eb)
                _average(pen, plus(job.out, (run.dst + first) * eb), 0, count, count, rows * width)
            continue
        if run.read != gathered:
            gathered = run.read
            for row in range(rows):
                size = width * run.pixel_bytes
                move(pen, (SCRATCH, row * size), row_of(source, run, row, 0), size)
        _average(pen, plus(job.out, run.dst * eb), run.src, run.channels, run.pixel_bytes // eb, rows * width)


@kernel
def _average(pen: Pen, out: Operand, first: int, channels: int, stride: int, pixels: int) -> None:
    """Averages of gathered pixels that are `stride` elements apart, from channel `first` on."""
    eb = pen.element_bytes
    for c in range(channels):
        put(pen, VAVG, plus(out, c * eb), (SCRATCH, (first + c) * eb), (LITERAL, stride), pixels)


@kernel
def _lrn(pen: Pen, v: VectorNodes, job: Job) -> None:
    """Local response normalisation of the values already in the result: x * polynomial(sum of squares)."""
    eb, c, size = pen.element_bytes, job.channels, v.size[job.node]
    pixel = c * eb
    before, after = (size - 1) // 2 * eb, size // 2 * eb
    total = (SCRATCH, before + pixel + after + eb)
    power = plus(total, pixel + eb)
    put(pen, LLDI, SCRATCH_START, NOTHING, NOTHING, before + pixel + after)
    coefficients = (job.constants, v.constants.coefficients[job.node])
    for p in range(job.stop - job.start):
        x = plus(job.out, p * pixel)
        put(pen, VVMUL, plus(SCRATCH_START, before), x, x, c)
        for k in range(1, size):
            put(pen, VVADD, total, total if k > 1 else SCRATCH_START, plus(SCRATCH_START, k * eb), c)
        for k in range(1, v.constants.terms[job.node]):
            put(pen, VVMUL, power, power if k > 1 else total, total if k > 1 else coefficients, c)
            put(pen, VVADD, power, power, plus(coefficients, k * pixel), c)
        put(pen, VVMUL, x, x, power, c)


@kernel
def _depthwise(pen: Pen, source: Reader, v: VectorNodes, job: Job, bias: int) -> None:
    """Sum of products with a channel's own weights, pixel by pixel; taps outside the map add nothing.

    bias: offset in the node's constants, -1: none.
    """
    node, eb, kernel = job.node, pen.element_bytes, v.kernel[job.node]
    weights = (job.constants, v.constants.weights[node])
    for r in range(v.run_start[node], v.run_start[node + 1]):
        run = run_of(v, r)
        n, lane = run.channels, run.dst * eb
        for x in range(job.start, job.stop):
            dst, begun = plus(job.out, (x - job.start) * job.channels * eb + lane), False
            for row in range(run.rows):
                for tap in range(kernel):
                    column = x * v.stride[node] - v.pad[node] + tap * v.dilation[node]
                    src = plus(row_of(source, run, row, column), run.src * eb)
                    if src[0] < 0 or column < 0 or column >= v.width[node]:
                        continue
                    weight = plus(weights, (row * kernel + tap) * job.channels * eb + lane)
                    put(pen, VVMUL, SCRATCH_START if begun else dst, src, weight, n)
                    if begun:
                        put(pen, VVADD, dst, dst, SCRATCH_START, n)
                    begun = True
            if not begun:
                put(pen, LLDI, dst, NOTHING, NOTHING, n * eb)
            if bias >= 0:
                put(pen, VVADD, dst, dst, (job.constants, bias + lane), n)


@kernel
def emit_vector(pen: Pen, desk: Desk, tasks: VectorTasks, v: VectorNodes) -> None:
    """Write all vector tasks."""
    for i in range(len(tasks.task)):
        job, source = take(pen, desk, tasks.task[i]), Reader(desk.reads, desk.low, tasks.reads[i])
        kind = v.kind[job.node]
        if kind == MAX_POOL:
            _pool(pen, source, v, job, VVMAX)
        elif kind == AVG_POOL:
            _pool(pen, source, v, job, VVADD)
            _divide(pen, v, job, tasks.rows[i])
        elif kind == MEAN:
            _mean(pen, source, v, job)
        elif kind == DEPTHWISE:
            _depthwise(pen, source, v, job, desk.finish.bias[job.node])
        elif kind == COPY:
            _copy(pen, source, v, job, tasks.rows[i])
        elif kind == PRODUCT:
            product(pen, source, v, job)
        elif kind == TURN:
            turn(pen, source, v, job)
        else:
            op = VVADD if kind == ADD else VVSUB if kind == SUB else VVMUL if kind == MUL else -1
            _eltwise(pen, source, v, job, op)
            if kind == LRN:
                _lrn(pen, v, job)
            elif kind == SOFTMAX:
                softmax(pen, v, job)
            elif kind == NORMALISE:
                normalise(pen, v, job)
        activate(pen, desk.finish, job, job.out, job.stop - job.start, 0)
