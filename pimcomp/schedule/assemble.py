"""Ordered actions to program: gather the final instruction table."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op, Table
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.global_layout import GlobalLayout
from pimcomp.schedule.ordering.placing import Placed, positions
from pimcomp.schedule.ordering.rounds import lives
from pimcomp.schedule.ordering.spill import UNMOVED, Spilled
from pimcomp.schedule.work import LOAD, LongArray, same, select, stack


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The table with its core offsets, peak memory, and per final-map segment the row after which it is complete."""

    table: Table
    core_start: LongArray
    peak_bytes: LongArray
    last_row: LongArray  # int64[images, tasks]: table row of each task's last instruction
    address: LongArray  # int64[images, buffers of one image]
    images: int


class _Rows(NamedTuple):
    """Rows of the table, before they have their places: by position in the order of actions and `sub` within it."""

    op: LongArray
    group: LongArray
    dst: LongArray
    src: LongArray
    src2: LongArray
    size: LongArray
    peer: LongArray
    node: LongArray
    core: LongArray
    position: LongArray
    sub: LongArray
    action: LongArray


def assemble(flow: Flow, placed: Placed, layout: GlobalLayout, arch: Arch) -> Assembled:
    """Gather rows of tasks and transfers in commit order, zero fills in front of their first reader, then split by
    core."""
    actions, order, address, images = placed.actions, placed.timed.order, placed.address, placed.images
    position = positions(order)
    pieces = [
        _task_rows(flow, placed, position, layout),
        _move_rows(flow, placed, position),
        _pad_rows(flow, position, placed),
    ]
    if placed.spilled is not None:
        pieces.append(_spill_rows(flow, placed.spilled, len(order)))
    rows = stack(*pieces)
    rows = select(rows, np.lexsort((rows.action != len(order), rows.sub, rows.position)))
    by_core = np.argsort(rows.core, kind="stable")
    rows = select(rows, by_core)
    table = Table(
        op=rows.op.astype(np.uint8),
        group=rows.group.astype(np.int32),
        dst=rows.dst,
        src=rows.src,
        src2=rows.src2,
        size=rows.size.astype(np.int32),
        peer=rows.peer.astype(np.int32),
        relu=np.zeros(len(by_core), np.uint8),
        node=rows.node.astype(np.int32),
        order=by_core.astype(np.int64),
    )
    core_start = np.searchsorted(rows.core, np.arange(arch.total_cores + 1))
    last_row = np.full((images, flow.tasks), -1, dtype=np.int64)
    is_task = (rows.action < actions.tasks) & (rows.sub >= 0)
    owners = rows.action[is_task]
    np.maximum.at(last_row, (actions.image[owners], actions.flow_action[owners]), np.flatnonzero(is_task))
    return Assembled(table, core_start, placed.peak, last_row, address, images)


def _task_rows(flow: Flow, placed: Placed, position: LongArray, layout: GlobalLayout) -> _Rows:
    """Rows of all tasks of all images with addresses filled in."""
    tape, actions, address = flow.tape, placed.actions, placed.address
    task = actions.flow_action[: actions.tasks]
    counts = np.diff(flow.task_rows)[task]
    starts = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    row = np.repeat(flow.task_rows[task], counts) + within
    action = np.repeat(np.arange(actions.tasks), counts)
    image = actions.image[action]

    def resolve(place: int, buffer: npt.NDArray[np.int32], offset: LongArray) -> LongArray:
        chosen = buffer[row]
        base = np.where(chosen >= 0, address[image, np.maximum(chosen, 0)], 0)
        if placed.spilled is not None:
            at = placed.spilled.operand[image, place, row]
            base = np.where(at == UNMOVED, base, at)
        return np.asarray(base + offset[row], dtype=np.int64)

    op = tape.op[row].astype(np.int64)
    node = flow.task.node[task][action]
    src, dst = resolve(1, tape.src_buffer, tape.src_offset), resolve(0, tape.dst_buffer, tape.dst_offset)
    image_offset = image * layout.image_bytes
    loads_input = (op == Op.LD) & (flow.task.kind[task][action] == LOAD) & (layout.loaded[node] >= layout.first_image)
    return _Rows(
        op=op,
        group=tape.group[row].astype(np.int64),
        dst=dst + np.where(op == Op.ST, image_offset, 0),
        src=src + np.where(loads_input, image_offset, 0),
        src2=resolve(2, tape.src2_buffer, tape.src2_offset),
        size=tape.size[row].astype(np.int64),
        peer=np.full(len(row), -1, dtype=np.int64),
        node=node,
        core=actions.core[action],
        position=position[action],
        sub=within,
        action=action,
    )


def _move_rows(flow: Flow, placed: Placed, position: LongArray) -> _Rows:
    """A send and a recv per transfer."""
    actions, address = placed.actions, placed.address
    number = np.arange(actions.tasks, len(actions.core))
    move = actions.flow_action[number] - flow.tasks
    image, t = actions.image[number], flow.transfers
    zeros = np.zeros(len(move), dtype=np.int64)
    node = flow.task.node[t.producer[move]]
    src, dst = address[image, t.src_buffer[move]], address[image, t.dst_buffer[move]]
    if placed.spilled is not None:
        at = placed.spilled.move[image, :, move]
        src, dst = np.where(at[:, 0] == UNMOVED, src, at[:, 0]), np.where(at[:, 1] == UNMOVED, dst, at[:, 1])
    src, dst = src + t.src_offset[move], dst + t.dst_offset[move]

    def both(send: LongArray, recv: LongArray) -> LongArray:
        return np.stack([send, recv], axis=1).ravel()

    core, peer = both(t.src_core[move], t.dst_core[move]), both(t.dst_core[move], t.src_core[move])
    place = (np.repeat(position[number], 2), both(zeros, zeros + 1), np.repeat(number, 2))
    rows = _blank(both(zeros + Op.SEND, zeros + Op.RECV), core, np.repeat(node, 2), *place)
    return rows._replace(dst=both(zeros, dst), src=both(src, zeros), size=np.repeat(t.bytes[move], 2), peer=peer)


def _pad_rows(flow: Flow, position: LongArray, placed: Placed) -> _Rows:
    """Zero fills of padding, in front of the first task that reads the buffer; spilling cores have their own."""
    address, images, pads = placed.address, placed.images, flow.pads
    if placed.spilled is not None:
        pads = pads[~placed.spilled.spilling[flow.buffers.core[pads[:, 0]]]]
    buffer, offset, size = pads.T
    parts = []
    for image in range(images):
        number = placed.actions.number[image]
        life = lives(len(flow.buffers.core), flow.readers, position[number], placed.actions.stage[number])
        used = life.used[buffer]
        chosen = buffer[used]
        zeros, buffers = np.zeros_like(chosen), flow.buffers
        place = (life.first[chosen], zeros - 1, zeros)
        rows = _blank(zeros + Op.LLDI, buffers.core[chosen], buffers.tensor[chosen], *place)
        parts.append(rows._replace(dst=address[image, chosen] + offset[used], size=size[used]))
    return stack(*parts)


def _spill_rows(flow: Flow, spilled: Spilled, actions: int) -> _Rows:
    """Loads, stores and zero fills of buffers that wait in global memory, in front of who needs them."""
    t = spilled.added
    rows = _blank(t.op, t.core, flow.buffers.tensor[t.buffer], t.position, t.sub, same(actions, t.op))
    return rows._replace(dst=t.dst, src=t.src, size=t.size)


def _blank(
    op: LongArray, core: LongArray, node: LongArray, position: LongArray, sub: LongArray, action: LongArray
) -> _Rows:
    """Rows without operands, array groups and peers."""
    none = np.zeros_like(op)
    return _Rows(op, none - 1, none, none, none, none, none - 1, node, core, position, sub, action)
