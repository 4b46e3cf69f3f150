"""One order of the actions of some images: who is numbered how, when everything happens, and where buffers lie."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.isa.operands import operand_bytes
from pimcomp.isa.table import MATRIX, UNIT
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.emission.tape import SCRATCH, Tape
from pimcomp.schedule.ordering.allocate import allocate
from pimcomp.schedule.ordering.durations import FREED_NS, lengths_of, times_of
from pimcomp.schedule.ordering.list_schedule import (
    FLITS,
    LATENCY_NS,
    MEMORY_NS,
    READ_NS,
    ROUNDS,
    list_schedule,
    repeat_rounds,
)
from pimcomp.schedule.ordering.modulo import MACHINES, Claims
from pimcomp.schedule.ordering.rounds import lives
from pimcomp.schedule.ordering.spill import Spilled, most_held
from pimcomp.schedule.work import DoubleArray, Edges, LongArray, select, stack

# Fractions of the option's look-ahead, tried one after the other when memory is short; below them spilling is faster.
LOOKAHEADS = (1.0, 0.5, 0.25, 0.12)


class Pace(NamedTuple):
    """How long a transfer may make a core wait, and the share of all rows that work may run ahead."""

    slack_ns: float
    lookahead: float


class Known(NamedTuple):
    """What does not depend on the order: bytes that each instruction writes and reads, scratch int64[cores], times of
    the flow's actions (see `list_schedule`), and its touches of buffers that are not constant, each once and sorted."""

    flow: Flow
    arch: Arch
    extents: tuple[LongArray, LongArray, LongArray]
    scratch: LongArray
    times: DoubleArray
    touches: LongArray


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """Actions of all images: constants first appear once, everything else per image. Edges are sorted by `before`."""

    core: LongArray
    peer: LongArray
    rank: LongArray
    edges: Edges
    stage: LongArray  # in which round after that of its image (see `rounds`)
    flow_action: LongArray  # index into the flow's actions
    image: LongArray
    number: LongArray  # int64[images, actions of the flow]: the other way round
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
    def delay(self) -> int:
        """Rounds after which an image's results are there."""
        return int(self.actions.stage.max(initial=0))

    @property
    def image_ns(self) -> float:
        """Estimated time per image."""
        return (self.timed.makespan_ns + self.spilling_ns) / self.images


def prepare(flow: Flow, groups: GroupTable, arch: Arch) -> Known:
    """What all orders of a flow share."""
    extents = _extents(flow.tape, groups, flow.core, arch)
    scratch = _scratch_bytes(flow, extents, arch.total_cores)
    last, actions = len(flow.buffers.core) - flow.constant_tasks, len(flow.core)
    dynamic = flow.touches[flow.touches[:, 0] < last]
    number = np.sort(dynamic[:, 0] * actions + dynamic[:, 1])  # quicker than numpy.unique, which makes a hash table
    touches = np.stack(np.divmod(number[np.diff(number, prepend=-1) > 0], actions), axis=1)
    return Known(flow, arch, extents, scratch, times_of(flow, groups, arch), touches)


def replicate(flow: Flow, images: int) -> Actions:
    """Number actions as tasks of image 0, tasks of image 1, ..., constants, transfers of image 0, ..."""
    every, per_image = len(flow.core), flow.tasks - flow.constant_tasks
    tasks, moves = per_image * images + flow.constant_tasks, every - flow.tasks
    number = np.empty((images, every), dtype=np.int64)
    number[:, :per_image] = np.arange(per_image * images).reshape(images, per_image)
    number[:, per_image : flow.tasks] = np.arange(per_image * images, tasks)
    number[:, flow.tasks :] = np.arange(tasks, tasks + moves * images).reshape(images, moves)
    flow_action, image = np.empty((2, tasks + moves * images), dtype=np.int64)
    flow_action[number], image[number] = np.arange(every), np.arange(images)[:, None]
    image[number[0]] = 0  # constants are loaded once, and wait for work of the first image alone
    later = select(flow.edges, (flow.edges.after < per_image) | (flow.edges.after >= flow.tasks))
    parts = [Edges(*(own[end] for end in (later if i else flow.edges))) for i, own in enumerate(number)]
    edges = stack(*parts)
    edges = select(edges, np.argsort(edges.before, kind="stable"))
    rank = flow.rank[flow_action] + image * (int(flow.rank.max()) + 1)
    core, peer, stage = flow.core[flow_action], flow.peer[flow_action], np.zeros_like(rank)
    return Actions(core, peer, rank, edges, stage, flow_action, image, number, tasks)


def fit(
    known: Known, pace: Pace, actions: Actions, span: int, lookaheads: tuple[float, ...] = LOOKAHEADS
) -> Placed | None:
    """The most eager order that fits local memory, None if none does. span: of the ranks of a round."""
    for fraction in lookaheads:
        timed = list_order(known, actions, pace.slack_ns, int(span * pace.lookahead * fraction) + 1)
        address, peak = place_buffers(known, actions, timed.order)
        if peak.max() <= known.arch.local_memory_bytes:
            return Placed(actions, len(actions.number), address, peak, timed, eager=fraction == LOOKAHEADS[0])
    return None


def list_order(known: Known, actions: Actions, slack_ns: float, window: int) -> Timed:
    """Commit order and estimated times of all actions."""
    count, times = len(actions.core), known.times[actions.flow_action]
    who = np.column_stack([actions.core, actions.peer, actions.rank])
    edge_start = np.searchsorted(actions.edges.before, np.arange(count + 1))
    order, start, cause, makespan = list_schedule(
        actions.tasks, who, times, edge_start, actions.edges.after, known.arch.total_cores, slack_ns, window
    )
    if len(order) != count:
        raise InvariantError(f"the task graph has a cycle: {count - len(order)} of {count} actions can never start")
    return Timed(order, start, cause, makespan)


def in_rounds(known: Known, actions: Actions, order: LongArray, rounds: int = ROUNDS) -> Timed:
    """Estimated times of an order when rounds follow each other, or of the only one."""
    who, times = np.column_stack([actions.core, actions.peer]), known.times[actions.flow_action]
    return Timed(order, *repeat_rounds(order, actions.tasks, who, times, known.arch.total_cores, rounds))


def place_buffers(known: Known, actions: Actions, order: LongArray) -> tuple[LongArray, LongArray]:
    """Addresses int64[images, buffers] of all buffers and the peak per core; constants and scratch lie below."""
    flow, scratch, gap = known.flow, known.scratch, known.arch.element_bytes
    images, buffers = len(actions.number), flow.buffers
    count = len(buffers.core)
    constants = np.arange(count - flow.constant_tasks, count)
    base = np.where(scratch > 0, scratch + gap, 0)
    address = np.zeros((images, count), dtype=np.int64)
    for b in constants:  # one per (core, node): few
        address[:, b] = base[buffers.core[b]]
        base[buffers.core[b]] += buffers.bytes[b] + gap
    base = -(-base // gap) * gap
    position, stage = positions(order)[actions.number], actions.stage[actions.number]
    dynamic = np.arange(count - flow.constant_tasks)
    found = [lives(count, known.touches, position[image], stage[image]) for image in range(images)]
    core = np.tile(buffers.core[dynamic], images)
    flat_first, flat_last = (np.concatenate([life[end][dynamic] for life in found]) for end in (1, 2))
    by_core = np.lexsort((flat_first, flat_first <= flat_last, core))
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


def above(scratch: LongArray, arch: Arch) -> LongArray:
    """The first address of every core behind its scratch area."""
    gap = arch.element_bytes
    return np.asarray(np.where(scratch > 0, -(-scratch // gap) * gap + gap, 0), dtype=np.int64)


def _extents(tape: Tape, groups: GroupTable, core: LongArray, arch: Arch) -> tuple[LongArray, LongArray, LongArray]:
    """Bytes each instruction writes at dst and reads at src and src2."""
    eb = np.int64(arch.element_bytes)
    matrix = np.zeros((2, len(tape.op)), np.int64)
    fire = np.flatnonzero(UNIT[tape.op] == MATRIX)
    group = groups.start[core[tape.task[fire]]] + tape.group[fire]
    matrix[:, fire] = groups.rows[group], groups.columns[group]
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


def positions(order: LongArray) -> LongArray:
    """When each action has its turn."""
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return position


def claims_of(known: Known, actions: Actions) -> Claims:
    """The machines that actions need: cores, the switches of those that send, and the memory server."""
    tasks, cores, times = actions.tasks, known.arch.total_cores, known.times[actions.flow_action]
    lengths, task, move = lengths_of(times, tasks), times[:tasks], times[tasks:]
    machine, busy = np.full((len(times), MACHINES), -1), np.zeros((len(times), MACHINES))
    machine[:, 0], machine[tasks:, 1] = actions.core, actions.peer[tasks:]
    machine[tasks:, 2], machine[tasks:, 3] = cores + actions.core[tasks:], cores + actions.peer[tasks:]
    machine[:tasks, 1][task[:, MEMORY_NS] > 0] = 2 * cores
    busy[:tasks, 0], busy[:tasks, 1] = lengths.action[:tasks], task[:, MEMORY_NS]
    busy[tasks:, 0], busy[tasks:, 1] = lengths.source + FREED_NS, lengths.target + FREED_NS
    busy[tasks:, 3] = 2 * move[:, LATENCY_NS]
    busy[tasks:, 2] = (2 + move[:, FLITS]) * move[:, LATENCY_NS] + move[:, READ_NS]
    return Claims(machine, busy, lengths.action)


def kinds_of(flow: Flow, actions: Actions) -> LongArray:
    """What every action is, -1 for transfers."""
    kind = np.full(len(actions.core), -1)
    kind[: actions.tasks] = flow.task.kind[actions.flow_action[: actions.tasks]]
    return kind


def least_memory(flow: Flow, groups: GroupTable, arch: Arch) -> tuple[int, int]:
    """Bytes of local memory that spilling needs, and on which core: scratch and the operands of one instruction."""
    extents = _extents(flow.tape, groups, flow.core, arch)
    needed = most_held(flow, extents, arch) + above(_scratch_bytes(flow, extents, arch.total_cores), arch)
    return int(needed.max()), int(needed.argmax())
