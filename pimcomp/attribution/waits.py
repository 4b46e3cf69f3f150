"""Who waits for whom: the waits of one pass, added up by pair."""

from dataclasses import dataclass

import numpy as np

from pimcomp.attribution.core_use import wait_times
from pimcomp.attribution.links import Links
from pimcomp.ir.graph import IntArray
from pimcomp.ir.program import LongArray
from pimcomp.isa.table import LOAD, STORE
from pimcomp.timeline.instruction_times import Times
from pimcomp.timeline.work import Instructions, UnitWork

GLOBAL_MEMORY, EVENT = -1, -2
"""Peers that are no core: the queue at the global memory, and a `wait` for tokens of whoever sends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Core `core` waits for `peer` (a core, GLOBAL_MEMORY or EVENT) in `times` instructions, `wait_ps` in total.

    node: graph node for which it waits longest, `node_ps` of the total (-1: no layer).
    """

    core: int
    peer: int
    times: int
    wait_ps: int
    node: int
    node_ps: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WaitSpans:
    """The instructions that wait, int64[waits] each: their row, from when to when (ps), and for whom."""

    row: LongArray
    start: LongArray
    stop: LongArray
    peer: LongArray


def wait_spans(stream: Instructions, work: UnitWork, times: Times, links: Links) -> WaitSpans:
    """Every wait of the pass, in the order of the instructions."""
    start, stop = wait_times(work, times, links)
    row = np.flatnonzero(stop > start)
    memory = np.isin(work.unit[row], (LOAD, STORE))
    peer = np.where(memory, GLOBAL_MEMORY, np.where(links.partner[row] < 0, EVENT, stream.peer[row]))
    return WaitSpans(row=row, start=start[row], stop=stop[row], peer=peer.astype(np.int64))


def largest_waits(spans: WaitSpans, links: Links, node: IntArray, count: int) -> tuple[Wait, ...]:
    """The `count` pairs with the longest waits, longest first. node: int32[instructions]."""
    duration = spans.stop - spans.start
    pair = np.stack([links.core[spans.row], spans.peer], axis=1).reshape(-1, 2)
    pairs, which, times = np.unique(pair, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    total = np.zeros(len(pairs), np.int64)
    np.add.at(total, which, duration)
    found = []
    for k in np.argsort(-total, kind="stable")[:count].tolist():
        mine = which == k
        nodes, at = np.unique(node[spans.row[mine]], return_inverse=True)
        by_node = np.zeros(len(nodes), np.int64)
        np.add.at(by_node, at.reshape(-1), duration[mine])
        longest = int(np.argmax(by_node))
        found.append(
            Wait(
                core=int(pairs[k, 0]),
                peer=int(pairs[k, 1]),
                times=int(times[k]),
                wait_ps=int(total[k]),
                node=int(nodes[longest]),
                node_ps=int(by_node[longest]),
            )
        )
    return tuple(found)
