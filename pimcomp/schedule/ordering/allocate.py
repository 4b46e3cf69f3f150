"""Local-memory addresses by liveness: buffers of a core that are alive together never overlap."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import LongArray


@kernel
def allocate(
    core: LongArray, first: LongArray, last: LongArray, size: LongArray, base: LongArray, gap: int
) -> tuple[LongArray, LongArray]:
    """Address of every buffer and the peak per core: (int64[buffers], int64[cores]).

    A buffer of core `core[b]` with `size[b]` bytes is alive from action position first[b] to last[b], both included; if
    last[b] is less, into the next round. base: int64[cores], bytes below are taken. gap: bytes kept free behind each
    buffer, because the simulator treats touching ranges as conflicting. Lowest fitting address first, in the order of
    `first`, those that live into the next round before the others (the caller sorts buffers so, core by core).
    """
    buffers = len(core)
    address = np.zeros(buffers, np.int64)
    peak = base.copy()
    live = np.empty(buffers, np.int64)  # alive buffers of the current core, by address
    alive = 0
    current = -1
    for b in range(buffers):
        if core[b] != current:
            current = core[b]
            alive = 0
        kept = 0
        place, fits = base[current], False
        for i in range(alive):
            other = live[i]
            wraps = first[other] > last[other]
            if last[other] < first[b] and not wraps:
                continue
            live[kept] = other
            kept += 1
            if not fits and (last[other] >= first[b] or first[other] <= last[b] or first[b] > last[b]):
                fits = address[other] - place >= size[b] + gap
                if not fits:
                    place = max(place, address[other] + size[other] + gap)
        slot = kept
        while slot > 0 and address[live[slot - 1]] > place:
            live[slot] = live[slot - 1]
            slot -= 1
        live[slot] = b
        alive = kept + 1
        address[b] = place
        peak[current] = max(peak[current], place + size[b] + gap)
    return address, peak
