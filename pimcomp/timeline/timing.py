"""From a program to its Timing: chooses the kernel, refuses deadlocks, finds the steady period."""

from collections.abc import Callable, Sequence

import numpy as np

from pimcomp.errors import DeadlockError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import LongArray, Program
from pimcomp.ir.report import Timing
from pimcomp.timeline.deadlock import find_deadlock
from pimcomp.timeline.in_order import run_in_order
from pimcomp.timeline.out_of_order import run_out_of_order
from pimcomp.timeline.run import Run, own_work_ps
from pimcomp.timeline.transfers import transfers_of
from pimcomp.timeline.work import PS_PER_NS, Instructions, stream_of, work_of

# Rounds run back to back to find the steady period: compiled networks are steady from the second one on.
STEADY_ROUNDS = 4


def time_program(program: Program, arch: Arch, *, rounds: int = STEADY_ROUNDS) -> Timing:
    """Latency of one pass, and the time per round when every core repeats its stream (judged from `rounds` passes).

    rounds = 1 skips the period (it is then the latency). Raises DeadlockError when a core waits forever.
    """
    return time_stream(stream_of(program, arch), arch, rounds=rounds)


def time_stream(stream: Instructions, arch: Arch, *, rounds: int = STEADY_ROUNDS) -> Timing:
    """The same for a program of any origin."""
    return time_parts(stream, arch, [slice(None)], rounds=rounds)[0]


def time_parts(
    stream: Instructions, arch: Arch, parts: Sequence[slice], *, rounds: int = STEADY_ROUNDS
) -> tuple[Timing, ...]:
    """The same for parts of the chip, each some cores that exchange nothing with others: what they take while all run.

    Every core repeats its stream `rounds` times, so that a part that is done early leaves the memory to the others.
    """
    run, own_work = runner(stream, arch)
    once = run(1)
    _refuse_deadlock(stream, once)
    many = run(rounds) if rounds > 1 else None
    if many is not None:
        _refuse_deadlock(stream, many)
    return tuple(_timing(once, many, own_work, part, arch) for part in parts)


def _timing(once: Run, many: Run | None, own_work: LongArray, cores: slice, arch: Arch) -> Timing:
    finish_ns = np.maximum(once.finish[0, cores], 0) / PS_PER_NS
    busy_ns = own_work[cores] / PS_PER_NS
    period_ns = latency_ns = float(finish_ns.max(initial=0.0))
    if many is not None:
        period_ns = steady_period_ns(many._replace(finish=many.finish[:, cores]))
        if arch.rob_size == 1:  # a core that nobody waits for may take longer, and come last only after more rounds
            period_ns = max(period_ns, float(busy_ns.max(initial=0)))
    return Timing(latency_ns=latency_ns, period_ns_per_round=period_ns, finish_ns=finish_ns, busy_ns=busy_ns)


def runner(stream: Instructions, arch: Arch) -> tuple[Callable[[int], Run], LongArray]:
    """What runs so many rounds back to back, by the closed recurrences where they apply; each core's own work in ps."""
    if arch.rob_size == 1:
        transfers = transfers_of(stream, arch)
        if transfers.known:
            return (lambda rounds: run_in_order(stream, transfers, rounds)), transfers.own_work
    work = work_of(stream, arch)
    return (lambda rounds: run_out_of_order(stream, work, arch, rounds)), own_work_ps(stream, work)


def steady_period_ns(run: Run) -> float:
    """Growth per round of the slowest core's finish in the later rounds of a run of two or more.

    The first half may still fill the pipeline. The last round is left out where possible: nothing follows that its
    cores would have to serve, so it ends early.
    """
    ends = run.finish.max(axis=1)
    last = max(1, len(ends) - 2)
    first = max(0, len(ends) // 2 - 1)
    return float(ends[last] - ends[first]) / (last - first) / PS_PER_NS


def _refuse_deadlock(stream: Instructions, run: Run) -> None:
    if (deadlock := find_deadlock(stream, run)) is not None:
        raise DeadlockError(deadlock.message(), deadlock)
