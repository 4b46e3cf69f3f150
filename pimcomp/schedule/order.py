"""When everything happens and where it lies: images replicated, all actions ordered, buffers placed in local memory."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pimcomp.errors import InvariantError
from pimcomp.ir.arch import Arch
from pimcomp.ir.schedule_options import ScheduleOptions
from pimcomp.isa.operands import operand_bytes
from pimcomp.isa.table import MATRIX, UNIT
from pimcomp.schedule.allocate import allocate
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.durations import (
    added_service_ns,
    busy_ns,
    lengths_of,
    longest_paths,
    times_of,
)
from pimcomp.schedule.emission.tape import SCRATCH, Tape
from pimcomp.schedule.list_schedule import (
    MEMORY_NS,
    list_schedule,
)
from pimcomp.schedule.rounds import LAST_STAGE, Turns, edges_within, lives, rotated
from pimcomp.schedule.spill import Spilled, buffer_touches, most_held, spill
from pimcomp.schedule.work import CONST, LOAD, STORE, DoubleArray, Edges, LongArray, select, stack

# Fractions of the option's look-ahead, tried one after the other when memory is short; below them spilling is faster.
LOOKAHEADS = (1.0, 0.5, 0.25, 0.12)
# Rounds that overlap: what starts later than this share of the least period moves to the next round.
KEPT = 0.85
ROTATIONS = 2  # how often, before an order counts
# With spills: how far to run ahead trades waiting for copies to and from global memory.
SPILL_LOOKAHEADS = (0.5, 0.12)
# Slack of further orders, as multiples of the option's, and whether they go by what follows an action, not by rows:
# what is best differs from program to program. The rest of the orders are the best one, justified with these slacks.
ORDERS = ((0.5, True), (0.7, True), (1.4, True), (0.5, False))
JUSTIFIED = (0.7, 0.5, 1.0)


class Pace(NamedTuple):
    """How long a transfer may make a core wait, and the share of all rows that work may run ahead."""

    slack_ns: float
    lookahead: float


class _Known(NamedTuple):
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


def place_actions(
    flow: Flow, groups: GroupTable, arch: Arch, options: ScheduleOptions, images: int, *, repeated: bool
) -> Placed | None:
    """Order `images` copies of a flow and place their buffers; fewer where several would hold each other up.

    repeated: rounds follow each other, so that they may overlap. None when no order fits local memory.
    """
    known, pace = _prepare(flow, groups, arch), Pace(options.SLACK_NS, options.LOOKAHEAD)
    best = _best_order(known, pace, _replicate(flow, images), options.orders, repeated=repeated)
    if images > 1 and (best is None or not best.eager):
        # Short of memory: images that share it may take longer together than one after the other.
        best = _quicker(best, _best_order(known, pace, _replicate(flow, 1), options.orders, repeated=repeated))
    return best


def _best_order(known: _Known, pace: Pace, actions: Actions, orders: int, *, repeated: bool) -> Placed | None:
    """The best of several orders of the same actions, or of rounds that overlap more and more."""
    span = int(actions.rank.max()) + 1
    best = _fit(known, pace, actions, span)
    if repeated:
        return _overlapped(known, pace, actions, best, ROTATIONS - 1 + orders)
    if best is not None and best.eager and orders > 1:
        urgent = _by_tail(actions, lengths_of(known.times[actions.flow_action], actions.tasks).action)
        for factor, by_tail in ORDERS[: orders - 1]:
            slack = pace._replace(slack_ns=factor * pace.slack_ns)
            ranked = (urgent, len(actions.core)) if by_tail else (actions, span)
            best = _quicker(best, _fit(known, slack, *ranked, LOOKAHEADS[:1])) or best
        for turn in range(orders - 1 - len(ORDERS)):
            slack = pace._replace(slack_ns=JUSTIFIED[turn % len(JUSTIFIED)] * pace.slack_ns)
            best = _justified(known, slack, best)
    return best


def _justified(known: _Known, pace: Pace, best: Placed) -> Placed:
    """The best of that order and two from an order backwards in time, in which what came last is ordered first: that
    one reversed, and one that goes by it but may run ahead (V. Valls, F. Ballestin, S. Quintanilla, EJOR 2005)."""
    actions = best.actions
    edges = Edges(actions.edges.after, actions.edges.before)
    by_source = np.argsort(edges.before, kind="stable")
    rank = positions(np.argsort(-best.timed.start, kind="stable"))
    backwards = replace(actions, rank=rank, edges=select(edges, by_source))
    order = _order(known, backwards, pace.slack_ns, len(rank)).order[::-1]
    again = replace(actions, rank=positions(order))
    for span in (0, len(rank)):
        best = _quicker(best, _fit(known, pace, again, span, LOOKAHEADS[:1])) or best
    return best


def _overlapped(known: _Known, pace: Pace, actions: Actions, best: Placed | None, rotations: int) -> Placed | None:
    """Rounds that overlap more with every rotation; the best of them and the one that is given."""
    flow, arch, span = known.flow, known.arch, int(actions.rank.max()) + 1
    kind = flow.task.kind[np.minimum(actions.flow_action, flow.tasks - 1)]
    kind[actions.tasks :] = -1
    turns = Turns(actions.edges, known.touches, actions.number, (kind == LOAD) | (kind == CONST), kind == STORE)
    times = known.times[actions.flow_action]
    lengths = lengths_of(times, actions.tasks)
    served_ns = times[: actions.tasks, MEMORY_NS].sum()
    period_ns = max(busy_ns(actions.core, actions.peer, lengths, arch.total_cores).max(), served_ns)
    found, roomy = best, True
    for _ in range(rotations):
        if found is None:
            break
        stage = rotated(turns, found.actions.stage, found.timed.start >= KEPT * period_ns)
        edges = edges_within(turns, stage)
        edges = select(edges, np.argsort(edges.before, kind="stable"))
        # Those of the rounds before come first.
        staged = replace(actions, rank=actions.rank + (LAST_STAGE - stage) * span, edges=edges, stage=stage)
        urgent = _fit(known, pace, _by_tail(staged, lengths.action), len(stage), LOOKAHEADS[:1]) if roomy else None
        roomy = urgent is not None
        found = urgent or _fit(known, pace, staged, span)
        best = _quicker(best, found)
    return best


def _by_tail(actions: Actions, lengths_ns: DoubleArray) -> Actions:
    """Those actions ranked by the longest path that follows: quicker, but more is in memory together."""
    edges, count = actions.edges, len(actions.core)
    _, tail = longest_paths(np.searchsorted(edges.before, np.arange(count + 1)), edges.after, lengths_ns)
    return replace(actions, rank=positions(np.lexsort((actions.rank, -tail))))


def _quicker(best: Placed | None, other: Placed | None) -> Placed | None:
    """The one that takes less time per image, `best` among equals."""
    return other if best is None or (other is not None and other.image_ns < best.image_ns) else best


def place_with_spills(
    flow: Flow, groups: GroupTable, arch: Arch, options: ScheduleOptions, images: int, global_start: int
) -> Placed | None:
    """Order `images` copies of a flow or one; buffers that find no room wait in global memory, from byte `global_start`
    on. With `options.orders` 1, only one order is tried.

    None when `least_memory` is not there.
    """
    if least_memory(flow, groups, arch)[0] > arch.local_memory_bytes:
        return None
    known = _prepare(flow, groups, arch)
    tries = [(fraction, images) for fraction in SPILL_LOOKAHEADS] + [(SPILL_LOOKAHEADS[0], 1)] * (images > 1)
    best: Placed | None = None
    for fraction, count in tries[: options.orders]:
        actions = _replicate(flow, count)
        window = int((int(actions.rank.max()) + 1) * options.LOOKAHEAD * fraction) + 1
        timed = _order(known, actions, options.SLACK_NS, window)
        address, peak = _place(known, actions, timed.order)
        over = peak > arch.local_memory_bytes
        touches = buffer_touches(flow, known.extents, positions(timed.order)[actions.number], over)
        limit, gap = arch.local_memory_bytes, arch.element_bytes
        spilled = spill(flow, count, touches, _above(known.scratch, arch), limit, gap, global_start)
        # The memory serves one request after the other, and whoever asks waits.
        waiting_ns = added_service_ns(spilled.added.op, spilled.added.size, arch)
        peak = np.where(over, spilled.peak, peak)
        best = _quicker(best, Placed(actions, count, address, peak, timed, False, spilled, waiting_ns))
    return best


def positions(order: LongArray) -> LongArray:
    """When each action has its turn."""
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return position


def least_memory(flow: Flow, groups: GroupTable, arch: Arch) -> tuple[int, int]:
    """Bytes of local memory that spilling needs, and on which core: scratch and the operands of one instruction."""
    extents = _extents(flow.tape, groups, flow.core, arch)
    needed = most_held(flow, extents, arch) + _above(_scratch_bytes(flow, extents, arch.total_cores), arch)
    return int(needed.max()), int(needed.argmax())


def _above(scratch: LongArray, arch: Arch) -> LongArray:
    """The first address of every core behind its scratch area."""
    gap = arch.element_bytes
    return np.asarray(np.where(scratch > 0, -(-scratch // gap) * gap + gap, 0), dtype=np.int64)


def _prepare(flow: Flow, groups: GroupTable, arch: Arch) -> _Known:
    extents = _extents(flow.tape, groups, flow.core, arch)
    scratch = _scratch_bytes(flow, extents, arch.total_cores)
    last, actions = len(flow.buffers.core) - flow.constant_tasks, len(flow.core)
    dynamic = flow.touches[flow.touches[:, 0] < last]
    number = np.sort(dynamic[:, 0] * actions + dynamic[:, 1])  # quicker than numpy.unique, which makes a hash table
    touches = np.stack(np.divmod(number[np.diff(number, prepend=-1) > 0], actions), axis=1)
    return _Known(flow, arch, extents, scratch, times_of(flow, groups, arch), touches)


def _fit(
    known: _Known, pace: Pace, actions: Actions, span: int, lookaheads: tuple[float, ...] = LOOKAHEADS
) -> Placed | None:
    """The most eager order that fits local memory, None if none does. span: of the ranks of a round."""
    for fraction in lookaheads:
        timed = _order(known, actions, pace.slack_ns, int(span * pace.lookahead * fraction) + 1)
        address, peak = _place(known, actions, timed.order)
        if peak.max() <= known.arch.local_memory_bytes:
            return Placed(actions, len(actions.number), address, peak, timed, eager=fraction == LOOKAHEADS[0])
    return None


def _replicate(flow: Flow, images: int) -> Actions:
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


def _order(known: _Known, actions: Actions, slack_ns: float, window: int) -> Timed:
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


def _place(known: _Known, actions: Actions, order: LongArray) -> tuple[LongArray, LongArray]:
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
