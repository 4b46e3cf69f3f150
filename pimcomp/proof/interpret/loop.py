"""Executes steps, in real numbers or in the chip's integers, as one numba kernel."""

from typing import Any

import numpy as np

from pimcomp.foundation.kernels import Whole, kernel
from pimcomp.ir.graph import FloatArray
from pimcomp.isa.table import COMPUTES, DST, INPUT, MATRIX_ROWS, SRC, SRC2, STRIDED
from pimcomp.proof.interpret import float_kernel, integer_kernel
from pimcomp.proof.interpret.faults import Fault
from pimcomp.proof.interpret.integer_kernel import Scales
from pimcomp.proof.interpret.moves import Memories, Probes, load, look, move, store
from pimcomp.proof.interpret.order import Steps
from pimcomp.proof.interpret.resolve import Resolved
from pimcomp.proof.interpret.world import Cells

_OK, _UNREADABLE = int(Fault.OK), int(Fault.UNREADABLE)
_real, _integer = float_kernel.compute, integer_kernel.compute


@kernel
def execute(
    steps: Steps,
    stream: Resolved,
    matrices: Any,
    cells: Cells,
    bounds: FloatArray | None,
    scales: Scales | None,
    probes: Probes,
    memories: Memories,
    limits: tuple[int, int],
) -> tuple[Whole, Whole, Whole]:
    """Run all steps. Returns (fault, row, detail).

    Real numbers: matrices `Matrices`, bounds float32[rows], NaN where an instruction has none; scales None. Integers:
    matrices `Weights`, scales `Scales`; bounds None. limits: (delay, longest vector). Poison is an error from round
    `delay` on; before, results of poison are poison (the pipeline is still filling).
    """
    local, poison, (delay, longest) = memories.local, memories.poison, limits
    shape = (longest, local.shape[1])
    a, b, out = np.empty(shape, local.dtype), np.empty(shape, local.dtype), np.empty(shape, local.dtype)
    if scales is not None:
        scratch = (np.empty(shape, np.int64), (np.empty(longest, np.int32), np.empty(longest, np.int64)))
    for step in range(len(steps.row)):
        row, mate, turn = steps.row[step], steps.mate[step], steps.round[step]
        op, base, strict = stream.op[row], stream.local_start[stream.core[row]], turn >= delay
        if not COMPUTES[op]:
            mate_base = stream.local_start[stream.core[mate]] if mate >= 0 else 0
            code, detail = move(stream, row, mate, turn, base, mate_base, cells, memories)
            if code != _OK:
                return code, row, detail
        else:
            src, src2, ib = stream.src[row], stream.src2[row], np.int64(stream.ibytes[row])
            step_bytes = ib * src2 if SRC[op] == STRIDED else ib
            n = matrices.rows[stream.group[row]] if SRC[op] == MATRIX_ROWS else stream.size[row]
            bad = load(local, base + src, step_bytes, n, a, poison, strict)
            if bad >= 0:
                return _UNREADABLE, row, src + bad * step_bytes
            if SRC2[op] == INPUT:
                bad = load(local, base + src2, ib, n, b, poison, strict)
                if bad >= 0:
                    return _UNREADABLE, row, src2 + bad * ib
            # Two tests, as numba leaves out the branch whose operand is None.
            code, n_out = _OK, n
            if bounds is not None:
                code, n_out = _real(stream, row, n, matrices, bounds, a, b, out)
            if scales is not None:
                code, n_out = _integer(stream, row, n, matrices, scales, a, b, scratch, out)
            if code != _OK:
                return code, row, 0
            wide = ib if DST[op] == INPUT else np.int64(stream.obytes[row])
            store(local, base + stream.dst[row], wide, n_out, out, poison, memories, row)
        if turn == probes.turn:
            look(probes, row, memories)
            if mate >= 0:
                look(probes, mate, memories)
    return _OK, 0, 0
