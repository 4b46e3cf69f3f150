"""What depends on what: messages between cores, the order of tasks and messages, and their rank."""

from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import IntArray
from pimcomp.schedule.buffers import Maps, Places
from pimcomp.schedule.building.build import TaskWork
from pimcomp.schedule.work import CONST, LOAD, Accesses, Buffers, Edges, LongArray, MapSegments, Transfers, stack

CONSTANT_LANES = 12  # constants that may be asked for at the same time
NO_RANK = 2**40


class Filled(NamedTuple):
    """Columns [low, high) of a buffer that an action fills: a message, or a task with its result."""

    buffer: LongArray
    low: LongArray
    high: LongArray
    action: LongArray


class Readers(NamedTuple):
    """Reads by buffer: those of buffer b are `read[start[b] : start[b + 1]]`."""

    start: LongArray
    read: LongArray


def link(work: TaskWork, places: Places, maps: Maps, pull: list[IntArray]) -> tuple[Transfers, Edges, LongArray]:
    """Messages, all dependencies, and the rank of every action. Messages are numbered behind the tasks.

    pull: rank of every row of every node.
    """
    transfers, carried = _transfers(work, places, maps)
    count, tasks, sums = len(transfers.bytes), len(work.tasks.kind), work.sum_transfers
    numbers = tasks + np.arange(count)
    s, uses = work.segments, np.flatnonzero(work.constant_of >= 0)
    edges = stack(
        Edges(transfers.producer, numbers),
        Edges(numbers[len(carried.action) :], sums.consumer),
        work.edges,
        _reader_edges(work, places, stack(carried, Filled(places.of_segment, s.begin, s.high, s.final))),
        Edges(tasks - work.constant_tasks + work.constant_of[uses], uses),
    )
    rank = _ranks(work, maps, pull, count, edges)
    return transfers, stack(edges, _constant_turns(work, rank)), rank


def _transfers(work: TaskWork, places: Places, maps: Maps) -> tuple[Transfers, Filled]:
    """Messages between row buffers, then between partial sums; and what the former fill."""
    s, buffers, sums, first = work.segments, places.buffers, work.sum_transfers, places.first_sum
    row_start = np.cumsum([0, *maps.height])
    order = np.lexsort((s.low, s.row, s.node))
    assert (order == np.arange(len(order))).all(), "segments are sorted"
    segment_start = np.searchsorted(row_start[s.node] + s.row, np.arange(row_start[-1] + 1))
    none = np.zeros((0, 4), np.int64)
    found = np.zeros((find_transfers(buffers, s, maps, row_start, segment_start, none), 4), np.int64)
    find_transfers(buffers, s, maps, row_start, segment_start, found)
    dst, segment, low, high = found.T
    src = places.of_segment[segment]
    width = maps.pixel_bytes[buffers.tensor[dst]]
    rows = Transfers(
        src_core=s.owner[segment],
        dst_core=buffers.core[dst],
        src_buffer=src,
        src_offset=(low - buffers.low[src]) * width,
        dst_buffer=dst,
        dst_offset=(low - buffers.low[dst]) * width,
        bytes=(high - low) * width,
        producer=s.final[segment],
    )
    ends = (work.sums.core[sums.src], work.sums.core[sums.dst])
    zeros = np.zeros_like(sums.src)
    partial = Transfers(*ends, sums.src + first, sums.skip, sums.dst + first, zeros, sums.bytes, sums.producer)
    return stack(rows, partial), Filled(dst, low, high, len(work.tasks.kind) + np.arange(len(dst)))


@kernel
def find_transfers(
    buffers: Buffers, s: MapSegments, maps: Maps, row_start: LongArray, segment_start: LongArray, out: LongArray
) -> int:
    """Segments that a buffer's readers need from other cores: how many; out receives (buffer, segment, low, high),
    unless it is empty.

    Segments of row y of a node are those from segment_start[row_start[node] + y] on.
    """
    count = 0
    for b in range(len(buffers.core)):
        tensor, row = buffers.tensor[b], buffers.row[b]
        if tensor < 0 or row < 0 or row >= maps.height[tensor]:
            continue
        from_column, to_column = max(buffers.read_low[b], 0), min(buffers.read_high[b], maps.width[tensor])
        at = row_start[tensor] + row
        for i in range(segment_start[at], segment_start[at + 1]):
            low, high = max(from_column, s.low[i]), min(to_column, s.high[i])
            if low < high and s.owner[i] != buffers.core[b]:
                if len(out) > 0:
                    out[count, 0], out[count, 1], out[count, 2], out[count, 3] = b, i, low, high
                count += 1
    return count


def _reader_edges(work: TaskWork, places: Places, filled: Filled) -> Edges:
    """From what fills a buffer to the tasks that read those columns."""
    reads = np.flatnonzero(work.reads.valid)
    by_buffer = reads[np.argsort(places.of_read[reads], kind="stable")]
    start = np.searchsorted(places.of_read[by_buffer], np.arange(len(places.buffers.core) + 1))
    readers, none = Readers(start, by_buffer), np.zeros((0, 2), np.int64)
    found = np.zeros((link_readers(work.reads, readers, filled, none), 2), np.int64)
    link_readers(work.reads, readers, filled, found)
    return Edges(found[:, 0], found[:, 1])


@kernel
def link_readers(reads: Accesses, readers: Readers, filled: Filled, out: LongArray) -> int:
    """How many reads depend on what fills a buffer; out receives (action, task), unless it is empty."""
    count = 0
    for i in range(len(filled.action)):
        b, action = filled.buffer[i], filled.action[i]
        for r in range(readers.start[b], readers.start[b + 1]):
            a = readers.read[r]
            if reads.low[a] < filled.high[i] and filled.low[i] < reads.high[a] and reads.task[a] != action:
                if len(out) > 0:
                    out[count, 0], out[count, 1] = action, reads.task[a]
                count += 1
    return count


def _ranks(work: TaskWork, maps: Maps, pull: list[IntArray], transfers: int, edges: Edges) -> LongArray:
    """Tasks rank as their row in the pull order, those of tokens one after the other; transfers and constant loads as
    their first consumer. Nothing ranks behind what waits for it (a sum is of all its tokens): work that may not run
    ahead would wait for ever."""
    tasks, start = work.tasks, np.cumsum([0, *[len(rows) for rows in pull]])
    rank = np.concatenate(pull).astype(np.int64)
    flat = maps.height == 1
    first = np.where(flat[tasks.node], tasks.keep, 0)
    rank = rank[start[tasks.node] + tasks.row] * int(maps.width[flat].max(initial=1)) + first
    rank = np.append(rank, np.full(transfers, NO_RANK))
    rank[np.append(tasks.kind == CONST, np.ones(transfers, dtype=bool))] = NO_RANK
    while (late := rank[edges.before] > rank[edges.after]).any():
        np.minimum.at(rank, edges.before[late], rank[edges.after[late]])
    return rank


def _constant_turns(work: TaskWork, rank: LongArray) -> Edges:
    """Edges that make constants wait: for the input rows that are needed before them, and for constants before them.

    The memory server serves one request after the other; constants that all cores ask for at once would hold up the
    first rows of the input, and then one another.
    """
    kind = work.tasks.kind
    loads, constants = np.flatnonzero(kind == LOAD), np.flatnonzero(kind == CONST)
    loads = loads[np.argsort(rank[loads], kind="stable")]
    constants = constants[np.argsort(rank[constants], kind="stable")]
    before = np.searchsorted(rank[loads], rank[constants]) - 1
    late = before >= 0
    in_turn = Edges(constants[:-CONSTANT_LANES], constants[CONSTANT_LANES:])
    return stack(Edges(loads[before[late]], constants[late]), in_turn)
