"""In which order the global memory serves what arrives in the same instant: that of the simulator's event queue.

SystemC keeps timed events in a binary heap that compares times only, so the order of equal times is what its moves make
of it: cores enter in ascending order, and meanwhile every clock tick goes in at the end and out at the top, which turns
a path of the heap by one place. The same heap with the same moves gives the same order: that of the HEAPLab fork. What
else is in the heap is known at the beginning of a run (`early_waits`), where most requests of one instant are; later it
is taken as empty.
"""

import heapq

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import LongArray
from pimcomp.timeline.early_waits import BEGIN, CORE, END, REQUEST

Request = tuple[np.int64, np.int64, np.int64, np.int64]
"""(arrival, when it was sent, rank among those equal in both, core); rank: negative once it is known, else the core."""

_CLOCK = -1


@kernel
def ask(queue: list[Request], arrival: int, sent: int, core: int) -> None:
    """Add a request."""
    heapq.heappush(queue, (np.int64(arrival), np.int64(sent), np.int64(core), np.int64(core)))


@kernel
def next_request(queue: list[Request], period: int, early: LongArray) -> tuple[int, int]:
    """Take the request that is served next: (arrival, core). All that arrive when it does have to be in the queue.

    early: see `early_waits`.
    """
    arrival, sent, rank, core = heapq.heappop(queue)
    if rank < 0 or not queue or queue[0][0] != arrival or queue[0][1] != sent:
        return int(arrival), int(core)
    cores = [core]
    while queue and queue[0][0] == arrival and queue[0][1] == sent:
        cores.append(heapq.heappop(queue)[3])
    waits = np.empty((len(cores), early.shape[1]), np.int64)
    for k in range(len(cores)):
        waits[k, BEGIN], waits[k, END], waits[k, CORE], waits[k, REQUEST] = sent, arrival, cores[k], 1
    known = 0
    for k in range(len(early)):
        known += early[k, BEGIN] == sent and early[k, END] == arrival and early[k, REQUEST] == 1
    order = served_order(early if known == len(cores) else waits, int(sent), int(arrival), period)
    for place in range(1, len(cores)):
        heapq.heappush(queue, (arrival, sent, np.int64(place - len(cores)), order[place]))
    return int(arrival), int(order[0])


@kernel
def served_order(waits: LongArray, sent: int, arrival: int, period: int) -> LongArray:
    """int64[cores]: those whose requests are sent and arrive at the given times, in the order of service.

    waits: columns of `early_waits`, rows by BEGIN and core: all that are in the queue besides the clock.
    """
    times, names = np.zeros(len(waits) + 2, np.int64), np.zeros(len(waits) + 2, np.int64)
    begin = min(np.int64(sent), waits[0, BEGIN])
    size = _insert(times, names, 0, begin - begin % period, _CLOCK)
    order = np.empty(len(waits), np.int64)
    served = entered = 0
    now = 0
    while now < arrival:
        now = times[1]
        ticks = False
        while size and times[1] == now:
            name = names[1]
            size = _remove_top(times, names, size)
            if name == _CLOCK:
                ticks = True
            elif now == arrival and waits[name, BEGIN] == sent and waits[name, REQUEST]:
                order[served] = waits[name, CORE]
                served += 1
        if ticks:
            size = _insert(times, names, size, now + period, _CLOCK)
        while entered < len(waits) and waits[entered, BEGIN] <= now:
            size = _insert(times, names, size, waits[entered, END], entered)
            entered += 1
    return order[:served]


@kernel
def _insert(times: LongArray, names: LongArray, size: int, time: int, name: int) -> int:
    """Put an element into a heap that starts at index 1; returns the new size."""
    i = size + 1
    while i > 1 and times[i >> 1] > time:
        times[i], names[i] = times[i >> 1], names[i >> 1]
        i >>= 1
    times[i], names[i] = time, name
    return size + 1


@kernel
def _remove_top(times: LongArray, names: LongArray, size: int) -> int:
    """Take the top out: the last element takes its place and sinks below what is strictly earlier."""
    time, name = times[size], names[size]
    size -= 1
    i = 1
    while 2 * i <= size:
        child = 2 * i
        if child < size and times[child + 1] < min(times[child], time):
            child += 1
        if times[child] >= time:
            break
        times[i], names[i] = times[child], names[child]
        i = child
    times[i], names[i] = time, name
    return size
