"""The five mutations of PIMCOMP-NN's genetic algorithm, each keeping an individual legal.

An individual `held` is int32[cores, kinds]: how many array groups of each kind a core holds. No core holds more than
its crossbars, and every layer has a whole number of replicas, at least one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.graph import IntArray

SPLIT_ABOVE = 1 / 4  # of a core: what fills more of it is worth splitting
GATHER_BELOW = 1 / 24  # of a core: what fills less of it, with no more than ...
GATHER_GROUPS = 2  # ... so many array groups, is worth gathering
TRIES = 20  # mutations drawn for one child until one is possible


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """capacity: crossbars per core. layer, size, per_replica: int64[kinds], whose, how large, how many in a replica.

    most: int[layers], replicas a layer can use.
    """

    capacity: int
    layer: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    per_replica: npt.NDArray[np.int64]
    most: npt.NDArray[np.int64]


def mutate(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray:
    """A child that differs by one mutation, each kind of them equally likely; the parent's copy if none is possible."""
    for _ in range(TRIES):
        child = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](held, kinds, rng)
        if child is not None:
            return child
    return held.copy()


def replicas_of(held: IntArray, kinds: Kinds) -> npt.NDArray[np.int64]:
    """int64[layers]: replicas of every layer."""
    result = np.zeros(len(kinds.most), dtype=np.int64)
    result[kinds.layer] = held.sum(axis=0) // kinds.per_replica
    return result


def add_replica(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray | None:
    """One more replica of a layer, whole, on one core."""
    layers = np.flatnonzero(replicas_of(held, kinds) < kinds.most)
    if len(layers) == 0:
        return None
    mine = kinds.layer == rng.choice(layers)
    crossbars = int((kinds.per_replica * kinds.size)[mine].sum())
    cores = np.flatnonzero(_free(held, kinds) >= crossbars)
    if len(cores) == 0:
        return None
    child = held.copy()
    child[rng.choice(cores), mine] += kinds.per_replica[mine].astype(np.int32)
    return child


def remove_replica(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray | None:
    """One replica less of a layer that has several."""
    replicas = replicas_of(held, kinds)
    layers = np.flatnonzero(replicas > 1)
    if len(layers) == 0:
        return None
    layer = int(rng.choice(layers))
    which = int(rng.integers(replicas[layer]))
    child = held.copy()
    for kind in np.flatnonzero(kinds.layer == layer):
        first = which * int(kinds.per_replica[kind])
        owner = np.repeat(np.arange(len(held)), held[:, kind])[first : first + int(kinds.per_replica[kind])]
        child[:, kind] -= np.bincount(owner, minlength=len(held)).astype(np.int32)
    return child


def split(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray | None:
    """A part of what fills much of a core goes to another core."""
    large = np.argwhere((held > 1) & (held * kinds.size > SPLIT_ABOVE * kinds.capacity))
    if len(large) == 0:
        return None
    core, kind = rng.choice(large)
    count = int(rng.integers(1, held[core, kind]))
    cores = np.flatnonzero(_free(held, kinds) >= count * kinds.size[kind])
    return _moved(held, int(kind), count, int(core), cores[cores != core], rng)


def gather(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray | None:
    """A few small array groups go to a core that holds their layer already."""
    small = (held > 0) & (held <= GATHER_GROUPS) & (held * kinds.size < GATHER_BELOW * kinds.capacity)
    found = np.argwhere(small)
    if len(found) == 0:
        return None
    core, kind = rng.choice(found)
    count = int(held[core, kind])
    same_layer = held[:, kinds.layer == kinds.layer[kind]].any(axis=1)
    cores = np.flatnonzero(same_layer & (_free(held, kinds) >= count * kinds.size[kind]))
    return _moved(held, int(kind), count, int(core), cores[cores != core], rng)


def exchange(held: IntArray, kinds: Kinds, rng: np.random.Generator) -> IntArray | None:
    """Two cores exchange array groups of different kinds that take equally many crossbars."""
    used = np.flatnonzero(held.any(axis=1))
    if len(used) < 2:
        return None
    a, b = rng.choice(used, size=2, replace=False)
    give, take = int(rng.choice(np.flatnonzero(held[a]))), int(rng.choice(np.flatnonzero(held[b])))
    if give == take:
        return None
    size = int(np.lcm(kinds.size[give], kinds.size[take]))
    given, taken = size // int(kinds.size[give]), size // int(kinds.size[take])
    most = min(int(held[a, give]) // given, int(held[b, take]) // taken)
    if most == 0:
        return None
    times = int(rng.integers(1, most + 1))
    child = held.copy()
    child[[a, b], give] += np.array([-times, times], dtype=np.int32) * given
    child[[a, b], take] += np.array([times, -times], dtype=np.int32) * taken
    return child


_MUTATIONS = (add_replica, remove_replica, split, gather, exchange)


def _free(held: IntArray, kinds: Kinds) -> npt.NDArray[np.int64]:
    """int64[cores]: free crossbars."""
    return np.asarray(kinds.capacity - held @ kinds.size)


def _moved(
    held: IntArray, kind: int, count: int, source: int, targets: npt.NDArray[np.int64], rng: np.random.Generator
) -> IntArray | None:
    """`count` array groups of a kind on one of the target cores instead; None if there is no target."""
    if len(targets) == 0:
        return None
    child = held.copy()
    child[source, kind] -= count
    child[rng.choice(targets), kind] += count
    return child
