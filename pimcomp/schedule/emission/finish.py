"""What every task's instructions begin and end with: where its result goes, bias and activation."""

from typing import NamedTuple

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.tape import LITERAL, NOTHING, SCRATCH, Operand, Pen, move, plus, put
from pimcomp.schedule.work import LongArray, Tasks

VVADD, VVMUL, VVMAX = int(Op.VVADD), int(Op.VVMUL), int(Op.VVMAX)
VMV, VRELU, VSIGM, VTANH, VRSU, VRSL = (
    int(Op.VMV),
    int(Op.VRELU),
    int(Op.VSIGM),
    int(Op.VTANH),
    int(Op.VRSU),
    int(Op.VRSL),
)

# Activation codes of `Finish.code`.
NONE, RELU, CLIP, LEAKY, SIGMOID, TANH, HARD_SIGMOID, HARD_SWISH, ERF, GELU = range(10)
ERF_LANES = 64  # elements at a time


class Finish(NamedTuple):
    """What happens to a node's sums, per node: bias and activation. Offsets are bytes in the node's constants, -1:
    none.

    low, high: indices of clip bounds (-1: none). alpha, beta: constant vectors of one pixel (for an error function: at
    alpha the `terms` numbers of its polynomial).
    """

    channels: LongArray
    bias: LongArray
    code: LongArray
    low: LongArray
    high: LongArray
    alpha: LongArray
    beta: LongArray
    terms: int


class Desk(NamedTuple):
    """What the tasks are and where their operands lie. Per task: buffers of its result and of its node's constants (-1:
    none). reads: buffer of every read (-1: a row that does not exist). low: first column of every buffer."""

    tasks: Tasks
    out: LongArray
    constants: LongArray
    reads: LongArray
    low: LongArray
    finish: Finish


class Job(NamedTuple):
    """One task: it computes columns [start, stop) and keeps [keep, stop), which begin at `out`. constants: buffer."""

    node: int
    channels: int
    start: int
    keep: int
    stop: int
    out: Operand
    constants: int


@kernel
def take(pen: Pen, desk: Desk, task: int) -> Job:
    """Take a task in hand: what is written from now on belongs to it."""
    pen.task[0] = task
    tasks, out = desk.tasks, desk.out[task]
    node, keep = tasks.node[task], tasks.keep[task]
    channels = desk.finish.channels[node]
    offset = 0 if out < 0 else (keep - desk.low[out]) * channels * pen.element_bytes
    return Job(node, channels, tasks.start[task], keep, tasks.stop[task], (out, offset), desk.constants[task])


@kernel
def activate(pen: Pen, f: Finish, job: Job, place: Operand, pixels: int, spare: int) -> None:
    """Apply a node's activation in place; `spare`: scratch offset of one spare pixel."""
    code, c = f.code[job.node], job.channels
    low, high = (LITERAL, f.low[job.node]), (LITERAL, f.high[job.node])
    n = pixels * c
    if code == RELU:
        put(pen, VRELU, place, place, NOTHING, n)
    elif code == CLIP:
        if low[1] >= 0:
            put(pen, VRSL, place, place, low, n)
        if high[1] >= 0:
            put(pen, VRSU, place, place, high, n)
    elif code == SIGMOID:
        put(pen, VSIGM, place, place, NOTHING, n)
    elif code == TANH:
        put(pen, VTANH, place, place, NOTHING, n)
    elif code in (ERF, GELU):
        _error_function(pen, f, job, place, pixels, (SCRATCH, spare))
    elif code != NONE:
        temp = (SCRATCH, spare)
        for p in range(pixels):
            x = plus(place, p * c * pen.element_bytes)
            put(pen, VVMUL, temp, x, (job.constants, f.alpha[job.node]), c)
            if code == LEAKY:
                put(pen, VVMAX, x, x, temp, c)
                continue
            # Hard sigmoid; hard swish multiplies it with its argument.
            put(pen, VVADD, temp, temp, (job.constants, f.beta[job.node]), c)
            put(pen, VRSL, temp, temp, low, c)
            put(pen, VRSU, temp, temp, high, c)
            if code == HARD_SWISH:
                put(pen, VVMUL, x, x, temp, c)
            else:
                move(pen, x, temp, c * pen.element_bytes)


@kernel
def _error_function(pen: Pen, f: Finish, job: Job, place: Operand, pixels: int, temp: Operand) -> None:
    """erf(x) = tanh(x * polynomial(x * x)) in place, GELU x * sigmoid(x * polynomial(x * x)), some elements at a time.

    Every core that needs the polynomial loads one number per term, and makes vectors of them."""
    eb, count = pen.element_bytes, pixels * job.channels
    most = min(count, ERF_LANES)
    lanes = most * eb
    total, factor = plus(temp, lanes), plus(temp, 2 * lanes)
    for k in range(f.terms):
        put(pen, VMV, plus(factor, k * lanes), (job.constants, f.alpha[job.node] + k * eb), NOTHING, most)
    for first in range(0, count, most):
        x, n = plus(place, first * eb), min(most, count - first)
        put(pen, VVMUL, temp, x, x, n)
        put(pen, VVMUL, total, temp, factor, n)
        for k in range(1, f.terms):
            put(pen, VVADD, total, total, plus(factor, k * lanes), n)
            put(pen, VVMUL, total, total, temp if k + 1 < f.terms else x, n)
        if f.code[job.node] == ERF:
            put(pen, VTANH, x, total, NOTHING, n)
        else:
            put(pen, VSIGM, total, total, NOTHING, n)
            put(pen, VVMUL, x, x, total, n)


@kernel
def finish(pen: Pen, f: Finish, job: Job, sums: Operand, out: Operand, pixels: int, spare: int) -> None:
    """Bias and activation of `pixels` sums, results at `out`; `spare` as in `activate`."""
    width = job.channels * pen.element_bytes
    if f.bias[job.node] >= 0:
        bias = (job.constants, f.bias[job.node])
        for p in range(pixels):
            put(pen, VVADD, plus(out, p * width), plus(sums, p * width), bias, job.channels)
    elif sums != out:
        move(pen, out, sums, pixels * width)
    activate(pen, f, job, out, pixels, spare)
