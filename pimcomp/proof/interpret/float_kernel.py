"""Matrix and vector instructions in real numbers (float32)."""

from typing import Any

import numpy as np

from pimcomp.foundation.kernels import Flag, Whole, kernel
from pimcomp.ir.graph import FloatArray
from pimcomp.ir.program import Op
from pimcomp.isa.table import BOUND, DST, INPUT, MATRIX_COLUMNS, ONE_OUTPUT, SRC2
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.moves import Lanes
from pimcomp.proof.interpret.resolve import Matrices, Resolved

_OK, _UNKNOWN_OP = int(Fault.OK), int(Fault.UNKNOWN_OP)
_NO_BOUND, _BAD_SHIFT = int(Fault.NO_BOUND), int(Fault.BAD_SHIFT)
_MAX_SHIFT = 31


@kernel
def _products(x: Lanes, rows: Whole, cols: Whole, weights: FloatArray, start: Whole, out: Lanes) -> None:
    """out[:cols] = weights^T x lane by lane: vectorised over the columns, four rows at a time."""
    acc, v = np.empty(cols, np.float32), np.empty(rows, np.float32)
    for k in range(x.shape[1]):
        acc[:] = 0.0
        for r in range(rows):
            v[r] = x[r, k]
        r = 0
        while r + 4 <= rows:
            at = start + r * cols
            # Slices of their own: the compiler then knows that nothing wraps around and vectorises.
            w0, w1 = weights[at : at + cols], weights[at + cols : at + 2 * cols]
            w2, w3 = weights[at + 2 * cols : at + 3 * cols], weights[at + 3 * cols : at + 4 * cols]
            v0, v1, v2, v3 = v[r], v[r + 1], v[r + 2], v[r + 3]
            for c in range(cols):
                acc[c] += (w0[c] * v0 + w1[c] * v1) + (w2[c] * v2 + w3[c] * v3)
            r += 4
        while r < rows:
            w0, v0 = weights[start + r * cols : start + (r + 1) * cols], v[r]
            for c in range(cols):
                acc[c] += w0[c] * v0
            r += 1
        for c in range(cols):
            out[c, k] = acc[c]


@kernel
def multiply(x: Lanes, rows: Whole, cols: Whole, weights: FloatArray, start: Whole, relu: Flag, out: Lanes) -> None:
    """out[:cols] = weights^T x for every lane, accumulated in float32, with ReLU if asked for."""
    lanes = x.shape[1]
    _products(x, rows, cols, weights, start, out)
    if relu:
        for c in range(cols):
            for k in range(lanes):
                if out[c, k] < 0.0:  # keeps NaN
                    out[c, k] = np.float32(0.0)


@kernel
def _pairs(op: Whole, n: Whole, a: Lanes, b: Lanes, out: Lanes) -> int:
    """Two-operand vector operations; NaN (poison during fill rounds) stays NaN. Returns the fault."""
    lanes = a.shape[1]
    for i in range(n):
        for k in range(lanes):
            x, y = a[i, k], b[i, k]
            if op == Op.VVADD:
                out[i, k] = x + y
            elif op == Op.VVSUB:
                out[i, k] = x - y
            elif op == Op.VVMUL:
                out[i, k] = x * y
            elif op == Op.VVMAX:
                out[i, k] = x if (x > y or np.isnan(x)) else y
            elif op in (Op.VVSLL, Op.VVSRA):
                if not (0 <= y <= _MAX_SHIFT and y == np.floor(y)):
                    return _BAD_SHIFT
                out[i, k] = x * np.float32(2.0) ** (y if op == Op.VVSLL else -y)
            else:
                return _UNKNOWN_OP
    return _OK


@kernel
def _singles(op: Whole, n: Whole, bound: Any, a: Lanes, out: Lanes) -> int:
    """One-operand vector operations; NaN stays NaN. Returns the fault."""
    lanes = a.shape[1]
    for i in range(n):
        for k in range(lanes):
            x = a[i, k]
            if op == Op.VRELU:
                out[i, k] = np.float32(0.0) if x < 0.0 else x
            elif op == Op.VTANH:
                out[i, k] = np.float32(np.tanh(np.float64(x)))
            elif op == Op.VSIGM:
                out[i, k] = np.float32(1.0 / (1.0 + np.exp(-np.float64(x))))
            elif op == Op.VRSU:
                out[i, k] = bound if x > bound else x
            elif op == Op.VRSL:
                out[i, k] = bound if x < bound else x
            elif op == Op.VMV:
                out[i, k] = x
            else:
                return _UNKNOWN_OP
    return _OK


@kernel
def _reduce(op: Whole, n: Whole, a: Lanes, b: Lanes, out: Lanes) -> None:
    """vavg and vvdmul: one element of all."""
    for k in range(a.shape[1]):
        total = np.float64(0.0)
        for i in range(n):
            total += np.float64(a[i, k]) * (np.float64(b[i, k]) if op == Op.VVDMUL else 1.0)
        out[0, k] = total if op == Op.VVDMUL else total / n


@kernel
def compute(
    stream: Resolved, row: Whole, n: Whole, matrices: Matrices, bounds: FloatArray, a: Lanes, b: Lanes, out: Lanes
) -> tuple[int, Whole]:
    """The result of a matrix or vector instruction with operands of n elements: (fault, elements)."""
    op = stream.op[row]
    if DST[op] == MATRIX_COLUMNS:
        group = stream.group[row]
        cols = matrices.cols[group]
        multiply(a, n, cols, matrices.values, matrices.start[group], stream.relu[row] != 0, out)
        return _OK, cols
    if DST[op] == ONE_OUTPUT:
        _reduce(op, n, a, b, out)
        return _OK, np.int64(1)
    if SRC2[op] == INPUT:
        return _pairs(op, n, a, b, out), n
    bound = np.float32(0.0)
    if SRC2[op] == BOUND:
        bound = bounds[row]
        if np.isnan(bound):
            return _NO_BOUND, n
    return _singles(op, n, bound, a, out), n
