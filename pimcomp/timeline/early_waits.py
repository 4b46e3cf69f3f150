"""What the simulator's event queue holds while the first requests travel to the global memory.

All cores begin in the same cycle, so their first loads arrive in the same instant, and which is served first hangs on
what else is in the queue (`request_queue`). That early it is known without a replay: the waits of each core before and
in its first transfer.
"""

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, LOCAL, MATRIX, SEND, UNIT
from pimcomp.timeline.clock import finish_edge, two_waits_edge
from pimcomp.timeline.work import Instructions, Tables, borrowed, durations, period_of, tables_of

# Cycles in which a wait has to begin to be taken in: the first requests have arrived long before.
EARLY_CYCLES = 64

# Columns, one row per wait, by BEGIN and CORE. REQUEST: 1 if at its end a request reaches the global memory.
BEGIN, END, CORE, REQUEST = range(4)


def early_waits_of(stream: Instructions, arch: Arch) -> LongArray:
    """int64[waits, 4], times in ps, of a program at the beginning of a run."""
    return early_waits(stream, tables_of(stream, arch), period_of(arch))


def early_waits(stream: Instructions, tables: Tables, period: int) -> LongArray:
    """The same with what durations depend on."""
    found = _walk(stream, tables, period)
    ordered: LongArray = found[np.lexsort((found[:, CORE], found[:, BEGIN]))]
    return ordered


@kernel
def _note(rows: LongArray, k: int, begin: int, end: int, core: int, request: bool) -> int:
    """Write row k; the number of the next."""
    rows[k, BEGIN], rows[k, END], rows[k, CORE], rows[k, REQUEST] = begin, end, core, request
    return k + 1


@kernel
def _walk(stream: Instructions, tables: Tables, period: int) -> npt.NDArray[np.int64]:
    """Each core as at rob_size 1, up to its first transfer."""
    tables, core_start, op = borrowed(tables), stream.core_start, stream.op
    rows = np.empty((2 * EARLY_CYCLES * (len(core_start) - 1), 4), np.int64)
    k = 0
    for core in range(len(core_start) - 1):
        retired = 2 * period
        for i in range(core_start[core], core_start[core + 1]):
            kind = UNIT[op[i]]
            begin = retired + (int(stream.bubbles[i]) + (2 if kind == MATRIX else 1)) * period
            if begin > EARLY_CYCLES * period or kind > LOAD:
                break
            read, leg, write, _, _ = durations(
                core, kind, op[i], int(stream.size[i]), int(stream.crossbars[i]), int(stream.peer[i]), stream.width[i],
                tables,
            )  # fmt: skip
            if kind > LOCAL:
                if kind in (SEND, LOAD):
                    k = _note(rows, k, begin, begin + leg, core, kind == LOAD)
                break
            first = read + write if kind == LOCAL else read + leg
            k = _note(rows, k, begin, begin + first, core, False)
            if kind == LOCAL:
                retired = finish_edge(begin, first, True, period) + period
            else:
                k = _note(rows, k, begin + first, begin + first + write, core, False)
                retired = two_waits_edge(begin, first, write, period) + period
    return rows[:k]
