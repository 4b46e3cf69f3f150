"""Flow to program: replicate images, order all actions, place buffers, gather the final instruction table."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pimcomp.errors import CapacityError, InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op, Table
from pimcomp.schedule.allocate import allocate
from pimcomp.schedule.connect import Flow, GlobalLayout
from pimcomp.schedule.durations import (
    VECTOR_ONE,
    VECTOR_TWO,
    GroupShapes,
    local_read_ns,
    local_write_ns,
    memory_service_ns,
    task_durations_ns,
)
from pimcomp.schedule.list_schedule import list_schedule
from pimcomp.schedule.options import ScheduleOptions
from pimcomp.schedule.tape import SCRATCH, Tape
from pimcomp.schedule.work import LOAD, LongArray

# Fractions of the option's look-ahead, tried one after the other when memory is short.
LOOKAHEADS = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007, 0.003, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The table with its core offsets, peak memory, and per final-map segment the row after which it is complete."""

    table: Table
    core_start: LongArray
    peak_bytes: LongArray
    last_row: LongArray  # int64[images, tasks]: table row of each task's last instruction
    address: LongArray  # int64[images, buffers of one image]
    images: int


@dataclass(frozen=True, slots=True, eq=False)
class _Actions:
    """Actions of all images: constants first appear once, everything else per image."""

    core: LongArray
    peer: LongArray
    rank: LongArray
    edges: npt.NDArray[np.int64]
    flow_action: LongArray  # index into the flow's actions
    image: LongArray
    tasks: int


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """An order of all images' actions that fits local memory, with its buffers' addresses and estimated time."""

    actions: _Actions
    images: int
    order: LongArray
    address: LongArray
    peak: LongArray
    makespan_ns: float
    eager: bool  # the first look-ahead fitted


def assemble(
    flow: Flow, shapes: GroupShapes, layout: GlobalLayout, arch: Arch, options: ScheduleOptions, images: int
) -> Assembled:
    """Schedule `images` copies of a flow and build the table; fewer where several would hold each other up.

    Raises CapacityError when no order fits local memory, with the bytes that the most frugal one of them takes.
    """
    extents = _extents(flow.tape, shapes, flow.core, arch)
    scratch = _scratch_bytes(flow, extents, arch.total_cores)
    durations = task_durations_ns(flow, shapes, arch)
    peaks: list[tuple[int, int]] = []  # (bytes, core) of every order tried
    best = _fit(flow, durations, scratch, arch, options, images, peaks)
    if images > 1 and (best is None or not best.eager):
        # Short of memory: images that share it may take longer together than one after the other.
        single = _fit(flow, durations, scratch, arch, options, 1, peaks)
        if single is not None and (best is None or single.makespan_ns < best.makespan_ns / best.images):
            best = single
    if best is None:
        least, core = min(peaks)
        levers = [f"local_memory.bytes: {least}"]  # the orders do not depend on the memory: that one fits then
        raise CapacityError(f"bytes of local memory on core {core}", least, arch.local_memory_bytes, levers, arch.name)
    return _table(flow, best.actions, best.order, best.address, best.peak, layout, arch, best.images)


def _fit(
    flow: Flow,
    durations: npt.NDArray[np.float64],
    scratch: LongArray,
    arch: Arch,
    options: ScheduleOptions,
    images: int,
    peaks: list[tuple[int, int]],
) -> _Placed | None:
    """The most eager order that fits local memory, None if none does; appends what each order takes to `peaks`."""
    actions = _replicate(flow, images)
    span = int(actions.rank.max()) + 1
    for fraction in LOOKAHEADS:
        window = int(span * options.lookahead * fraction) + 1
        order, makespan_ns = _order(flow, actions, durations, arch, options, window)
        address, peak = _place(flow, order, scratch, arch, images)
        peaks.append((int(peak.max()), int(peak.argmax())))
        if peaks[-1][0] <= arch.local_memory_bytes:
            eager = fraction == LOOKAHEADS[0]
            return _Placed(actions, images, order, address, peak, makespan_ns, eager)
    return None


def _replicate(flow: Flow, images: int) -> _Actions:
    """Number actions as tasks of image 0, tasks of image 1, ..., constants, transfers of image 0, ..."""
    per_image = flow.tasks - flow.constant_tasks
    moves = len(flow.core) - flow.tasks
    image_tasks = np.tile(np.arange(per_image), images)
    constants = np.arange(per_image, flow.tasks)
    transfers = np.tile(np.arange(flow.tasks, len(flow.core)), images)
    flow_action = np.concatenate([image_tasks, constants, transfers])
    image = np.concatenate(
        [
            np.repeat(np.arange(images), per_image),
            np.zeros(len(constants), np.int64),
            np.repeat(np.arange(images), moves),
        ]
    )
    tasks = per_image * images + len(constants)
    to_constants = (flow.edges[:, 1] >= per_image) & (flow.edges[:, 1] < flow.tasks)  # they are loaded once
    edges = np.concatenate(
        [
            _number(flow.edges[~to_constants] if i else flow.edges, i, per_image, images, flow.tasks, moves)
            for i in range(images)
        ]
    )
    span = int(flow.rank.max()) + 1
    return _Actions(
        flow.core[flow_action],
        flow.peer[flow_action],
        flow.rank[flow_action] + image * span,
        edges,
        flow_action,
        image,
        tasks,
    )


def _number(action: LongArray, image: int, per_image: int, images: int, tasks: int, moves: int) -> LongArray:
    """Numbers in `_Actions` of a flow's actions, for one image."""
    task = np.where(action < per_image, action + image * per_image, action + (images - 1) * per_image)
    return np.where(action < tasks, task, action + (images - 1) * per_image + image * moves)


def _extents(tape: Tape, shapes: GroupShapes, core: LongArray, arch: Arch) -> tuple[LongArray, LongArray, LongArray]:
    """Bytes each instruction writes at dst and reads at src and src2."""
    eb = arch.element_bytes
    size = tape.size.astype(np.int64)
    vector = size * eb
    is_vector = np.isin(tape.op, np.array([*VECTOR_TWO, *VECTOR_ONE]))
    dst = np.where(is_vector, vector, size)
    src = dst.copy()
    average = tape.op == Op.VAVG
    dst[average] = eb
    src[average] = ((size[average] - 1) * tape.src2_offset[average] + 1) * eb
    fire = np.flatnonzero(tape.op == Op.MVMUL)
    group = shapes.start[core[tape.task[fire]]] + tape.group[fire]
    dst[fire], src[fire] = shapes.columns[group] * eb, shapes.rows[group] * eb
    src2 = np.where(np.isin(tape.op, np.array(VECTOR_TWO)), vector, 0)
    return dst, src, src2


def _scratch_bytes(flow: Flow, extents: tuple[LongArray, LongArray, LongArray], cores: int) -> LongArray:
    """Scratch area of every core: the furthest byte any of its instructions touches there."""
    tape = flow.tape
    need = np.zeros(cores, dtype=np.int64)
    core = flow.core[tape.task]
    for buffer, offset, extent in zip(
        (tape.dst_buffer, tape.src_buffer, tape.src2_buffer),
        (tape.dst_offset, tape.src_offset, tape.src2_offset),
        extents,
        strict=True,
    ):
        inside = buffer == SCRATCH
        np.maximum.at(need, core[inside], (offset + extent)[inside])
    return need


def _order(
    flow: Flow, actions: _Actions, durations: npt.NDArray[np.float64], arch: Arch, options: ScheduleOptions, window: int
) -> tuple[LongArray, float]:
    """Commit order of all actions and its estimated makespan in ns."""
    count = len(actions.core)
    task = actions.flow_action[: actions.tasks]
    duration = np.zeros(count)
    duration[: actions.tasks] = durations[task]
    memory = np.zeros(count)
    memory[: actions.tasks] = memory_service_ns(flow, arch)[task]
    move = actions.flow_action[actions.tasks :] - flow.tasks
    size = flow.transfers.bytes[move]
    read, write, latency, flits = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count)
    read[actions.tasks :] = local_read_ns(size, arch)
    write[actions.tasks :] = local_write_ns(size, arch)
    latency[actions.tasks :] = arch.noc_latency_ns[actions.core[actions.tasks :], actions.peer[actions.tasks :]]
    flits[actions.tasks :] = -(-size // arch.bus_width_bytes)
    by_source = np.argsort(actions.edges[:, 0], kind="stable")
    edge_start = np.searchsorted(actions.edges[by_source, 0], np.arange(count + 1))
    order, _, makespan = list_schedule(
        actions.tasks, actions.core, actions.peer, actions.rank, duration, memory, read, write, latency, flits,
        edge_start, actions.edges[by_source, 1], np.bincount(actions.edges[:, 1], minlength=count),
        arch.total_cores, options.slack_ns, window,
    )  # fmt: skip
    if makespan < 0 or len(order) != count:
        raise InvariantError(f"the task graph has a cycle: {count - len(order)} of {count} actions can never start")
    return np.asarray(order), float(makespan)


def _place(flow: Flow, order: LongArray, scratch: LongArray, arch: Arch, images: int) -> tuple[LongArray, LongArray]:
    """Addresses int64[images, buffers] of all buffers and the peak per core; constants and scratch lie below."""
    gap = arch.element_bytes
    buffers = flow.buffers
    count = len(buffers.core)
    constants = np.arange(count - flow.constant_tasks, count)
    base = np.where(scratch > 0, scratch + gap, 0)
    address = np.zeros((images, count), dtype=np.int64)
    for b in constants:  # one per (core, node): few
        address[:, b] = base[buffers.core[b]]
        base[buffers.core[b]] += buffers.bytes[b] + gap
    base = -(-base // gap) * gap
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    first = np.full((images, count), len(order), dtype=np.int64)
    last = np.full((images, count), -1, dtype=np.int64)
    per_image, moves = flow.tasks - flow.constant_tasks, len(flow.core) - flow.tasks
    for image in range(images):
        at = position[_number(flow.touches[:, 1], image, per_image, images, flow.tasks, moves)]
        np.minimum.at(first[image], flow.touches[:, 0], at)
        np.maximum.at(last[image], flow.touches[:, 0], at)
    dynamic = np.arange(count - flow.constant_tasks)
    core = np.tile(buffers.core[dynamic], images)
    flat_first, flat_last = first[:, dynamic].ravel(), last[:, dynamic].ravel()
    by_core = np.lexsort((flat_first, core))
    placed, peak = allocate(
        core[by_core],
        flat_first[by_core],
        flat_last[by_core],
        np.tile(buffers.bytes[dynamic], images)[by_core],
        base,
        gap,
    )
    flat = np.empty(len(placed), dtype=np.int64)
    flat[by_core] = placed
    address[:, dynamic] = flat.reshape(images, -1)
    return address, peak


def _table(
    flow: Flow,
    actions: _Actions,
    order: LongArray,
    address: LongArray,
    peak: LongArray,
    layout: GlobalLayout,
    arch: Arch,
    images: int,
) -> Assembled:
    """Gather rows of tasks and transfers in commit order, zero fills in front of their first reader, then split by
    core."""
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    pieces = [
        _task_rows(flow, actions, position, address, layout),
        _move_rows(flow, actions, position, address),
        _pad_rows(flow, position, address, images),
    ]
    columns = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
    by_time = np.lexsort((columns["sub"], columns["position"]))
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
    return Assembled(table, core_start, peak, last_row, address, images)


def _task_rows(
    flow: Flow, actions: _Actions, position: LongArray, address: LongArray, layout: GlobalLayout
) -> dict[str, LongArray]:
    """Rows of all tasks of all images with addresses filled in."""
    tape = flow.tape
    task = actions.flow_action[: actions.tasks]
    counts = np.diff(flow.task_rows)[task]
    starts = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    row = np.repeat(flow.task_rows[task], counts) + within
    action = np.repeat(np.arange(actions.tasks), counts)
    image = actions.image[action]

    def resolve(buffer: npt.NDArray[np.int32], offset: LongArray) -> LongArray:
        chosen = buffer[row]
        base = np.where(chosen >= 0, address[image, np.maximum(chosen, 0)], 0)
        return np.asarray(base + offset[row], dtype=np.int64)

    op = tape.op[row].astype(np.int64)
    node = flow.node[task][action]
    src, dst = resolve(tape.src_buffer, tape.src_offset), resolve(tape.dst_buffer, tape.dst_offset)
    image_offset = image * layout.image_bytes
    loads_input = (op == Op.LD) & (flow.kind[task][action] == LOAD)
    return {
        "op": op,
        "group": tape.group[row].astype(np.int64),
        "dst": dst + np.where(op == Op.ST, image_offset, 0),
        "src": src + np.where(loads_input, image_offset, 0),
        "src2": resolve(tape.src2_buffer, tape.src2_offset),
        "size": tape.size[row].astype(np.int64),
        "peer": np.full(len(row), -1, dtype=np.int64),
        "node": node,
        "core": actions.core[action],
        "position": position[action],
        "sub": within,
        "action": action,
    }


def _move_rows(flow: Flow, actions: _Actions, position: LongArray, address: LongArray) -> dict[str, LongArray]:
    """A send and a recv per transfer."""
    number = np.arange(actions.tasks, len(actions.core))
    move = actions.flow_action[number] - flow.tasks
    image, t = actions.image[number], flow.transfers
    zeros = np.zeros(len(move), dtype=np.int64)
    node = flow.node[t.producer[move]]
    src, dst = (
        address[image, t.src_buffer[move]] + t.src_offset[move],
        address[image, t.dst_buffer[move]] + t.dst_offset[move],
    )

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


def _pad_rows(flow: Flow, position: LongArray, address: LongArray, images: int) -> dict[str, LongArray]:
    """Zero fills of padding, in front of the first task that reads the buffer."""
    per_image, moves = flow.tasks - flow.constant_tasks, len(flow.core) - flow.tasks
    buffer, offset, size = flow.pads.T
    parts = []
    for image in range(images):
        reader = _number(flow.readers[:, 1], image, per_image, images, flow.tasks, moves)
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
