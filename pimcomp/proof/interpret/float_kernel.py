"""Executes steps in real numbers (float32), as a numba kernel."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import Op
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.moves import load, look, move, store

_OK, _UNREADABLE, _NO_BOUND, _BAD_SHIFT = (
    int(Fault.OK),
    int(Fault.UNREADABLE),
    int(Fault.NO_BOUND),
    int(Fault.BAD_SHIFT),
)
_MAX_SHIFT = 31


@kernel
def _products(x, rows, cols, weights, start, out):  # type: ignore[no-untyped-def]
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
def multiply(x, rows, cols, weights, start, relu, out):  # type: ignore[no-untyped-def]
    """out[:cols] = weights^T x for every lane, accumulated in float32, with ReLU if asked for."""
    lanes = x.shape[1]
    _products(x, rows, cols, weights, start, out)
    if relu:
        for c in range(cols):
            for k in range(lanes):
                if out[c, k] < 0.0:  # keeps NaN
                    out[c, k] = np.float32(0.0)


@kernel
def _pairs(op, n, a, b, out):  # type: ignore[no-untyped-def]
    """Two-operand vector operations; NaN (poison during fill rounds) stays NaN."""
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
            else:
                if not (0 <= y <= _MAX_SHIFT and y == np.floor(y)):
                    return False
                out[i, k] = x * np.float32(2.0) ** (y if op == Op.VVSLL else -y)
    return True


@kernel
def _singles(op, n, bound, a, out):  # type: ignore[no-untyped-def]
    """One-operand vector operations; NaN stays NaN."""
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
            else:
                out[i, k] = x


@kernel
def _reduce(op, n, a, b, out):  # type: ignore[no-untyped-def]
    """vavg and vvdmul: one element of all."""
    for k in range(a.shape[1]):
        total = np.float64(0.0)
        for i in range(n):
            total += np.float64(a[i, k]) * (np.float64(b[i, k]) if op == Op.VVDMUL else 1.0)
        out[0, k] = total if op == Op.VVDMUL else total / n


@kernel
def execute(  # type: ignore[no-untyped-def]  # noqa: PLR0912 - the instruction set in one loop
    steps, stream, matrices, cells, bounds, probes, memories, limits
):
    """Run all steps. Returns (fault, row, detail). bounds: float32[rows], NaN where an instruction has none.

    limits: (delay, longest vector). Poison is an error from round `delay` on; before, results of poison are poison
    (the pipeline is still filling).
    """
    lanes, (delay, longest) = memories.local.shape[1], limits
    a, b = np.empty((longest, lanes), np.float32), np.empty((longest, lanes), np.float32)
    out = np.empty((longest, lanes), np.float32)
    poison, local, zero = np.float32(np.nan), memories.local, np.float32(0.0)
    for step in range(len(steps.row)):
        row, mate, turn = steps.row[step], steps.mate[step], steps.round[step]
        op, base, strict = stream.op[row], stream.local_start[stream.core[row]], turn >= delay
        if op >= Op.LD:
            mate_base = stream.local_start[stream.core[mate]] if mate >= 0 else 0
            code, detail = move(stream, row, mate, turn, base, mate_base, cells, memories)
            if code != _OK:
                return code, row, detail
        else:
            n, src, ib, ob = (
                stream.size[row],
                stream.src[row],
                np.int64(stream.ibytes[row]),
                np.int64(stream.obytes[row]),
            )
            group = stream.group[row]
            stride = stream.src2[row] if op in (Op.VMV, Op.VAVG) else 1
            n_in = matrices.rows[group] if op == Op.MVMUL else n
            bad = load(local, base + src, ib * stride, n_in, a, poison, strict)
            if bad >= 0:
                return _UNREADABLE, row, src + bad * ib * stride
            if Op.VVADD <= op <= Op.VVSRA:
                bad = load(local, base + stream.src2[row], ib, n, b, poison, strict)
                if bad >= 0:
                    return _UNREADABLE, row, stream.src2[row] + bad * ib
            wide, n_out = ib, n
            if op == Op.MVMUL:
                wide, n_out = ob, matrices.cols[group]
                multiply(a, n_in, n_out, matrices.values, matrices.start[group], stream.relu[row] != 0, out)
            elif op in (Op.VVDMUL, Op.VAVG):
                wide, n_out = ob, 1
                _reduce(op, n, a, b, out)
            elif op <= Op.VVSRA:
                wide = ib if op in (Op.VVADD, Op.VVSUB, Op.VVMAX) else ob
                if not _pairs(op, n, a, b, out):
                    return _BAD_SHIFT, row, 0
            else:
                wide = ib if op in (Op.VRELU, Op.VMV) else ob
                bound = zero
                if op in (Op.VRSU, Op.VRSL):
                    bound = bounds[row]
                    if np.isnan(bound):
                        return _NO_BOUND, row, 0
                _singles(op, n, bound, a, out)
            store(local, base + stream.dst[row], wide, n_out, out, poison, memories, row)
        if turn == probes.turn:
            look(probes, row, memories)
            if mate >= 0:
                look(probes, mate, memories)
    return _OK, 0, 0
