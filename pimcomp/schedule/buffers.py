"""Where the data of one image lie: which buffers exist on which core, and in which of them every operand is."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.graph import Graph
from pimcomp.schedule.building.build import TaskWork
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.tape import LITERAL
from pimcomp.schedule.work import Accesses, Buffers, LongArray, select, stack


class Maps(NamedTuple):
    """Size of every node's feature map; bytes of a pixel."""

    height: LongArray
    width: LongArray
    pixel_bytes: LongArray


class Places(NamedTuple):
    """All buffers: of rows, then partial sums, then constants; and which of them things are in (-1: in none).

    Per read, per segment its result, per task its result and constants. first_sum: number of the first partial sum.
    """

    buffers: Buffers
    first_sum: int
    of_read: LongArray
    of_segment: LongArray
    of_task: LongArray
    of_constants: LongArray


def maps_of(graph: Graph, element_bytes: int) -> Maps:
    """The maps of a graph."""
    table = np.array([(n.height, n.width, n.channels * element_bytes) for n in graph.nodes], dtype=np.int64)
    return Maps(*table.T.copy())


def place_buffers(work: TaskWork, maps: Maps, constants: Constants, element_bytes: int, cores: int) -> Places:
    """Buffers of everything that is read, written, added up or constant."""
    s, tasks = work.segments, work.tasks
    valid = work.reads.valid > 0
    writes = Accesses(s.final, s.owner, s.node, s.row, s.begin, s.high, np.ones_like(s.node))
    accesses = stack(select(work.reads, valid), writes)
    is_read = np.arange(len(accesses.task)) < valid.sum()
    # Of tokens every segment is a buffer of its own unless someone reads across: it is freed when it is used up.
    alone, wide = maps.height[s.node] == 1, int(maps.width.max()) + 1
    apart = np.isin(accesses.tensor * wide + accesses.low, (s.node * wide + s.low)[alone])
    buffer_of, rows = merge_accesses(accesses, is_read, apart, maps, cores)
    of_read = np.full(len(valid), -1, dtype=np.int64)
    of_read[valid], written = buffer_of[is_read], buffer_of[~is_read]
    first_sum, first_constants = len(rows.core), len(rows.core) + len(work.sums.core)
    loads = slice(len(tasks.kind) - work.constant_tasks, None)
    constant_bytes = np.array([len(v) for v in constants.vectors], dtype=np.int64)[tasks.node[loads]] * element_bytes
    core = np.concatenate([work.sums.core, tasks.core[loads]])
    none = np.zeros_like(core)
    others = Buffers(core, none - 1, none, none, none, none, none, np.concatenate([work.sums.bytes, constant_bytes]))
    return Places(
        stack(rows, others),
        first_sum,
        of_read,
        written,
        np.where(tasks.out >= 0, written[np.maximum(tasks.out, 0)], -1),
        np.where(work.constant_of >= 0, work.constant_of + first_constants, LITERAL),
    )


def sum_buffers(work: TaskWork, places: Places) -> LongArray:
    """The buffer that each contribution of a scattering task is added to: a result, or a partial sum that travels."""
    added = work.contributions
    result = places.of_segment[np.maximum(added.segment, 0)]
    return np.where(added.segment >= 0, result, added.total + places.first_sum)


def touches_of(work: TaskWork, places: Places) -> LongArray:
    """int64[n, 2]: (buffer, task) for every task that needs a buffer to be alive."""
    reads, conv, join, first = work.reads, work.conv, work.join, places.first_sum
    valid, owns, total = reads.valid > 0, places.of_task >= 0, conv.total >= 0
    pieces = [
        (places.of_read[valid], reads.task[valid]),
        (places.of_task[owns], np.flatnonzero(owns)),
        (conv.total[total] + first, conv.task[total]),
        (join.total + first, join.task),
        (work.part_sums.sum + first, np.repeat(join.task, join.parts_each)),
        (sum_buffers(work, places), work.contributions.task),
    ]
    return np.concatenate([np.stack(piece, axis=1) for piece in pieces])


def pads_of(places: Places, maps: Maps) -> LongArray:
    """int64[n, 3], (buffer, offset, bytes): zero-filled stretches of row buffers: columns beyond the map, and whole
    rows beyond it."""
    rows = select(places.buffers, slice(places.first_sum))
    width, height, pixel = maps.width[rows.tensor], maps.height[rows.tensor], maps.pixel_bytes[rows.tensor]
    b, columns = np.arange(len(rows.core)), rows.high - rows.low
    outside = (rows.row < 0) | (rows.row >= height)
    left = np.where(outside, columns, np.clip(-rows.low, 0, columns))
    right_at = np.maximum(width, rows.low)
    right = np.where(outside, 0, np.maximum(rows.high - right_at, 0))
    before = np.stack([b, np.zeros_like(b), left * pixel], axis=1)
    stretches = np.concatenate([before, np.stack([b, (right_at - rows.low) * pixel, right * pixel], axis=1)])
    return stretches[stretches[:, 2] > 0]


def merge_accesses(
    accesses: Accesses, is_read: npt.NDArray[np.bool_], apart: npt.NDArray[np.bool_], maps: Maps, cores: int
) -> tuple[LongArray, Buffers]:
    """Buffer of every access, and the buffers: accesses of one row on one core that overlap share one, and those that
    touch, unless the one behind is `apart`."""
    key = (accesses.tensor * cores + accesses.core) * (maps.height.max() + 2) + accesses.row + 1
    order = np.lexsort((accesses.low, key))
    buffer_of, (low, high), (read_low, read_high) = _sweep(order, key, accesses, is_read, apart)
    first = np.zeros(len(low), dtype=np.int64)
    first[buffer_of[::-1]] = np.arange(len(buffer_of) - 1, -1, -1)
    owner = select(accesses, first)
    size = (high - low) * maps.pixel_bytes[owner.tensor]
    return buffer_of, Buffers(owner.core, owner.tensor, owner.row, low, high, read_low, read_high, size)


@kernel
def _sweep(
    order: LongArray, key: LongArray, accesses: Accesses, is_read: npt.NDArray[np.bool_], apart: npt.NDArray[np.bool_]
) -> tuple[LongArray, LongArray, LongArray]:
    """(buffer of every access; first and last column of every buffer, int64[2, buffers]; the same of what is read)."""
    low, high, count = accesses.low, accesses.high, len(order)
    buffer_of, whole, read = np.empty(count, np.int64), np.empty((2, count), np.int64), np.empty((2, count), np.int64)
    read[0], read[1] = 2**30, -(2**30)
    b, previous = -1, -1
    for i in range(count):
        a = order[i]
        if b < 0 or key[a] != previous or low[a] > whole[1, b] or (apart[a] and low[a] == whole[1, b]):
            b += 1
            whole[0, b], whole[1, b] = low[a], high[a]
            previous = key[a]
        whole[1, b] = max(whole[1, b], high[a])
        buffer_of[a] = b
        if is_read[a]:
            read[0, b], read[1, b] = min(read[0, b], low[a]), max(read[1, b], high[a])
    return buffer_of, whole[:, : b + 1], read[:, : b + 1]
