"""Matrix and vector instructions in the chip's integers: products, exact or converted; rounding shifts, saturation."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import Flag, Whole, kernel
from pimcomp.ir.graph import FloatArray, IntArray
from pimcomp.ir.program import Op
from pimcomp.isa.table import DST, INPUT, MATRIX_COLUMNS, ONE_OUTPUT, SRC2
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.moves import Lanes
from pimcomp.proof.interpret.resolve import Resolved

Reals = npt.NDArray[np.float64]
POISON = np.int32(np.iinfo(np.int32).min)
"""What a cell holds that holds nothing. Elements have at most 16 bits."""
_OK, _UNKNOWN_OP, _BAD_SHIFT = int(Fault.OK), int(Fault.UNKNOWN_OP), int(Fault.BAD_SHIFT)
_MAX_SHIFT = 31


class Scales(NamedTuple):
    """Per row of the stream: what rescales its result.

    shift: of mvmul, vvmul, vvdmul: result = product >> shift, rounded half up (negative: << -shift). in_exponent,
    out_exponent: of vsigm, vtanh: an integer q stands for q * 2 ** exponent. bound: of vrsu, vrsl, in the row's scale.
    """

    shift: IntArray
    in_exponent: IntArray
    out_exponent: IntArray
    bound: IntArray


class Cells(NamedTuple):
    """What the crossbars hold, where a conversion may lose something. slices 0: nothing does, and products are exact.

    levels: float32[slices, values], of the cells that hold a weight, least significant first, laid out as the
    matrices. flipped: float32[slices, places], 1 where a column is stored inverted, per rows read at a time: a place
    per column, group by group from flipped_start[group]. A conversion is a multiple of `step` up to `top` times it.
    """

    slices: int
    rows: int  # read at a time
    cell_bits: int
    dac_bits: int
    input_bits: int
    weight_bits: int
    step: int
    top: int
    levels: npt.NDArray[np.float32]
    flipped: npt.NDArray[np.float32]
    flipped_start: npt.NDArray[np.int64]


EXACT = Cells(
    0, 1, 1, 1, 1, 1, 1, 1, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
)  # fmt: skip


class Weights(NamedTuple):
    """All array groups' integer matrices, laid out as `Matrices`."""

    start: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    values: IntArray
    narrow: bool  # whether 32 bits hold every sum of products
    cells: Cells = EXACT


Scratch = tuple[Lanes, IntArray, npt.NDArray[np.int64]]
"""(int64[longest, lanes], int32[longest], int64[longest]): sums of an mvmul, of all lanes and of one."""


@kernel
def rescale(total: Whole, shift: Whole, top: Whole) -> Whole:
    """total / 2 ** shift, rounded half up, saturated to [-top - 1, top]."""
    if shift > 0:
        total = (total + (np.int64(1) << (shift - 1))) >> shift if shift < 62 else np.int64(0)
    elif shift < 0:
        total = total << min(-shift, 32)
    return min(max(total, -top - 1), top)


@kernel
def multiply(x: Lanes, rows: Whole, cols: Whole, weights: IntArray, start: Whole, acc: Lanes, out: Lanes) -> None:
    """out[:cols] = weights^T x for every lane, exact; acc is the scratch whose type can hold every partial sum."""
    v = np.empty(rows, acc.dtype)
    acc = acc[:cols]
    for k in range(x.shape[1]):
        acc[:] = 0
        for r in range(rows):
            v[r] = x[r, k]
        for r in range(rows):
            # A slice of its own: the compiler then knows that nothing wraps around and vectorises.
            w, u = weights[start + r * cols : start + (r + 1) * cols], v[r]
            for c in range(cols):
                acc[c] += w[c] * u
        for c in range(cols):
            out[c, k] = acc[c]


@kernel
def _drive(x: Lanes, lane: Whole, first: Whole, low: Whole, cells: Cells, driven: FloatArray) -> Whole:
    """The DACs' levels for the bits from `low` of the rows from `first`; the highest bits are signed. Their sum."""
    charge = np.int64(0)
    for r in range(len(driven)):
        level = np.int64(x[first + r, lane]) >> low
        if low + cells.dac_bits < cells.input_bits:
            level &= (np.int64(1) << cells.dac_bits) - 1
        driven[r] = level
        charge += level
    return charge


@kernel
def _read(sums: FloatArray, flipped: FloatArray, full_charge: float, weight: float, cells: Cells, total: Reals) -> None:
    """Convert the columns' sums and add them, in real numbers that hold them exactly, to the totals."""
    top = np.float32(cells.top)
    scale, step = np.float32(1 / cells.step), np.float32(cells.step)
    for c in range(len(sums)):
        code = np.floor(sums[c] * scale + np.float32(0.5))
        code = top if code > top else code
        code = -top if code < -top else code
        found = code * step
        inverted = flipped[c]
        total[c] += weight * (found + inverted * (full_charge - 2 * found))


@kernel
def convert(x: Lanes, rows: Whole, group: Whole, weights: Weights, out: Lanes) -> None:
    """out[:cols] = weights^T x for every lane, as the crossbar finds it: bit by bit, slice by slice, converted."""
    cells, cols, start = weights.cells, weights.cols[group], weights.start[group]
    sums, driven, total = np.empty(cols, np.float32), np.empty(cells.rows, np.float32), np.empty(cols, np.float64)
    full = float((np.int64(1) << cells.cell_bits) - 1)
    for k in range(x.shape[1]):
        offset = np.int64(0)
        for r in range(rows):
            offset += np.int64(x[r, k])
        total[:] = -float(offset << (cells.weight_bits - 1))
        for first in range(0, rows, cells.rows):
            now, place = (
                driven[: min(cells.rows, rows - first)],
                cells.flipped_start[group] + first // cells.rows * cols,
            )
            for low in range(0, cells.input_bits, cells.dac_bits):
                charge = float(_drive(x, k, first, low, cells, now))
                for s in range(cells.slices):
                    sums[:] = 0
                    for r in range(len(now)):
                        level, at = now[r], start + (first + r) * cols
                        if level != 0:
                            held = cells.levels[s, at : at + cols]
                            for c in range(cols):
                                sums[c] += held[c] * level
                    flipped = cells.flipped[s, place : place + cols]
                    _read(sums, flipped, full * charge, 2.0 ** (low + s * cells.cell_bits), cells, total)
        for c in range(cols):
            out[c, k] = np.int64(total[c])


@kernel
def _function(op: Whole, x: Whole, in_exponent: Whole, out_exponent: Whole, top: Whole) -> Whole:
    """Sigmoid or tanh of x * 2 ** in_exponent, in units of 2 ** out_exponent."""
    real = x * 2.0**in_exponent
    y = np.tanh(real) if op == Op.VTANH else 1.0 / (1.0 + np.exp(-real))
    return min(max(np.int64(np.floor(y * 2.0**-out_exponent + 0.5)), -top - 1), top)


@kernel
def _elements(op: Whole, n: Whole, a: Lanes, b: Lanes, scales: Scales, row: Whole, top: Whole, out: Lanes) -> int:
    """Element-wise operations; poison (while a pipeline fills) stays poison. Returns the fault."""
    two = SRC2[op] == INPUT
    for i in range(n):
        for k in range(a.shape[1]):
            x, y = np.int64(a[i, k]), np.int64(b[i, k]) if two else np.int64(0)
            if a[i, k] == POISON or (two and b[i, k] == POISON):
                out[i, k] = POISON
                continue
            z: Whole = 0
            if op == Op.VVADD:
                z = x + y
            elif op == Op.VVSUB:
                z = x - y
            elif op == Op.VVMAX:
                z = max(x, y)
            elif op == Op.VVMUL:
                z = rescale(x * y, scales.shift[row], top)
            elif op in (Op.VVSLL, Op.VVSRA):
                if not 0 <= y <= _MAX_SHIFT:
                    return _BAD_SHIFT
                z = x << y if op == Op.VVSLL else x >> y
            elif op == Op.VRELU:
                z = max(x, np.int64(0))
            elif op in (Op.VTANH, Op.VSIGM):
                z = _function(op, x, scales.in_exponent[row], scales.out_exponent[row], top)
            elif op == Op.VRSU:
                z = min(x, np.int64(scales.bound[row]))
            elif op == Op.VRSL:
                z = max(x, np.int64(scales.bound[row]))
            elif op == Op.VMV:
                z = x
            else:
                return _UNKNOWN_OP
            out[i, k] = min(max(z, -top - 1), top)
    return _OK


@kernel
def _reduce(op: Whole, n: Whole, a: Lanes, b: Lanes, shift: Whole, top: Whole, out: Lanes) -> None:
    """vavg (rounded half up) and vvdmul: one element of all."""
    for k in range(a.shape[1]):
        total, poisoned = np.int64(0), False
        for i in range(n):
            poisoned = poisoned or a[i, k] == POISON or (op == Op.VVDMUL and b[i, k] == POISON)
            total += np.int64(a[i, k]) * (np.int64(b[i, k]) if op == Op.VVDMUL else 1)
        mean = np.int64(0)
        if op == Op.VAVG:
            mean = (2 * total + n) // (2 * n)
        out[0, k] = POISON if poisoned else (rescale(total, shift, top) if op == Op.VVDMUL else mean)


@kernel
def _matrix(
    x: Lanes,
    rows: Whole,
    group: Whole,
    weights: Weights,
    shift: Whole,
    relu: Flag,
    top: Whole,
    scratch: Scratch,
    out: Lanes,
) -> None:
    """mvmul: product, rescaled, saturated, ReLU."""
    cols, lanes, (wide, narrow, exact) = weights.cols[group], x.shape[1], scratch
    if weights.cells.slices:
        convert(x, rows, group, weights, wide)
    elif weights.narrow:
        multiply(x, rows, cols, weights.values, weights.start[group], narrow, wide)
    else:
        multiply(x, rows, cols, weights.values, weights.start[group], exact, wide)
    for k in range(lanes):
        poisoned = False
        for r in range(rows):
            poisoned = poisoned or x[r, k] == POISON
        for c in range(cols):
            y = rescale(wide[c, k], shift, top)
            out[c, k] = POISON if poisoned else (max(y, np.int64(0)) if relu else y)


@kernel
def compute(
    stream: Resolved,
    row: Whole,
    n: Whole,
    weights: Weights,
    scales: Scales,
    a: Lanes,
    b: Lanes,
    scratch: Scratch,
    out: Lanes,
) -> tuple[int, Whole]:
    """The result of a matrix or vector instruction with operands of n elements: (fault, elements)."""
    op = stream.op[row]
    top = (np.int64(1) << (np.int64(stream.ibits[row] if DST[op] == INPUT else stream.obits[row]) - 1)) - 1
    if DST[op] == MATRIX_COLUMNS:
        group = stream.group[row]
        _matrix(a, n, group, weights, scales.shift[row], stream.relu[row] != 0, top, scratch, out)
        return _OK, weights.cols[group]
    if DST[op] == ONE_OUTPUT:
        _reduce(op, n, a, b, scales.shift[row], top, out)
        return _OK, np.int64(1)
    return _elements(op, n, a, b, scales, row, top, out), n
