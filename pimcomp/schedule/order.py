"""When everything happens and where it lies: images replicated, all actions ordered, buffers placed in local memory."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.isa.operands import operand_bytes
from pimcomp.isa.table import MATRIX, UNIT
from pimcomp.schedule.allocate import allocate
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.durations import (
    GroupShapes,
    added_service_ns,
    memory_service_ns,
    task_durations_ns,
)
from pimcomp.schedule.emission.tape import SCRATCH, Tape
from pimcomp.schedule.list_schedule import (
    DURATION_NS,
    FLITS,
    LATENCY_NS,
    MEMORY_NS,
    READ_NS,
    WRITE_NS,
    list_schedule,
)
from pimcomp.schedule.spill import Spilled, buffer_touches, most_held, spill
from pimcomp.schedule.work import LongArray

# Fractions of the option's look-ahead, tried one after the other when memory is short; below them spilling is faster.
LOOKAHEADS = (1.0, 0.5, 0.25, 0.12)
# With spills: how far to run ahead trades waiting for copies to and from global memory.
SPILL_LOOKAHEADS = (0.5, 0.12)
# Slack and look-ahead of further orders, as multiples of the options': which is best differs from program to program.
ORDERS = ((0.7, 1.0), (1.4, 1.0), (0.5, 1.0), (0.7, 0.5), (1.0, 0.5), (1.4, 0.5), (0.5, 0.5))


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """Actions of all images: constants first appear once, everything else per image."""

    core: LongArray
    peer: LongArray
    rank: LongArray
    edges: npt.NDArray[np.int64]
    flow_action: LongArray  # index into the flow's actions
    image: LongArray
    tasks: int


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A commit order of all actions; estimated starts, what each action waited for last (-1: nothing), and the end."""

    order: LongArray
    start: npt.NDArray[np.float64]
    cause: LongArray
    makespan_ns: float


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An order of all images' actions that fits local memory, with its buffers' addresses and estimated time."""

    actions: Actions
    images: int
    address: LongArray
    peak: LongArray
    timed: Timed
    eager: bool  # the first look-ahead fitted
    spilled: Spilled | None = None  # what buffers that wait in global memory need
    spilling_ns: float = 0.0

    @property
    def image_ns(self) -> float:
        """Estimated time per image."""
        return (self.timed.makespan_ns + self.spilling_ns) / self.images


def place_actions(flow: Flow, shapes: GroupShapes, arch: Arch, options: ScheduleOptions, images: int) -> Placed | None:
    """Order `images` copies of a flow and place their buffers; fewer where several would hold each other up.

    None when no order fits local memory.
    """
    scratch = _scratch_bytes(flow, _extents(flow.tape, shapes, flow.core, arch), arch.total_cores)
    durations = task_durations_ns(flow, shapes, arch)
    best = _fit(flow, durations, scratch, arch, options, images)
    if images > 1 and (best is None or not best.eager):
        # Short of memory: images that share it may take longer together than one after the other.
        single = _fit(flow, durations, scratch, arch, options, 1)
        if single is not None and (best is None or single.image_ns < best.image_ns):
            best = single
    elif best is not None and best.eager:
        for slack, lookahead in ORDERS[: options.orders - 1]:
            changed = replace(options, slack_ns=slack * options.slack_ns, lookahead=lookahead * options.lookahead)
            other = _fit(flow, durations, scratch, arch, changed, images)
            if other is not None and other.image_ns < best.image_ns:
                best = other
    return best


def place_with_spills(
    flow: Flow, shapes: GroupShapes, arch: Arch, options: ScheduleOptions, images: int, global_start: int
) -> Placed | None:
    """Order `images` copies of a flow or one; buffers that find no room wait in global memory, from byte `global_start`
    on. With `options.orders` 1, only one order is tried.

    None when `least_memory` is not there.
    """
    if least_memory(flow, shapes, arch)[0] > arch.local_memory_bytes:
        return None
    extents = _extents(flow.tape, shapes, flow.core, arch)
    scratch = _scratch_bytes(flow, extents, arch.total_cores)
    durations = task_durations_ns(flow, shapes, arch)
    tries = [(fraction, images) for fraction in SPILL_LOOKAHEADS] + [(SPILL_LOOKAHEADS[0], 1)] * (images > 1)
    best: Placed | None = None
    for fraction, count in tries[: options.orders]:
        actions = _replicate(flow, count)
        window = int((int(actions.rank.max()) + 1) * options.lookahead * fraction) + 1
        timed = _order(flow, actions, durations, arch, options, window)
        address, peak = _place(flow, timed.order, scratch, arch, count)
        over = peak > arch.local_memory_bytes
        touches = buffer_touches(flow, extents, _positions(flow, timed.order, count), over)
        limit, gap = arch.local_memory_bytes, arch.element_bytes
        spilled = spill(flow, count, touches, _above(scratch, arch), limit, gap, global_start)
        # The memory serves one request after the other, and whoever asks waits.
        waiting_ns = added_service_ns(spilled.added, arch)
        placed = Placed(actions, count, address, np.where(over, spilled.peak, peak), timed, False, spilled, waiting_ns)
        if best is None or placed.image_ns < best.image_ns:
            best = placed
    return best


def _positions(flow: Flow, order: LongArray, images: int) -> LongArray:
    """int64[images, actions of the flow], in the order."""
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    per_image, moves = flow.tasks - flow.constant_tasks, len(flow.core) - flow.tasks
    every = np.arange(len(flow.core))
    return np.stack([position[number_in(every, i, per_image, images, flow.tasks, moves)] for i in range(images)])


def least_memory(flow: Flow, shapes: GroupShapes, arch: Arch) -> tuple[int, int]:
    """Bytes of local memory that spilling needs, and on which core: scratch and the operands of one instruction."""
    extents = _extents(flow.tape, shapes, flow.core, arch)
    every = np.ones(arch.total_cores, dtype=bool)
    held = most_held(buffer_touches(flow, extents, np.arange(len(flow.core))[None], every), arch)
    needed = held + _above(_scratch_bytes(flow, extents, arch.total_cores), arch)
    return int(needed.max()), int(needed.argmax())


def _above(scratch: LongArray, arch: Arch) -> LongArray:
    """The first address of every core behind its scratch area."""
    gap = arch.element_bytes
    return np.asarray(np.where(scratch > 0, -(-scratch // gap) * gap + gap, 0), dtype=np.int64)


def _fit(
    flow: Flow,
    durations: npt.NDArray[np.float64],
    scratch: LongArray,
    arch: Arch,
    options: ScheduleOptions,
    images: int,
) -> Placed | None:
    """The most eager order that fits local memory, None if none does."""
    actions = _replicate(flow, images)
    span = int(actions.rank.max()) + 1
    for fraction in LOOKAHEADS:
        window = int(span * options.lookahead * fraction) + 1
        timed = _order(flow, actions, durations, arch, options, window)
        address, peak = _place(flow, timed.order, scratch, arch, images)
        if peak.max() <= arch.local_memory_bytes:
            eager = fraction == LOOKAHEADS[0]
            return Placed(actions, images, address, peak, timed, eager)
    return None


def _replicate(flow: Flow, images: int) -> Actions:
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
            number_in(flow.edges[~to_constants] if i else flow.edges, i, per_image, images, flow.tasks, moves)
            for i in range(images)
        ]
    )
    span = int(flow.rank.max()) + 1
    return Actions(
        flow.core[flow_action],
        flow.peer[flow_action],
        flow.rank[flow_action] + image * span,
        edges,
        flow_action,
        image,
        tasks,
    )


def number_in(action: LongArray, image: int, per_image: int, images: int, tasks: int, moves: int) -> LongArray:
    """Numbers in `Actions` of a flow's actions, for one image."""
    task = np.where(action < per_image, action + image * per_image, action + (images - 1) * per_image)
    return np.where(action < tasks, task, action + (images - 1) * per_image + image * moves)


def _extents(tape: Tape, shapes: GroupShapes, core: LongArray, arch: Arch) -> tuple[LongArray, LongArray, LongArray]:
    """Bytes each instruction writes at dst and reads at src and src2."""
    eb = np.int64(arch.element_bytes)
    matrix = np.zeros((2, len(tape.op)), np.int64)
    fire = np.flatnonzero(UNIT[tape.op] == MATRIX)
    group = shapes.start[core[tape.task[fire]]] + tape.group[fire]
    matrix[:, fire] = shapes.rows[group], shapes.columns[group]
    dst, src, src2 = operand_bytes(tape.op, tape.size, tape.src2_offset, matrix, (eb, eb))
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
    flow: Flow, actions: Actions, durations: npt.NDArray[np.float64], arch: Arch, options: ScheduleOptions, window: int
) -> Timed:
    """Commit order and estimated times of all actions."""
    count, first = len(actions.core), actions.tasks
    task, move = actions.flow_action[:first], actions.flow_action[first:] - flow.tasks
    times = np.zeros((count, 4))
    times[:first, DURATION_NS] = durations[task]
    times[:first, MEMORY_NS] = memory_service_ns(flow, arch)[task]
    size = flow.transfers.bytes[move]
    times[first:, READ_NS], times[first:, WRITE_NS] = arch.local_read_ns(size), arch.local_write_ns(size)
    times[first:, LATENCY_NS] = arch.noc_latency_ns[actions.core[first:], actions.peer[first:]]
    times[first:, FLITS] = -(-size // arch.bus_width_bytes)
    who = np.column_stack([actions.core, actions.peer, actions.rank])
    by_source = np.argsort(actions.edges[:, 0], kind="stable")
    edge_start = np.searchsorted(actions.edges[by_source, 0], np.arange(count + 1))
    order, start, cause, makespan = list_schedule(
        first, who, times, edge_start, actions.edges[by_source, 1], arch.total_cores, options.slack_ns, window
    )
    if len(order) != count:
        raise InvariantError(f"the task graph has a cycle: {count - len(order)} of {count} actions can never start")
    return Timed(order, start, cause, makespan)


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
    position = _positions(flow, order, images)
    first = np.full((images, count), len(order), dtype=np.int64)
    last = np.full((images, count), -1, dtype=np.int64)
    for image in range(images):
        at = position[image, flow.touches[:, 1]]
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
