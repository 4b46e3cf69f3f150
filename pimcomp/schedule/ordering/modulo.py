"""Modulo schedules (B. Rau, MICRO 1994): actions of one round placed on a timeline that repeats after a period.

An action that starts at t happens at t mod period of every round, for the image that entered t // period rounds before.
One after the other is placed in the first gap that all machines it needs have in common. A buffer exists once, so
nothing may use it a period after it began to be filled: what fills it too early is held back, and all are placed again.
The order of a single image is one whose period never ends.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import DoubleArray, LongArray
from pimcomp.timeline.borrow import borrow

MACHINES = 4  # that an action may need
PLACEMENTS = 20  # of all actions, before a period counts as too short
LAST_STAGE = 6  # rounds after which results have to be there
LEAST_GAP_NS = 20.0  # shorter ones are forgotten
ENDLESS_NS = 1e12  # a period that no program fills


class Claims(NamedTuple):
    """What actions need: int64[actions, 3] machines (-1: none), float64[actions, 3] how long from the start on, and
    float64[actions], after what time their successors may start."""

    machine: LongArray
    busy_ns: DoubleArray
    done_ns: DoubleArray


class Followers(NamedTuple):
    """Edges [start[a], start[a + 1]) lead from action a to `to`."""

    start: LongArray
    to: LongArray


class Uses(NamedTuple):
    """Action a uses buffers `buffer[start[a] : start[a + 1]]`."""

    start: LongArray
    buffer: LongArray


class _Given(NamedTuple):
    """See `modulo_starts`. latest_ns: scratch, per buffer."""

    sequence: LongArray
    machine: LongArray
    busy_ns: DoubleArray
    done_ns: DoubleArray
    edge_start: LongArray
    edge_to: LongArray
    use_start: LongArray
    use_buffer: LongArray
    latest_ns: DoubleArray


class _Gaps(NamedTuple):
    """When machines are free in a period: machine m in the `number[m]` rows [low, high) from first[m] on."""

    first: LongArray
    number: LongArray
    low: DoubleArray
    high: DoubleArray


def least_period_ns(claims: Claims) -> float:
    """What the busiest machine has to do."""
    return float(np.bincount(claims.machine.ravel() + 1, claims.busy_ns.ravel())[1:].max())


def modulo_starts(
    sequence: LongArray,
    claims: Claims,
    followers: Followers,
    uses: Uses,
    ends: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
    period_ns: float,
    earliest_ns: DoubleArray,
) -> DoubleArray | None:
    """float64[actions]: when each starts, None if the period seems too short.

    sequence: all actions, each after what it depends on; the first have first choice. ends: of every action, whether it
    has to be in the first period, and whether it has to be in the last one. earliest_ns: per action.
    """
    inputs, results = ends
    buffers = int(uses.buffer.max(initial=-1)) + 1
    given = _Given(sequence, *claims, *followers, *uses, np.empty(buffers))
    most = np.bincount(claims.machine[claims.machine >= 0])
    earliest = earliest_ns.copy()
    for _ in range(PLACEMENTS):
        gaps = _all_free(most, period_ns)
        start, last = earliest.copy(), np.zeros(len(sequence))
        _place(given, gaps, period_ns, start, last)
        stage = start // period_ns
        held = _hold_back(given, period_ns, start, last, earliest)
        held += int((stage[results] < stage.max(initial=0)).sum())
        np.maximum(earliest, stage.max(initial=0) * period_ns, out=earliest, where=results)
        if start[inputs].max(initial=0) >= period_ns or start.max(initial=0) >= (LAST_STAGE + 1) * period_ns:
            return None
        if held == 0:
            return start
    return None


def insertion_starts(sequence: LongArray, claims: Claims, followers: Followers) -> DoubleArray:
    """float64[actions]: when each starts if the timeline never repeats, and buffers are where they are needed."""
    nothing = np.empty(0, np.int64)
    uses = Uses(np.zeros(len(sequence) + 1, np.int64), nothing)
    start, last = np.zeros((2, len(sequence)))
    gaps = _all_free(np.bincount(claims.machine[claims.machine >= 0]), ENDLESS_NS)
    _place(_Given(sequence, *claims, *followers, *uses, np.empty(0)), gaps, ENDLESS_NS, start, last)
    return start


def _all_free(most: LongArray, period_ns: float) -> _Gaps:
    """Machines of which nothing is taken yet. most: actions that each has to do."""
    first = np.concatenate([[0], np.cumsum(2 * most + 2)])
    gaps = _Gaps(first, np.ones_like(most), *np.zeros((2, first[-1])))
    gaps.high[first[:-1]] = period_ns
    return gaps


@kernel
def _place(given: _Given, gaps: _Gaps, period: float, start: DoubleArray, last: DoubleArray) -> None:
    """start: when each action may start; becomes when it does. last: when it ends, or would if its buffers allowed it.

    What finds no gap in time starts anyway: the order is possible, but takes longer than the period.
    """
    sequence, machine, busy, done, edge_start, edge_to, use_start, use_buffer, latest = borrow(given)
    latest[:] = np.inf
    for a in sequence:
        ready = at = start[a]
        limit = np.inf
        for use in range(use_start[a], use_start[a + 1]):
            limit = min(limit, latest[use_buffer[use]])
        agreed, i = 0, 0
        while agreed < MACHINES and at >= 0.0:
            if machine[a, i] >= 0:
                fit = _next_gap(gaps, machine[a, i], at, busy[a, i], period)
                if fit > at:
                    agreed = 0
                at = fit if fit <= ready + period else -1.0
            agreed += 1
            i = (i + 1) % MACHINES
        last[a] = max(ready, at) + busy[a, 0]
        if at >= 0.0 and last[a] <= limit:
            for i in range(MACHINES):
                if machine[a, i] >= 0:
                    _occupy(gaps, machine[a, i], at % period, busy[a, i], period)
            start[a] = at
        for use in range(use_start[a], use_start[a + 1]):
            latest[use_buffer[use]] = min(latest[use_buffer[use]], start[a] + period)
        for e in range(edge_start[a], edge_start[a + 1]):
            start[edge_to[e]] = max(start[edge_to[e]], start[a] + done[a])


@kernel
def _next_gap(gaps: _Gaps, m: int, at: float, length: float, period: float) -> float:
    """The first time from `at` on when a machine is free for that long; -1 if it never is."""
    first, stop = gaps.first[m], gaps.first[m] + gaps.number[m]
    turn = at // period * period
    low, high = first, stop
    while low < high:
        middle = (low + high) // 2
        if gaps.high[middle] > at - turn:
            high = middle
        else:
            low = middle + 1
    for g in range(low, 2 * stop - first):
        if g == stop:
            turn += period
        i = g if g < stop else g - stop + first
        begin, end = max(gaps.low[i], at - turn), gaps.high[i]
        if end >= period and gaps.low[first] <= 0.0:  # goes on at the start of the next turn
            end += gaps.high[first] if stop - first > 1 else gaps.low[i]
        if begin + length <= end:
            found: float = turn + begin
            return found
    return -1.0


@kernel
def _occupy(gaps: _Gaps, m: int, at: float, length: float, period: float) -> None:
    _cut(gaps, m, at, min(at + length, period))
    if at + length > period:
        _cut(gaps, m, 0.0, at + length - period)


@kernel
def _cut(gaps: _Gaps, m: int, begin: float, end: float) -> None:
    """Take [begin, end) out of the gap it lies in."""
    first, count = gaps.first[m], gaps.number[m]
    low, high = first, first + count
    while low < high:
        middle = (low + high) // 2
        if gaps.high[middle] > begin:
            high = middle
        else:
            low = middle + 1
    g, stop = low, first + count
    if g == stop:
        return
    before, behind = begin - gaps.low[g] >= LEAST_GAP_NS, gaps.high[g] - end >= LEAST_GAP_NS
    if before and behind:
        for i in range(stop, g, -1):
            gaps.low[i], gaps.high[i] = gaps.low[i - 1], gaps.high[i - 1]
        gaps.high[g], gaps.low[g + 1] = begin, end
        gaps.number[m] += 1
    elif before:
        gaps.high[g] = begin
    elif behind:
        gaps.low[g] = end
    else:
        for i in range(g, stop - 1):
            gaps.low[i], gaps.high[i] = gaps.low[i + 1], gaps.high[i + 1]
        gaps.number[m] -= 1


@kernel
def _hold_back(given: _Given, period: float, start: DoubleArray, last: DoubleArray, earliest: DoubleArray) -> int:
    """Let actions start later that use a buffer too long before its last use; how many."""
    sequence, _, _, _, _, _, use_start, use_buffer, needed = borrow(given)
    needed[:] = -np.inf
    for a in sequence:
        for use in range(use_start[a], use_start[a + 1]):
            needed[use_buffer[use]] = max(needed[use_buffer[use]], last[a] - period)
    held = 0
    for a in sequence:
        for use in range(use_start[a], use_start[a + 1]):
            if start[a] < needed[use_buffer[use]]:
                earliest[a] = max(earliest[a], needed[use_buffer[use]])
                held += 1
    return held
