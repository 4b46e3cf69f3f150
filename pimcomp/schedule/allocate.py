"""Local-memory addresses by liveness: buffers of a core that are alive together never overlap."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import LongArray


@kernel
def allocate(
    core: LongArray, first: LongArray, last: LongArray, size: LongArray, base: LongArray, gap: int
) -> tuple[LongArray, LongArray]:
    """Address of every buffer and the peak per core: (int64[buffers], int64[cores]).

    A buffer of core `core[b]` with `size[b]` bytes is alive from action position first[b] to last[b], both included.
    base: int64[cores], bytes below are taken. gap: bytes kept free behind each buffer, because the simulator treats
    touching ranges as conflicting. Lowest fitting address first, in the order of `first` (the caller sorts buffers by
    (core, first)).
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
        place = base[current]
        slot = -1
        position = np.int64(0)
        for i in range(alive):
            other = live[i]
            if last[other] < first[b]:
                continue
            if slot < 0 and address[other] - place >= size[b] + gap:
                slot = kept
                position = place
            place = address[other] + size[other] + gap
            live[kept] = other
            kept += 1
        alive = kept
        if slot < 0:
            slot = alive
            position = place
        for i in range(alive, slot, -1):
            live[i] = live[i - 1]
        live[slot] = b
        alive += 1
        address[b] = position
        peak[current] = max(peak[current], position + size[b] + gap)
    return address, peak
