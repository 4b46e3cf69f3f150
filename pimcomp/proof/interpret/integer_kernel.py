"""Executes steps in the chip's integers, as a numba kernel: exact products, shifts with rounding, saturation."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import Op
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.moves import load, look, move, store

POISON = np.int32(np.iinfo(np.int32).min)
"""What a cell holds that holds nothing. Elements have at most 16 bits."""
_OK, _UNREADABLE, _BAD_SHIFT = int(Fault.OK), int(Fault.UNREADABLE), int(Fault.BAD_SHIFT)
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


class Weights(NamedTuple):
    """All array groups' integer matrices, laid out as `Matrices`."""

    start: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    values: IntArray
    narrow: bool  # whether 32 bits hold every sum of products


@kernel
def rescale(total, shift, top):  # type: ignore[no-untyped-def]
    """total / 2 ** shift, rounded half up, saturated to [-top - 1, top]."""
    if shift > 0:
        total = (total + (np.int64(1) << (shift - 1))) >> shift if shift < 62 else np.int64(0)
    elif shift < 0:
        total = total << min(-shift, 32)
    return min(max(total, -top - 1), top)


@kernel
def multiply(x, rows, cols, weights, start, acc, out):  # type: ignore[no-untyped-def]
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
def _function(op, x, in_exponent, out_exponent, top):  # type: ignore[no-untyped-def]
    """Sigmoid or tanh of x * 2 ** in_exponent, in units of 2 ** out_exponent."""
    real = x * 2.0**in_exponent
    y = np.tanh(real) if op == Op.VTANH else 1.0 / (1.0 + np.exp(-real))
    return min(max(np.int64(np.floor(y * 2.0**-out_exponent + 0.5)), -top - 1), top)


@kernel
def _elements(op, n, a, b, scales, row, top, out):  # type: ignore[no-untyped-def]
    """Element-wise operations; poison (while a pipeline fills) stays poison. False for a shift count out of range."""
    two = op <= Op.VVSRA
    for i in range(n):
        for k in range(a.shape[1]):
            x, y = np.int64(a[i, k]), np.int64(b[i, k]) if two else np.int64(0)
            if a[i, k] == POISON or (two and b[i, k] == POISON):
                out[i, k] = POISON
                continue
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
                    return False
                z = x << y if op == Op.VVSLL else x >> y
            elif op == Op.VRELU:
                z = max(x, np.int64(0))
            elif op in (Op.VTANH, Op.VSIGM):
                z = _function(op, x, scales.in_exponent[row], scales.out_exponent[row], top)
            elif op == Op.VRSU:
                z = min(x, np.int64(scales.bound[row]))
            elif op == Op.VRSL:
                z = max(x, np.int64(scales.bound[row]))
            else:
                z = x
            out[i, k] = min(max(z, -top - 1), top)
    return True


@kernel
def _reduce(op, n, a, b, shift, top, out):  # type: ignore[no-untyped-def]
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
def _matrix(x, rows, group, weights, shift, relu, top, wide, sums, out):  # type: ignore[no-untyped-def]
    """mvmul: exact product, rescaled, saturated, ReLU."""
    cols, lanes = weights.cols[group], x.shape[1]
    if weights.narrow:
        multiply(x, rows, cols, weights.values, weights.start[group], sums[0], wide)
    else:
        multiply(x, rows, cols, weights.values, weights.start[group], sums[1], wide)
    for k in range(lanes):
        poisoned = False
        for r in range(rows):
            poisoned = poisoned or x[r, k] == POISON
        for c in range(cols):
            y = rescale(wide[c, k], shift, top)
            out[c, k] = POISON if poisoned else (max(y, np.int64(0)) if relu else y)


@kernel
def execute(steps, stream, weights, cells, scales, probes, memories, limits):  # type: ignore[no-untyped-def]
    """Run all steps. Returns (fault, row, detail); limits: (delay, longest vector), as in the float kernel."""
    lanes, (delay, longest) = memories.local.shape[1], limits
    a, b = np.empty((longest, lanes), np.int32), np.empty((longest, lanes), np.int32)
    out, wide = np.empty((longest, lanes), np.int32), np.empty((longest, lanes), np.int64)
    local, sums = memories.local, (np.empty(longest, np.int32), np.empty(longest, np.int64))
    for step in range(len(steps.row)):
        row, mate, turn = steps.row[step], steps.mate[step], steps.round[step]
        op, base, strict = stream.op[row], stream.local_start[stream.core[row]], turn >= delay
        if op >= Op.LD:
            mate_base = stream.local_start[stream.core[mate]] if mate >= 0 else 0
            code, detail = move(stream, row, mate, turn, base, mate_base, cells, memories)
            if code != _OK:
                return code, row, detail
        else:
            n, src, group = stream.size[row], stream.src[row], stream.group[row]
            ib, ob = np.int64(stream.ibytes[row]), np.int64(stream.obytes[row])
            stride = stream.src2[row] if op in (Op.VMV, Op.VAVG) else 1
            n_in = weights.rows[group] if op == Op.MVMUL else n
            bad = load(local, base + src, ib * stride, n_in, a, POISON, strict)
            if bad >= 0:
                return _UNREADABLE, row, src + bad * ib * stride
            if Op.VVADD <= op <= Op.VVSRA:
                bad = load(local, base + stream.src2[row], ib, n, b, POISON, strict)
                if bad >= 0:
                    return _UNREADABLE, row, stream.src2[row] + bad * ib
            to_input = op in (Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VRELU, Op.VMV)
            top = (np.int64(1) << (np.int64(stream.ibits[row] if to_input else stream.obits[row]) - 1)) - 1
            n_out = n
            if op == Op.MVMUL:
                n_out = weights.cols[group]
                _matrix(a, n_in, group, weights, scales.shift[row], stream.relu[row] != 0, top, wide, sums, out)
            elif op in (Op.VVDMUL, Op.VAVG):
                n_out = 1
                _reduce(op, n, a, b, scales.shift[row], top, out)
            elif not _elements(op, n, a, b, scales, row, top, out):
                return _BAD_SHIFT, row, 0
            store(local, base + stream.dst[row], ib if to_input else ob, n_out, out, POISON, memories, row)
        if turn == probes.turn:
            look(probes, row, memories)
            if mate >= 0:
                look(probes, mate, memories)
    return _OK, 0, 0
