"""How a layer's columns are cut among its sites, for a coarse look: the rules of schedule/sites.py on plain arrays."""

from typing import NamedTuple, TypeAlias

import numpy as np

from pimcomp.estimate.tables import Network
from pimcomp.foundation.kernels import kernel
from pimcomp.schedule.work import LongArray


class Members(NamedTuple):
    """Sites of layers, which are replicas with equal cores. By layer and replica: the first replica of a site, and how
    many it has. sites int64[layers]."""

    first: LongArray
    weight: LongArray
    sites: LongArray


class Columns(NamedTuple):
    """Of sites, see `Layout`; of a shared node `replica` is the core that a site's work was taken from."""

    low: LongArray
    high: LongArray
    head: LongArray
    replica: LongArray


# How scattering sites share their input: how many of them, its columns, those of the output, pixels per MVM, columns of
# the kernel, padding on the left.
Input: TypeAlias = tuple[int, int, int, int, int, int]
NO_INPUT = (0, 0, 0, 0, 0, 0)


@kernel
def cut(
    sites: Columns, at: int, members: Members, begin: int, turn: tuple[int, int, int], width: int, block: int
) -> int:
    """Cut a row set's columns in proportion to its sites' replicas, on whole blocks. Returns the next free site.

    begin: where the layer's members begin. turn: the number of the row set, how many sites are used, and row sets.
    """
    low, high, weight, first = sites.low, sites.high, members.weight, members.first
    chosen, count, sets = turn
    blocks = -(-width // block)
    total = 0
    for s in range(chosen, count, sets):
        total += weight[begin + s]
    reached, column = 0, 0
    for s in range(chosen, count, sets):
        reached += weight[begin + s]
        sites.replica[at], low[at] = first[begin + s], column
        column = min(int(np.floor(reached / total * blocks + 0.5)) * block, width)
        high[at] = column
        at += 1
    return at


@kernel
def scattered_input(net: Network, n: int, o: int, sites: int) -> Input:
    """schedule/sites.py, `_shared`: how a layer's sites share its input; NO_INPUT where each takes what it needs."""
    e = net.edge_start[n]
    kernel, pixels = net.kernel[o, 1], net.scatter[o]
    width, blocks = net.width[net.source[e]], -(-net.width[net.source[e]] // pixels)
    used = min(sites, blocks)
    if sites == 1 or -(-blocks // used) >= -(-(-(-net.width[n] // min(sites, net.width[n])) + kernel - 1) // pixels):
        return NO_INPUT
    return used, width, net.width[n], pixels, kernel, -net.base_column[net.reach_start[e]]


@kernel
def share_input(sites: Columns, take: LongArray, at: int, members: Members, begin: int, source: Input) -> int:
    """Give each site its share of the input columns, and the output columns in their middle. Returns the next free
    site; -1 if one would have none."""
    used, source_width, width, pixels, kernel, pad = source
    low, high = sites.low, sites.high
    stop = cut(sites, at, members, begin, (0, used, 1), source_width, pixels)
    first, last, filled = -1, -1, 0
    for s in range(at, stop):
        if low[s] < high[s]:
            first, last, filled = s if first < 0 else first, s, filled + 1
    valid = filled > 1
    for s in range(at, stop):
        a, z = low[s], high[s]
        if a == z:
            continue
        take[s, 0], take[s, 1] = a, z
        take[s, 2], take[s, 3] = max(a + pad - kernel + 1, 0), min(z + pad, width)
        low[s] = 0 if s == first else a + pad - (kernel - 1) // 2
        high[s] = width if s == last else z + pad - (kernel - 1) // 2
        valid = valid and low[s] < high[s]
    if valid:
        return stop
    take[at:stop] = -1
    return -1
