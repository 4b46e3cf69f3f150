"""Instructions of what attention is made of: softmax, normalisation, products of maps, channels and pixels exchanged.

The vector unit has no exponential, root or division: docs/isa.md says how they are made, and how exact that is.
"""

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.schedule.emission.finish import Job
from pimcomp.schedule.emission.reader import Reader, VectorNodes, row_of, run_of
from pimcomp.schedule.emission.tape import LITERAL, NOTHING, SCRATCH, SCRATCH_START, Operand, Pen, move, plus, put

VVADD, VVSUB, VVMUL, VVDMUL, VVMAX = int(Op.VVADD), int(Op.VVSUB), int(Op.VVMUL), int(Op.VVDMUL), int(Op.VVMAX)
VAVG, VMV, VSIGM = int(Op.VAVG), int(Op.VMV), int(Op.VSIGM)

EXPONENTIAL_FACTORS = 5  # 1 + s^(2^k) of s / (1 - s): the largest relative error of exp is 2.3e-10


@kernel
def _spread(pen: Pen, out: Operand, value: Operand, length: int) -> None:
    """A vector of equal elements from one."""
    put(pen, VMV, out, value, (LITERAL, 0), length)


@kernel
def _maximum(pen: Pen, x: Operand, spare: Operand, length: int) -> Operand:
    """Where the largest of `length` elements is: halves against halves, to and fro in `spare` (as long as x)."""
    eb, here, half = pen.element_bytes, x, (length + 1) // 2
    there = spare
    while length > 1:
        put(pen, VVMAX, there, here, plus(here, (length - half) * eb), half)
        other = plus(spare, half * eb) if here == x else here
        here, there, length = there, other, half
        half = (length + 1) // 2
    return here


@kernel
def softmax(pen: Pen, v: VectorNodes, job: Job) -> None:
    """Softmax across the channels of every pixel of the result, in place, some pixels at a time.

    exp(x) = s / (1 - s) for s = sigmoid(x), x <= 0 after the largest is taken off: s (1 + s) (1 + s^2) (1 + s^4) ...
    The reciprocal of the mean m of the exponentials is the same product of 1 + e^(2^k), e = 1 - m.
    """
    eb, c = pen.element_bytes, job.channels
    pixel, columns, most = c * eb, v.width[job.node] * eb, v.lanes[job.node]
    ones = (job.constants, v.constants.coefficients[job.node])
    for first in range(job.start, job.stop, most):
        n = min(most, job.stop - first)
        x, spread, power = plus(job.out, (first - job.start) * pixel), SCRATCH_START, (SCRATCH, n * pixel)
        mean = (SCRATCH, 2 * n * pixel)
        rest, result = plus(mean, n * eb), plus(mean, 2 * n * eb)
        for p in range(n):
            own = plus(x, p * pixel)
            _spread(pen, plus(spread, p * pixel), _maximum(pen, own, power, c), c)
        put(pen, VVSUB, x, x, spread, n * c)
        put(pen, VSIGM, x, x, NOTHING, n * c)
        put(pen, VVMUL, power, x, x, n * c)
        put(pen, VVADD, x, x, power, n * c)
        for k in range(1, EXPONENTIAL_FACTORS):
            put(pen, VVMUL, spread, x, power, n * c)
            put(pen, VVADD, x, x, spread, n * c)
            if k + 1 < EXPONENTIAL_FACTORS:
                put(pen, VVMUL, power, power, power, n * c)
        for p in range(n):
            put(pen, VAVG, plus(mean, p * eb), plus(x, p * pixel), (LITERAL, 1), c)
        put(pen, VVSUB, rest, ones, mean, n)
        put(pen, VVADD, result, ones, rest, n)
        # Over the channels first: then everything is at most 1, in a scale of its own.
        put(pen, VVMUL, result, result, plus(ones, columns), n)
        for _ in range(v.constants.terms[job.node]):
            put(pen, VVMUL, rest, rest, rest, n)
            put(pen, VVMUL, mean, result, rest, n)
            put(pen, VVADD, result, result, mean, n)
        _times_each(pen, x, spread, result, n, c)


@kernel
def _times_each(pen: Pen, x: Operand, spread: Operand, factor: Operand, pixels: int, channels: int) -> None:
    """Every pixel times a number of its own."""
    eb = pen.element_bytes
    for p in range(pixels):
        _spread(pen, plus(spread, p * channels * eb), plus(factor, p * eb), channels)
    put(pen, VVMUL, x, x, spread, pixels * channels)


@kernel
def normalise(pen: Pen, v: VectorNodes, job: Job) -> None:
    """Every pixel of the result, less its mean if `size` says so, over the root of its mean square, in place.

    The reciprocal root by Newton's iteration on the numbers of all pixels at once, see `constants.root_terms`.
    """
    eb, c = pen.element_bytes, job.channels
    pixel, columns, most = c * eb, v.width[job.node] * eb, v.lanes[job.node]
    factor = (job.constants, v.constants.coefficients[job.node])
    for first in range(job.start, job.stop, most):
        n = min(most, job.stop - first)
        x, spread, square = plus(job.out, (first - job.start) * pixel), SCRATCH_START, (SCRATCH, n * pixel)
        term, root = plus(square, n * eb), plus(square, 2 * n * eb)
        if v.size[job.node] == 1:
            for p in range(n):
                put(pen, VAVG, plus(square, p * eb), plus(x, p * pixel), (LITERAL, 1), c)
                _spread(pen, plus(spread, p * pixel), plus(square, p * eb), c)
            put(pen, VVSUB, x, x, spread, n * c)
        for p in range(n):
            own = plus(x, p * pixel)
            put(pen, VVDMUL, plus(square, p * eb), own, own, c)
        put(pen, VVMUL, square, square, factor, n)
        put(pen, VVADD, square, square, plus(factor, columns), n)
        _spread(pen, root, plus(factor, 2 * columns), n)  # not 1.5 - w: in integers that would share w's scale
        for _ in range(v.constants.terms[job.node] - 1):
            put(pen, VVMUL, term, root, root, n)
            put(pen, VVMUL, term, term, square, n)
            put(pen, VVSUB, term, plus(factor, 2 * columns), term, n)
            put(pen, VVMUL, root, root, term, n)
        put(pen, VVMUL, root, root, plus(factor, 3 * columns), n)
        _times_each(pen, x, spread, root, n, c)


@kernel
def _pixel(
    pen: Pen, source: Reader, v: VectorNodes, runs: tuple[int, int], at: tuple[int, int], spare: Operand
) -> Operand:
    """Where the channels [runs) of a pixel (row, column) lie side by side: gathered in `spare` if there are several."""
    eb, first = pen.element_bytes, run_of(v, runs[0])
    place = plus(row_of(source, first, at[0], at[1]), first.src * eb)
    if runs[1] - runs[0] == 1:
        return place
    for r in range(runs[0], runs[1]):
        run = run_of(v, r)
        move(pen, plus(spare, run.dst * eb), plus(row_of(source, run, at[0], at[1]), run.src * eb), run.channels * eb)
    return spare


@kernel
def product(pen: Pen, source: Reader, v: VectorNodes, job: Job) -> None:
    """Inner products of every pixel of operand 0 with all pixels of operand 1."""
    eb, first, last = pen.element_bytes, v.run_start[job.node], v.run_start[job.node + 1]
    length, split = 0, first
    for r in range(first, last):
        run = run_of(v, r)
        if run.operand == 0:
            split, length = r + 1, length + run.channels
    width = job.channels // run_of(v, split).rows
    for x in range(job.start, job.stop):
        own = _pixel(pen, source, v, (first, split), (0, x), SCRATCH_START)
        for k in range(job.channels):
            other = _pixel(pen, source, v, (split, last), (k // width, k % width), (SCRATCH, length * eb))
            put(pen, VVDMUL, plus(job.out, ((x - job.start) * job.channels + k) * eb), own, other, length)


@kernel
def turn(pen: Pen, source: Reader, v: VectorNodes, job: Job) -> None:
    """Every pixel is one channel of all pixels of the operand, of which some are read at a time."""
    eb, most = pen.element_bytes, v.lanes[job.node]
    for r in range(v.run_start[job.node], v.run_start[job.node + 1]):
        run = run_of(v, r)
        width, stride = job.channels // run.rows, (LITERAL, run.pixel_bytes // eb)
        for row in range(run.rows):
            for first in range(0, width, most):
                for x in range(max(job.start, run.dst), min(job.stop, run.dst + run.channels)):
                    out = plus(job.out, ((x - job.start) * job.channels + row * width + first) * eb)
                    src = plus(row_of(source, run, row, first), (run.src + x - run.dst) * eb)
                    put(pen, VMV, out, src, stride, min(most, width - first))
