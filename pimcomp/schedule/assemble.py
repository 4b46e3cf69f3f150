"""Ordered actions to program: gather the final instruction table."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op, Table
from pimcomp.schedule.connect import Flow, GlobalLayout
from pimcomp.schedule.order import Placed, number_in
from pimcomp.schedule.spill import UNMOVED, Spilled
from pimcomp.schedule.work import LOAD, LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The table with its core offsets, peak memory, and per final-map segment the row after which it is complete."""

    table: Table
    core_start: LongArray
    peak_bytes: LongArray
    last_row: LongArray  # int64[images, tasks]: table row of each task's last instruction
    address: LongArray  # int64[images, buffers of one image]
    images: int


def assemble(flow: Flow, placed: Placed, layout: GlobalLayout, arch: Arch) -> Assembled:
    """Gather rows of tasks and transfers in commit order, zero fills in front of their first reader, then split by
    core."""
    actions, order, address, images = placed.actions, placed.timed.order, placed.address, placed.images
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    pieces = [
        _task_rows(flow, placed, position, layout),
        _move_rows(flow, placed, position),
        _pad_rows(flow, position, placed),
    ]
    if placed.spilled is not None:
        pieces.append(_spill_rows(flow, placed.spilled, len(order)))
    columns = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
    added = columns["action"] == len(order)
    by_time = np.lexsort((~added, columns["sub"], columns["position"]))
    columns = {name: column[by_time] for name, column in columns.items()}
    by_core = np.argsort(columns["core"], kind="stable")
    final = {name: column[by_core] for name, column in columns.items()}
    rows = len(by_core)
    table = Table(
        op=final["op"].astype(np.uint8),
        group=final["group"].astype(np.int32),
        dst=final["dst"],
        src=final["src"],
        src2=final["src2"],
        size=final["size"].astype(np.int32),
        peer=final["peer"].astype(np.int32),
        relu=np.zeros(rows, np.uint8),
        node=final["node"].astype(np.int32),
        order=by_core.astype(np.int64),
    )
    core_start = np.searchsorted(final["core"], np.arange(arch.total_cores + 1))
    last_row = np.full((images, flow.tasks), -1, dtype=np.int64)
    is_task = (final["action"] < actions.tasks) & (final["sub"] >= 0)
    owners = final["action"][is_task]
    np.maximum.at(last_row, (actions.image[owners], actions.flow_action[owners]), np.flatnonzero(is_task))
    return Assembled(table, core_start, placed.peak, last_row, address, images)


def _task_rows(flow: Flow, placed: Placed, position: LongArray, layout: GlobalLayout) -> dict[str, LongArray]:
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
    node = flow.node[task][action]
    src, dst = resolve(1, tape.src_buffer, tape.src_offset), resolve(0, tape.dst_buffer, tape.dst_offset)
    image_offset = image * layout.image_bytes
    loads_input = (op == Op.LD) & (flow.kind[task][action] == LOAD)
    return {
        "op": op,
        "group": tape.group[row].astype(np.int64),
        "dst": dst + np.where(op == Op.ST, image_offset, 0),
        "src": src + np.where(loads_input, image_offset, 0),
        "src2": resolve(2, tape.src2_buffer, tape.src2_offset),
        "size": tape.size[row].astype(np.int64),
        "peer": np.full(len(row), -1, dtype=np.int64),
        "node": node,
        "core": actions.core[action],
        "position": position[action],
        "sub": within,
        "action": action,
    }


def _move_rows(flow: Flow, placed: Placed, position: LongArray) -> dict[str, LongArray]:
    """A send and a recv per transfer."""
    actions, address = placed.actions, placed.address
    number = np.arange(actions.tasks, len(actions.core))
    move = actions.flow_action[number] - flow.tasks
    image, t = actions.image[number], flow.transfers
    zeros = np.zeros(len(move), dtype=np.int64)
    node = flow.node[t.producer[move]]
    src, dst = address[image, t.src_buffer[move]], address[image, t.dst_buffer[move]]
    if placed.spilled is not None:
        at = placed.spilled.move[image, :, move]
        src, dst = np.where(at[:, 0] == UNMOVED, src, at[:, 0]), np.where(at[:, 1] == UNMOVED, dst, at[:, 1])
    src, dst = src + t.src_offset[move], dst + t.dst_offset[move]

    def both(send: LongArray, recv: LongArray) -> LongArray:
        return np.stack([send, recv], axis=1).ravel()

    return {
        "op": both(zeros + Op.SEND, zeros + Op.RECV),
        "group": both(zeros - 1, zeros - 1),
        "dst": both(zeros, dst),
        "src": both(src, zeros),
        "src2": both(zeros, zeros),
        "size": np.repeat(t.bytes[move], 2),
        "peer": both(t.dst_core[move], t.src_core[move]),
        "node": np.repeat(node, 2),
        "core": both(t.src_core[move], t.dst_core[move]),
        "position": np.repeat(position[number], 2),
        "sub": both(zeros, zeros + 1),
        "action": np.repeat(number, 2),
    }


def _pad_rows(flow: Flow, position: LongArray, placed: Placed) -> dict[str, LongArray]:
    """Zero fills of padding, in front of the first task that reads the buffer; spilling cores have their own."""
    per_image, moves = flow.tasks - flow.constant_tasks, len(flow.core) - flow.tasks
    address, images, pads = placed.address, placed.images, flow.pads
    if placed.spilled is not None:
        pads = pads[~placed.spilled.spilling[flow.buffers.core[pads[:, 0]]]]
    buffer, offset, size = pads.T
    parts = []
    for image in range(images):
        reader = number_in(flow.readers[:, 1], image, per_image, images, flow.tasks, moves)
        first = np.full(len(flow.buffers.core), len(position), dtype=np.int64)
        np.minimum.at(first, flow.readers[:, 0], position[reader])
        used = first[buffer] < len(position)
        chosen = buffer[used]
        zeros = np.zeros(len(chosen), dtype=np.int64)
        parts.append(
            {
                "op": zeros + Op.LLDI,
                "group": zeros - 1,
                "dst": address[image, chosen] + offset[used],
                "src": zeros,
                "src2": zeros,
                "size": size[used],
                "peer": zeros - 1,
                "node": flow.buffers.tensor[chosen],
                "core": flow.buffers.core[chosen],
                "position": first[chosen],
                "sub": zeros - 1,
                "action": zeros,
            }
        )
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _spill_rows(flow: Flow, spilled: Spilled, actions: int) -> dict[str, LongArray]:
    """Loads, stores and zero fills of buffers that wait in global memory, in front of who needs them."""
    position, sub, core, op, dst, src, size, buffer = spilled.added.T
    zeros = np.zeros(len(op), dtype=np.int64)
    return {
        "op": op,
        "group": zeros - 1,
        "dst": dst,
        "src": src,
        "src2": zeros,
        "size": size,
        "peer": zeros - 1,
        "node": flow.buffers.tensor[buffer],
        "core": core,
        "position": position,
        "sub": sub,
        "action": zeros + actions,
    }
