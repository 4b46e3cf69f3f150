"""Finds results that nobody reads: wasted work, or a buffer overwritten while it was still needed.

A check for tests of schedules, not for every compile: a schedule may have good reasons to compute a little too much.
"""

import numpy as np

from pimcomp.errors import InvariantError
from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import LongArray, Op, Program
from pimcomp.isa.operands import extents

_MAY_BE_PARTLY_UNREAD = (Op.MVMUL, Op.LD, Op.RECV, Op.LLDI)
"""A crossbar delivers all its columns, memory whole beats, a message whole row segments, a fill the widest border."""


def unread_bytes(program: Program) -> LongArray:
    """int64[rows]: how many of the local bytes that a row writes are overwritten without being read, rounds following
    each other."""
    table, found = program.table, extents(program)
    core = np.repeat(np.arange(program.cores), np.diff(program.core_start))
    base = np.concatenate([[0], np.cumsum(program.local_peak_bytes)])
    step = np.where(np.isin(table.op, (Op.VAVG, Op.VMV)), table.src2 * program.element_bytes, 0)
    order = np.argsort(table.order, kind="stable")
    reads = ((found.read, found.read_bytes, step), (found.read2, found.read2_bytes, step * 0))
    unread: LongArray = _count(
        order, base[core], reads, (found.write, found.write_bytes), program.element_bytes, base[-1]
    )
    return unread


def verify_nothing_lost(program: Program) -> None:
    """Every byte that a copy or a vector operation writes is read before it is overwritten and before the program ends.

    Raises InvariantError naming core, row and how many bytes are not.
    """
    op = program.table.op
    lost = np.where(np.isin(op, _MAY_BE_PARTLY_UNREAD), 0, unread_bytes(program))
    if lost.any():
        row = int(np.argmax(lost > 0))
        core = int(np.searchsorted(program.core_start, row, side="right")) - 1
        raise InvariantError(
            f"core {core}, row {row}, {Op(op[row]).name.lower()}: nobody reads {lost[row]} of its bytes"
        )


@kernel
def _count(order, base, reads, writes, width, cells):  # type: ignore[no-untyped-def]
    writer = np.full(cells, -1, np.int64)  # the row that wrote a byte, until it is read
    write, write_bytes = writes
    unread = np.zeros(len(base), np.int64)
    for turn in range(2):  # what a round leaves may be read in the next one
        for row in order:
            for address, extent, step in reads:
                at = 0
                while at < extent[row]:
                    stop = at + width if step[row] else extent[row]
                    for i in range(at, stop):
                        writer[base[row] + address[row] + i] = -1
                    at = at + step[row] if step[row] else stop
            for i in range(write_bytes[row]):
                at = base[row] + write[row] + i
                if turn > 0 and writer[at] >= 0:
                    unread[writer[at]] += 1
                writer[at] = row
    return unread
