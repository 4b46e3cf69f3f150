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

    The rows of a matrix that are read at a time are a *read*; a group's reads are numbered from first_read[group].
    levels: of the cells, per read from level_start[read]: float32[columns * words, rows], filled up with zeros to an
    even number of the former and a multiple of 4 of the latter. The words of a column hold its slices, least
    significant first: one each, or two, the higher in units of `base`, which is more than twice any sum (0: one each).
    flipped: float32[places, slices], 1 where a column is stored inverted: a place per column from flipped_start[read].
    A conversion is a multiple of `step` up to `top` times it. harmless: inputs that add up to no more than this are
    converted without loss (0: only that of nothing is). offset: float64[groups], what was added to every weight.
    """

    slices: int
    rows: int  # read at a time
    cell_bits: int
    dac_bits: int
    input_bits: int
    step: int
    top: int
    harmless: int
    base: int
    levels: npt.NDArray[np.float32]
    level_start: npt.NDArray[np.int64]
    flipped: npt.NDArray[np.float32]
    flipped_start: npt.NDArray[np.int64]
    first_read: npt.NDArray[np.int64]
    offset: Reals


_NONE = np.zeros(0, np.int64)
EXACT = Cells(
    0, 1, 1, 1, 1, 1, 1, 0, 0, np.zeros(0, np.float32), _NONE, np.zeros((0, 0), np.float32), _NONE, _NONE, np.zeros(0)
)  # fmt: skip


class Weights(NamedTuple):
    """All array groups' integer matrices, laid out as `Matrices`."""

    start: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    values: IntArray
    narrow: bool  # whether 32 bits hold every sum of products
    cells: Cells = EXACT


Scratch = tuple[IntArray, npt.NDArray[np.int64]]
"""(int32[longest], int64[longest]): sums of an mvmul, of one lane."""


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
def _drive(x: Lanes, cells: Cells, driven: FloatArray, charge: FloatArray, low: IntArray, rest: Lanes) -> Whole:
    """What the DACs drive for each group of input bits, least significant first; the highest are signed. How many.

    driven: float32[rows, groups * lanes]; charge: float32[groups * lanes], their sums; low: the first bit of each.
    Groups that are converted without loss are left out and added to `rest` instead.
    """
    (rows, lanes), used = x.shape, 0
    reach = np.empty(lanes, np.float32)
    for first in range(0, cells.input_bits, cells.dac_bits):
        highest = first + cells.dac_bits >= cells.input_bits
        mask = np.int64(-1) if highest else (np.int64(1) << cells.dac_bits) - 1
        total = charge[used * lanes : (used + 1) * lanes]
        total[:], reach[:] = 0, 0
        for r in range(rows):
            given, level = x[r], driven[r, used * lanes : (used + 1) * lanes]
            for k in range(lanes):
                level[k] = np.float32((np.int64(given[k]) >> first) & mask)
                total[k] += level[k]
                reach[k] += abs(level[k])
        if reach.max() > cells.harmless:
            low[used] = first
            used += 1
            continue
        for r in range(rows):
            for k in range(lanes):
                rest[r, k] += ((np.int64(x[r, k]) >> first) & mask) << first
    return used


@kernel
def _sum_columns(levels: FloatArray, driven: FloatArray, n: Whole, sums: FloatArray) -> None:
    """sums[:, :n] = levels @ driven[:, :n], two columns and four rows at a time: near what a processor can do."""
    for c in range(0, len(levels), 2):
        v, w, s, t = levels[c], levels[c + 1], sums[c, :n], sums[c + 1, :n]
        s[:], t[:] = 0, 0
        for r in range(0, len(v), 4):
            v0, v1, v2, v3, w0, w1, w2, w3 = v[r], v[r + 1], v[r + 2], v[r + 3], w[r], w[r + 1], w[r + 2], w[r + 3]
            x0, x1, x2, x3 = driven[r, :n], driven[r + 1, :n], driven[r + 2, :n], driven[r + 3, :n]
            for k in range(n):
                x, y, z, u = x0[k], x1[k], x2[k], x3[k]
                s[k] += (v0 * x + v1 * y) + (v2 * z + v3 * u)
                t[k] += (w0 * x + w1 * y) + (w2 * z + w3 * u)


@kernel
def _code(total: np.float32, cells: Cells) -> np.float32:
    """What the converter makes of a sum."""
    code = np.floor(total * np.float32(1 / cells.step) + np.float32(0.5))
    code = np.float32(cells.top) if code > cells.top else code
    return np.float32(-cells.top) if code < -cells.top else code


@kernel
def _read(
    words: FloatArray, charge: FloatArray, flipped: FloatArray, weight: float, cells: Cells, found: Reals
) -> None:
    """Convert sums of the slices of one word (flipped: 0 or 1 each), and add them to what is found."""
    step, full, half = float(cells.step), float((1 << cells.cell_bits) - 1), np.float32(0.5)
    lower, held = np.float32(step * (1 - 2 * flipped[0])), full * flipped[0]
    if cells.base == 0:
        charged = np.float32(held)
        for k in range(len(words)):
            found[k] += weight * np.float64(_code(words[k], cells) * lower + charged * charge[k])
        return
    base, part, second = np.float32(cells.base), np.float32(1 / cells.base), float(1 << cells.cell_bits)
    upper, charged = np.float32(0), np.float32(held)
    if len(flipped) == 2:
        upper, charged = np.float32(second * step * (1 - 2 * flipped[1])), np.float32(held + second * full * flipped[1])
    for k in range(len(words)):
        high = np.floor(words[k] * part + half)
        low = words[k] - high * base
        found[k] += weight * np.float64((_code(low, cells) * lower + _code(high, cells) * upper) + charged * charge[k])


@kernel
def convert(x: Lanes, group: Whole, weights: Weights, rest: Lanes, total: Reals) -> None:
    """weights^T x for every lane, as the crossbar finds it: bit by bit, slice by slice, converted.

    total: real[columns, lanes], without the product of `rest`, the part of x whose conversions lose nothing.
    """
    cells, (rows, lanes), cols = weights.cells, x.shape, len(total)
    bits, packed = -(-cells.input_bits // cells.dac_bits), 2 if cells.base else 1
    words = -(-cells.slices // packed)
    height = -(-min(cells.rows, rows) // 4) * 4
    driven, charge = np.zeros((height, bits * lanes), np.float32), np.empty(bits * lanes, np.float32)
    low, found = np.empty(bits, np.int32), np.empty(bits * lanes, np.float64)
    sums = np.empty((cols * words + 1, bits * lanes), np.float32)
    offset = cells.offset[group]
    rest[:], total[:] = 0, 0
    for first in range(0, rows, cells.rows):
        last, read = min(first + cells.rows, rows), cells.first_read[group] + first // cells.rows
        used = _drive(x[first:last], cells, driven, charge, low, rest[first:last])
        if used == 0:
            continue
        n, high, place = used * lanes, -(-(last - first) // 4) * 4, cells.flipped_start[read]
        driven[last - first : high] = 0
        start = cells.level_start[read]
        levels = cells.levels[start : start + (cols * words + 1) // 2 * 2 * high].reshape((-1, high))
        _sum_columns(levels, driven, n, sums)
        for c in range(cols):
            for k in range(n):
                found[k] = -offset * charge[k]
            flipped = cells.flipped[place + c]
            for s in range(0, cells.slices, packed):
                word, weight = sums[c * words + s // packed, :n], 2.0 ** (s * cells.cell_bits)
                _read(word, charge, flipped[s : s + packed], weight, cells, found)
            for u in range(used):
                lowest, into, part = 2.0 ** low[u], total[c], found[u * lanes : (u + 1) * lanes]
                for k in range(lanes):
                    into[k] += lowest * part[k]


@kernel
def product(x: Lanes, group: Whole, weights: Weights, scratch: Scratch, out: Lanes) -> None:
    """out[:cols] = weights^T x for every lane: exact, or as the crossbars find it. scratch: see `Scratch`."""
    (rows, lanes), cols, (narrow, exact) = x.shape, weights.cols[group], scratch
    converted = weights.cells.slices > 0
    total = np.empty((cols if converted else 0, lanes), np.float64)
    if converted:
        rest = np.empty_like(x)
        convert(x, group, weights, rest, total)
        x = rest
    if weights.narrow:
        multiply(x, rows, cols, weights.values, weights.start[group], narrow, out)
    else:
        multiply(x, rows, cols, weights.values, weights.start[group], exact, out)
    for c in range(len(total)):
        for k in range(lanes):
            out[c, k] += np.int64(total[c, k])


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
def _driven(x: Lanes, unread: Whole, top: Whole) -> Lanes:
    """What is left of elements whose `unread` lowest bits are not read: rounded half up, saturated to the others."""
    found = np.empty_like(x)
    for r in range(x.shape[0]):
        for k in range(x.shape[1]):
            value = x[r, k]
            found[r, k] = value if value == POISON else rescale(np.int64(value), unread, top >> unread) << unread
    return found


@kernel
def _matrix(
    x: Lanes,
    group: Whole,
    weights: Weights,
    shift: Whole,
    relu: Flag,
    top: Whole,
    scratch: tuple[Lanes, Scratch],
    out: Lanes,
) -> None:
    """mvmul: product, rescaled, saturated, ReLU."""
    (rows, lanes), cols, (wide, sums) = x.shape, weights.cols[group], scratch
    product(x, group, weights, sums, wide)
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
    scratch: tuple[Lanes, Scratch],
    out: Lanes,
) -> tuple[int, Whole]:
    """The result of a matrix or vector instruction with operands of n elements: (fault, elements)."""
    op = stream.op[row]
    top = (np.int64(1) << (np.int64(stream.ibits[row] if DST[op] == INPUT else stream.obits[row]) - 1)) - 1
    if DST[op] == MATRIX_COLUMNS:
        group, unread = stream.group[row], np.int64(stream.obits[row]) - np.int64(stream.ibits[row])
        x = _driven(a[:n], unread, top) if unread > 0 else a[:n]
        _matrix(x, group, weights, scales.shift[row], stream.relu[row] != 0, top, scratch, out)
        return _OK, weights.cols[group]
    if DST[op] == ONE_OUTPUT:
        _reduce(op, n, a, b, scales.shift[row], top, out)
        return _OK, np.int64(1)
    return _elements(op, n, a, b, scales, row, top, out), n
