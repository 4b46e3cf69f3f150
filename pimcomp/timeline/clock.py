"""When the core's clock notices that a unit has finished."""

from pimcomp.foundation.kernels import kernel


@kernel
def finish_edge(now: int, delay: int, after: bool, period: int) -> int:
    """Clock edge (ps) at which a unit that waits `delay` from `now` is seen to have finished.

    A unit that ends exactly on an edge is seen at that edge if its wait was scheduled before the clock's own tick for
    that edge, else one period later (the simulator's event queue is first in, first out for equal times). `after`: at
    `now`, if that is an edge, the unit runs after the clock (it was started by the clock or by another unit).
    """
    end = now + delay
    past = end % period
    if past:
        return end - past + period
    if delay < period or (delay == period and after):
        return end + period
    return end


@kernel
def runs_after_clock(now: int, delay: int, after: bool, period: int) -> bool:
    """Whether that unit, if it ends on an edge, runs after the clock there."""
    return delay < period or (delay == period and after)


@kernel
def two_waits_edge(start: int, first: int, second: int, period: int) -> int:
    """Finish edge of a unit that starts on a clock edge and waits `first`, then `second` ps."""
    return finish_edge(start + first, second, runs_after_clock(start, first, True, period), period)
