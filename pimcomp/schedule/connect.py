"""One image's flow of data: which buffers exist, what fills them, what depends on what, and every task's
instructions."""

from dataclasses import dataclass

import numpy as np

from pimcomp.ir.graph import IntArray
from pimcomp.schedule.buffers import Maps, pads_of, place_buffers, touches_of
from pimcomp.schedule.building.build import TaskWork
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.tape import Tape
from pimcomp.schedule.global_layout import GlobalLayout
from pimcomp.schedule.links import link
from pimcomp.schedule.work import Buffers, Edges, LongArray, MapSegments, Tasks, Transfers
from pimcomp.schedule.write_tasks import write_tasks


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Actions of one image (tasks, then transfers) with all buffers and dependencies resolved.

    Per action: its core, the peer of a transfer (else -1) and its rank. buffers: row buffers, then partial sums, then
    constants, which the last `constant_tasks` tasks load. touches: int64[n, 2] (buffer, action) pairs. readers:
    int64[n, 2] (buffer, task). pads: per zero-filled stretch (buffer, offset, bytes). tape rows of task t:
    [task_rows[t], task_rows[t + 1]). A segment is in its buffer, in bytes [low, high) of it (segment_bytes:
    int64[segments, 2]).
    """

    core: LongArray
    peer: LongArray
    rank: LongArray
    edges: Edges
    buffers: Buffers
    transfers: Transfers
    touches: LongArray
    readers: LongArray
    pads: LongArray
    tape: Tape
    task_rows: LongArray
    task: Tasks
    constant_tasks: int
    segments: MapSegments
    segment_buffer: LongArray
    segment_bytes: LongArray

    @property
    def tasks(self) -> int:
        """How many of the actions are tasks."""
        return len(self.task.kind)


def connect(
    work: TaskWork,
    maps: Maps,
    pull: list[IntArray],
    constants: Constants,
    layout: GlobalLayout,
    element_bytes: int,
    cores: int,
) -> Flow:
    """Resolve buffers, transfers, dependencies and relocatable instructions; pull: rank of every row of every node."""
    tasks, segments = work.tasks, work.segments
    places = place_buffers(work, maps, constants, element_bytes, cores)
    transfers, edges, rank = link(work, places, maps, pull)
    tape, task_rows = write_tasks(work, places, maps, constants, layout, element_bytes)
    moves = len(tasks.kind) + np.arange(len(transfers.bytes))
    ends = [np.stack([buffer, moves], axis=1) for buffer in (transfers.src_buffer, transfers.dst_buffer)]
    valid = work.reads.valid > 0
    columns = np.stack([segments.low, segments.high], axis=1) - places.buffers.low[places.of_segment][:, None]
    return Flow(
        core=np.concatenate([tasks.core, transfers.src_core]),
        peer=np.concatenate([np.full(len(tasks.kind), -1), transfers.dst_core]),
        rank=rank,
        edges=edges,
        buffers=places.buffers,
        transfers=transfers,
        touches=np.concatenate([touches_of(work, places), *ends]),
        readers=np.stack([places.of_read[valid], work.reads.task[valid]], axis=1),
        pads=pads_of(places, maps),
        tape=tape,
        task_rows=task_rows,
        task=tasks,
        constant_tasks=work.constant_tasks,
        segments=segments,
        segment_buffer=places.of_segment,
        segment_bytes=columns * maps.pixel_bytes[segments.node][:, None],
    )
