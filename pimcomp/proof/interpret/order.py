"""One order in which all cores' instructions can happen: program counters, blocking rendezvous, event counters.

Nothing depends on data, so the order is found once and every image follows it. A core that ends a round begins the next
by itself, as in the simulator's throughput mode.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.emit.decode import Decoded
from pimcomp.foundation.kernels import Whole, kernel
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray, Op
from pimcomp.proof.interpret.faults import Deadlock, Fault
from pimcomp.proof.interpret.resolve import Resolved, fault

_OK, _SIZE, _DEADLOCK = int(Fault.OK), int(Fault.SIZE_MISMATCH), int(Fault.DEADLOCK)
_EVENTS = 32


class Steps(NamedTuple):
    """Rows of a `Resolved` in an order that respects every core's program and every rendezvous.

    A transfer is one step: row is its send, mate its recv; mate is -1 otherwise. round: of the core that executes row.
    """

    row: IntArray
    mate: IntArray
    round: IntArray


def linearise(decoded: Decoded, stream: Resolved, rounds: int) -> Steps:
    """Run `rounds` rounds of every core without data.

    Raises Deadlock when no core can go on, ExecutionError when the two ends of a transfer differ in size.
    """
    code, row, mate, turn, at, finished = _linearise(stream, rounds)
    if code == _SIZE:
        send, recv = at[0], at[1]
        raise fault(decoded, code, int(stream.emitted[send]), int(stream.size[recv]))
    if code == _DEADLOCK:
        waiting = np.flatnonzero(~finished)
        blocked = tuple(
            (
                int(core),
                int(stream.emitted[at[core]] - decoded.core_start[core]),
                int(stream.op[at[core]]),
                int(stream.src2[at[core]] if stream.op[at[core]] == Op.WAIT else stream.peer[at[core]]),
            )
            for core in waiting
        )
        raise Deadlock(blocked, len(finished) - len(waiting))
    return Steps(row, mate, turn)


@kernel
def _linearise(  # noqa: PLR0915
    stream: Resolved, rounds: int
) -> tuple[int, IntArray, IntArray, IntArray, LongArray, npt.NDArray[np.bool_]]:
    core_start, op, peer, size, event = stream.core_start, stream.op, stream.peer, stream.size, stream.src2
    cores = len(core_start) - 1
    total = len(op) * rounds
    row, mate = np.empty(total, np.int32), np.full(total, -1, np.int32)
    turn = np.empty(total, np.int32)
    at = core_start[:-1].copy()  # next row of each core
    lap = np.zeros(cores, np.int32)
    waiting = np.zeros(cores, np.bool_)  # stands at a send or recv whose peer has not come
    finished = np.zeros(cores, np.bool_)
    events = np.zeros((cores, _EVENTS), np.int64)
    # A core may be on the stack twice (woken by a sync while already there): harmless, it just finds itself blocked.
    stack = np.empty(2 * cores + len(op) * rounds, np.int32)
    depth = 0
    for core in range(cores - 1, -1, -1):
        if core_start[core] == core_start[core + 1]:
            finished[core] = True
        else:
            stack[depth] = core
            depth += 1
    n = 0
    while depth > 0:
        depth -= 1
        core = stack[depth]
        while not finished[core] and not waiting[core]:
            i = at[core]
            o = op[i]
            if o in (Op.SEND, Op.RECV):
                other = peer[i]
                j = at[other]
                if not (waiting[other] and peer[j] == core and op[j] != o):
                    waiting[core] = True
                    break
                send, recv = (i, j) if o == Op.SEND else (j, i)
                if size[send] != size[recv]:
                    at[0], at[1] = send, recv
                    return _SIZE, row, mate, turn, at, finished
                row[n], mate[n], turn[n] = send, recv, lap[core if o == Op.SEND else other]
                n += 1
                waiting[other] = False
                finished[other] = _advance(other, at, lap, core_start, rounds)
                stack[depth] = other
                depth += 1
            else:
                if o == Op.WAIT:
                    if events[core, event[i]] < size[i]:
                        break
                    events[core, event[i]] -= size[i]
                elif o == Op.SYNC:
                    events[peer[i], event[i]] += 1
                    stack[depth] = peer[i]
                    depth += 1
                row[n], turn[n] = i, lap[core]
                n += 1
            finished[core] = _advance(core, at, lap, core_start, rounds)
    code = _OK if finished.all() else _DEADLOCK
    return code, row[:n], mate[:n], turn[:n], at, finished


@kernel
def _advance(core: Whole, at: LongArray, lap: IntArray, core_start: LongArray, rounds: int) -> bool:
    """Go to the core's next row, at the end of its list to the next round; whether there is none."""
    at[core] += 1
    if at[core] == core_start[core + 1]:
        lap[core] += 1
        if lap[core] == rounds:
            return True
        at[core] = core_start[core]
    return False
