"""How many cores array groups take, before anything is decided about them."""

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray


def cores_needed(sizes: IntArray, capacity: int) -> int:
    """How many cores of `capacity` crossbars first fit or best fit (the better one) takes for array groups of `sizes`.

    Neither of them opens a core while an open one has room, so that one of them packs exactly the chips with as many.
    """
    if sizes.max(initial=0) > capacity:
        raise ValueError(f"an array group of {sizes.max()} crossbars fits no core of {capacity}")
    first = int(first_fit_cores(sizes, len(sizes), capacity).max(initial=-1)) + 1
    return min(first, int(_best_fit_cores(-np.sort(-sizes), capacity)))


@kernel
def _best_fit_cores(sizes: IntArray, capacity: int) -> int:
    """How many cores `_best_fit` opens: cores with equal room are alike, so counting them is enough."""
    with_room = np.zeros(capacity + 1, dtype=np.int64)
    opened = 0
    for size in sizes:
        room = size
        while room <= capacity and with_room[room] == 0:
            room += 1
        if room > capacity:
            opened += 1
            room = capacity
        else:
            with_room[room] -= 1
        with_room[room - size] += 1
    return opened


@kernel
def first_fit_cores(sizes: IntArray, cores: int, capacity: int) -> IntArray:
    """First fit: int32 per size, the lowest-numbered core with room; -1 from the first that finds none."""
    free = np.full(cores, capacity, dtype=np.int64)
    lowest = np.zeros(capacity + 1, dtype=np.int64)  # per size: cores below it are too full, and stay so
    result = np.full(len(sizes), -1, dtype=np.int32)
    for i in range(len(sizes)):
        size = sizes[i]
        if size > capacity:
            return result
        core = lowest[size]
        while core < cores and free[core] < size:
            core += 1
        lowest[size] = core
        if core == cores:
            return result
        free[core] -= size
        result[i] = core
    return result
