"""The instructions of all tasks of one image: counted first, then written in their places."""

import numpy as np

from pimcomp.ir.program import Op
from pimcomp.schedule.buffers import Maps, Places, sum_buffers
from pimcomp.schedule.building.build import TaskWork
from pimcomp.schedule.constants import Constants
from pimcomp.schedule.emission.conv import emit_conv, emit_join
from pimcomp.schedule.emission.finish import Desk
from pimcomp.schedule.emission.scatter import emit_scatter
from pimcomp.schedule.emission.tape import Tape, pen_for
from pimcomp.schedule.emission.vector import emit_vector
from pimcomp.schedule.global_layout import GlobalLayout
from pimcomp.schedule.work import CONST, LOAD, STORE, LongArray


def write_tasks(
    work: TaskWork, places: Places, maps: Maps, constants: Constants, layout: GlobalLayout, element_bytes: int
) -> tuple[Tape, LongArray]:
    """Relocatable instructions in task order, and where each task's begin, int64[tasks + 1]."""
    first, tasks = places.first_sum, work.tasks
    conv = work.conv._replace(total=np.where(work.conv.total >= 0, work.conv.total + first, -1))
    join = work.join._replace(total=work.join.total + first)
    parts = work.part_sums._replace(sum=work.part_sums.sum + first)
    contributions = work.contributions._replace(total=sum_buffers(work, places))
    desk = Desk(tasks, places.of_task, places.of_constants, places.of_read, places.buffers.low, constants.finish)
    counts = np.isin(tasks.kind, (LOAD, STORE, CONST)).astype(np.int64)  # these are one instruction each
    pen = pen_for(np.zeros_like(counts), element_bytes)._replace(row=counts)  # counts
    for _ in range(2):
        emit_conv(pen, desk, conv, work.templates)
        emit_join(pen, desk, join, parts)
        emit_scatter(pen, desk, work.scatter, work.templates, contributions)
        emit_vector(pen, desk, work.vector, work.vector_nodes)
        if pen.row is counts:
            rows, pen = np.cumsum([0, *counts]), pen_for(counts, element_bytes)
    _move_memory(pen.tape, rows, work, places, maps, layout)
    return pen.tape, rows


def _move_memory(tape: Tape, rows: LongArray, work: TaskWork, places: Places, maps: Maps, layout: GlobalLayout) -> None:
    """Loads of input rows and constants, stores of results: one instruction each, at `rows`."""
    tasks, buffers = work.tasks, places.buffers
    pixel = maps.pixel_bytes[tasks.node]
    in_map = tasks.row * maps.width[tasks.node] * pixel + tasks.start * pixel
    load, store = np.flatnonzero(tasks.kind == LOAD), np.flatnonzero(tasks.kind == STORE)
    constant = np.flatnonzero(tasks.kind == CONST)
    read_of = np.zeros(len(tasks.kind), dtype=np.int64)
    read_of[work.reads.task[::-1]] = places.of_read[::-1]  # the first of each task
    for task, op, buffer in ((load, Op.LD, places.of_task[load]), (store, Op.ST, read_of[store])):
        at, local = rows[task], (tasks.start[task] - buffers.low[buffer]) * pixel[task]
        tape.op[at], tape.size[at] = op, ((tasks.stop - tasks.start) * pixel)[task]
        if op == Op.LD:
            tape.dst_buffer[at], tape.dst_offset[at] = buffer, local
            tape.src_offset[at] = layout.loaded[tasks.node[task]] + in_map[task]
        else:
            tape.src_buffer[at], tape.src_offset[at] = buffer, local
            tape.dst_offset[at] = layout.stored[tasks.node[task]] + in_map[task]
    at, buffer = rows[constant], np.arange(len(buffers.core) - len(constant), len(buffers.core))
    tape.op[at], tape.size[at], tape.dst_buffer[at] = Op.LD, buffers.bytes[buffer], buffer
    tape.src_offset[at] = layout.constants[tasks.node[constant]]
    tape.dst_offset[at] = 0
