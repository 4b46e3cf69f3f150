"""From a Program to its Timing."""

import numpy as np

from pimcomp.errors import DeadlockError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Program
from pimcomp.ir.report import Timing
from pimcomp.timeline.deadlock import find_deadlock
from pimcomp.timeline.in_order import Run, run_in_order, transfers_of
from pimcomp.timeline.work import PS_PER_NS, stream_of, work_of


def time_program(program: Program, arch: Arch, *, rounds: int = 4) -> Timing:
    """Latency of one pass, and the steady time per round when every core repeats its stream (`rounds` passes are run).

    Raises DeadlockError when a core waits forever.
    """
    stream = stream_of(program, arch)
    work = work_of(stream, arch)
    transfers = transfers_of(stream, work)
    once = run_in_order(stream, work, transfers, 1)
    if (deadlock := find_deadlock(stream, once)) is not None:
        raise DeadlockError(deadlock.message(), deadlock)
    period_ns = 0.0
    if rounds > 1:
        many = run_in_order(stream, work, transfers, rounds)
        period_ns = steady_period_ns(many)
    finish_ns = np.maximum(once.finish[0], 0) / PS_PER_NS
    return Timing(
        latency_ns=float(finish_ns.max(initial=0.0)),
        period_ns=period_ns,
        finish_ns=finish_ns,
        busy_ns=once.busy / PS_PER_NS,
    )


def steady_period_ns(run: Run) -> float:
    """Mean growth of the slowest core's finish over the second half of the rounds."""
    ends = run.finish.max(axis=1)
    rounds = len(ends)
    half = rounds // 2
    return float(ends[-1] - ends[half - 1]) / (rounds - half) / PS_PER_NS
