"""Rounds that overlap: what would end a round late is done in the next one, beside the images that enter then.

Every core repeats its stream, so a round need not end with the images it began with. Actions of stage s belong to the
images that entered s rounds before; what they depend on in an earlier stage is there already. A buffer may live into
the next round, if its uses there come before it is filled anew. Moving what is late to the next round and ordering
again is rotation scheduling (L. Chao, A. LaPaugh, E. Sha, IEEE Transactions on CAD 1997); the result is a modulo
schedule (B. Rau, MICRO 1994).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.schedule.work import Edges, LongArray, select, stack

LAST_STAGE = 4  # more would make the first results late for a gain that is small
FAR = 1 << 40


class Turns(NamedTuple):
    """Who may move to another round: inputs and constants are there in their own, results are all stored in one.

    edges: what depends on what. touches: int64[n, 2], (buffer, action of the flow), each once and sorted; number:
    int64[images, actions of the flow], of the actions. fixed, stores: of every action.
    """

    edges: Edges
    touches: LongArray
    number: LongArray
    fixed: npt.NDArray[np.bool_]
    stores: npt.NDArray[np.bool_]


def rotated(turns: Turns, stage: LongArray, late: npt.NDArray[np.bool_]) -> LongArray:
    """int64[actions]: stages after what is late has moved to the next round, as far as it may."""
    edges, touches, number, fixed, stores = turns
    moved = np.minimum(stage + (late & ~fixed), LAST_STAGE)
    moved[stores] = moved[~stores].max(initial=1)
    while True:
        before = moved.copy()
        np.minimum.at(moved, edges.before, moved[edges.after])
        for numbers in number:
            users = numbers[touches[:, 1]]
            np.minimum.at(moved, users, _first_stage(touches[:, 0], moved[users])[touches[:, 0]] + 1)
        if (before == moved).all():
            break
    last = min(int(moved[stores].min(initial=FAR)), int(moved.max(initial=0)))
    return np.asarray(np.where(stores, last, np.minimum(moved, last)), dtype=np.int64)


def edges_within(turns: Turns, stage: LongArray) -> Edges:
    """What depends on what within a round: edges that join actions of one stage, and for every buffer that lives into
    the next round, its uses by the images before ahead of those by the new ones."""
    edges, touches, buffer = turns.edges, turns.touches, turns.touches[:, 0]
    parts = [select(edges, stage[edges.before] == stage[edges.after])]
    for numbers in turns.number:
        action = numbers[touches[:, 1]]
        old = stage[action] > _first_stage(buffer, stage[action])[buffer]
        olds, news = (np.bincount(buffer[which], minlength=int(buffer[-1]) + 1) for which in (old, ~old))
        both = (olds > 0) & (news > 0)
        before, after = np.flatnonzero(old & both[buffer]), action[~old & both[buffer]]
        count = news[buffer[before]]
        first = (np.cumsum(news * both) - news * both)[buffer[before]] - (np.cumsum(count) - count)
        parts.append(Edges(np.repeat(action[before], count), after[np.repeat(first, count) + np.arange(count.sum())]))
    return stack(*parts)


def _first_stage(buffer: LongArray, stage: LongArray) -> LongArray:
    """Per buffer, the first stage in which it is used; both by use."""
    first = np.full(int(buffer.max(initial=-1)) + 1, FAR)
    np.minimum.at(first, buffer, stage)
    return first


class Lives(NamedTuple):
    """When buffers are in use: positions of the first and the last use; the last is less if it is in the next round."""

    used: npt.NDArray[np.bool_]
    first: LongArray
    last: LongArray


def lives(buffers: int, uses: LongArray, position: LongArray, stage: LongArray) -> Lives:
    """Of all buffers of one image. uses: int64[n, 2], (buffer, action); position, stage: of every action."""
    length = int(position.max(initial=0)) + 1
    at = (position + stage * length)[uses[:, 1]]
    first, last = np.full(buffers, np.iinfo(np.int64).max), np.full(buffers, -1, dtype=np.int64)
    np.minimum.at(first, uses[:, 0], at)
    np.maximum.at(last, uses[:, 0], at)
    used = last >= 0
    return Lives(used, np.where(used, first % length, length), np.where(used, last % length, length))
