"""Cores of a chip shared out to several networks: regions that are chips of their own, and how large each should be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, permutations

import numpy as np

from pimcomp.ir.arch import Arch, NocTable

FINEST = 1 / 64  # of all: smaller moves between networks are not tried


def region(arch: Arch, first: int, cores: int) -> Arch:
    """Cores [first, first + cores) of a chip as a chip: their distances are those they have."""
    at = [*range(first, first + cores), arch.total_cores]
    chosen = np.ix_(at, at)
    latency_ns, energy_pj = arch.noc_latency_ns[chosen], arch.noc_flit_energy_pj[chosen]
    table = NocTable(cores, tuple(latency_ns.ravel().tolist()), tuple(energy_pj.ravel().tolist()))
    name = f"{arch.name}, cores {first} to {first + cores - 1}"
    return replace(
        arch, name=name, cores=cores, chips=1, interconnect="file", noc_file="network.json", noc_table=table
    )  # fmt: skip


def regions(arch: Arch, shares: Sequence[int]) -> tuple[Arch, ...]:
    """One behind the other, so many cores each."""
    firsts = [0, *accumulate(shares)]
    return tuple(region(arch, first, cores) for first, cores in zip(firsts, shares, strict=False))


class Aim:
    """What the shares are for: the longest of all networks' times (no weights), or their weighted mean."""

    def __init__(self, weights: Sequence[float] = ()) -> None:
        self.weights = tuple(weights)

    def of(self, times_ns: Sequence[float]) -> float:
        """The figure of networks that take so long."""
        if not self.weights:
            return max(times_ns)
        return sum(w * t for w, t in zip(self.weights, times_ns, strict=True)) / sum(self.weights)


def share(least: Sequence[int], supply: int, times_ns: Sequence[Callable[[int], float]], aim: Aim) -> tuple[int, ...]:
    """How much of a supply (the chip's cores, the crossbars of a core) each network gets: none of its `least` less,
    all together all.

    times_ns: per network how long it takes with so many. A descent: they move from one network to another while the aim
    gains, half as many at a time when it no longer does, down to `FINEST` of all.
    """

    def value(shares: Sequence[int]) -> tuple[float, float]:
        times = [time_ns(share) for time_ns, share in zip(times_ns, shares, strict=True)]
        return aim.of(times), sum(times)  # where the longest does not gain, the others may

    spare = supply - sum(least)
    count = len(least)
    best = tuple(low + spare // count + (k < spare % count) for k, low in enumerate(least))
    step = max(1, spare // 4)
    while step >= max(1, supply * FINEST):
        moves = [_move(best, giver, taker, step) for giver, taker in permutations(range(count), 2)]
        tried = [shares for shares in moves if all(s >= low for s, low in zip(shares, least, strict=True))]
        found = min([best, *tried], key=value)
        if value(found) < value(best) and math.isfinite(value(found)[0]):
            best = found
        else:
            step //= 2
    return best


def _move(shares: Sequence[int], giver: int, taker: int, step: int) -> tuple[int, ...]:
    return tuple(s - step * (k == giver) + step * (k == taker) for k, s in enumerate(shares))
