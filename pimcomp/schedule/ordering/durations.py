"""How long tasks and transfers take, as the list scheduler sees them (docs/timing.md; the timeline is exact), and the
longest paths through them."""

from typing import NamedTuple

import numpy as np

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.arch import Arch
from pimcomp.ir.report import OrderBounds
from pimcomp.isa.table import BYTES, DST, GLOBAL, INPUT, MATRIX, SRC, SRC2, UNIT, VECTOR
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.ordering.heap import HEAP_COLUMNS, ITEM, pop, push
from pimcomp.schedule.ordering.list_schedule import DURATION_NS, FLITS, LATENCY_NS, MEMORY_NS, READ_NS, WRITE_NS
from pimcomp.schedule.work import CONST, LOAD, STORE, DoubleArray, LongArray
from pimcomp.timeline.work import message_ends_ns

# Cycles per instruction besides its unit: 2 for dispatch and retirement, and 1 to 2 `sldi` on compiled programs.
SCHEDULED_OVERHEAD_CYCLES = 3.5
LEAST_OVERHEAD_CYCLES = 2.0  # of any program
FREED_NS = 2.0  # after a transfer, until its ends are free again (as in `list_schedule`)


def times_of(
    flow: Flow, groups: GroupTable, arch: Arch, overhead_cycles: float = SCHEDULED_OVERHEAD_CYCLES
) -> DoubleArray:
    """float64[actions of the flow, 4], as `list_schedule` wants them."""
    times, size, first = np.zeros((len(flow.core), 4)), flow.transfers.bytes, flow.tasks
    times[:first, DURATION_NS] = task_durations_ns(flow, groups, arch, overhead_cycles)
    times[:first, MEMORY_NS] = memory_service_ns(flow, arch)
    times[first:, READ_NS], times[first:, WRITE_NS] = arch.local_read_ns(size), arch.local_write_ns(size)
    times[first:, LATENCY_NS] = arch.noc_latency_ns[flow.core[first:], flow.peer[first:]]
    times[first:, FLITS] = -(-size // arch.bus_width_bytes)
    return times


def task_durations_ns(
    flow: Flow, groups: GroupTable, arch: Arch, overhead_cycles: float = SCHEDULED_OVERHEAD_CYCLES
) -> DoubleArray:
    """float64[tasks]: unit times of a task's instructions plus what dispatch and register loads add."""
    tape = flow.tape
    size = tape.size.astype(np.int64)
    unit = UNIT[tape.op]
    moved_ns = (SRC[tape.op] == BYTES) * arch.local_read_ns(size) + (DST[tape.op] == BYTES) * arch.local_write_ns(size)
    kinds = [unit != VECTOR, SRC2[tape.op] == INPUT]
    cost = np.select(kinds, [moved_ns, arch.vector_ns(size, 2)], arch.vector_ns(size, 1)).astype(np.float64)
    fire = np.flatnonzero(unit == MATRIX)
    group = groups.start[flow.core[tape.task[fire]]] + tape.group[fire]
    cost[fire] = arch.mvm_ns(groups.crossbars, groups.weight_bits, groups.activation_bits)[group]
    cost += overhead_cycles * arch.core_period_ns
    return np.bincount(tape.task, weights=cost, minlength=flow.tasks).astype(np.float64)


def memory_service_ns(flow: Flow, arch: Arch) -> DoubleArray:
    """float64[tasks]: time at the one global-memory server; 0 for tasks that do not use it."""
    service = np.zeros(flow.tasks)
    kind = flow.task.kind
    loads, stores = (kind == LOAD) | (kind == CONST), kind == STORE
    for chosen, cycles in ((loads, arch.global_read_cycles), (stores, arch.global_write_cycles)):
        size = flow.tape.size[flow.task_rows[:-1][chosen]]  # such a task is one instruction
        service[chosen] = np.ceil(size / arch.global_width_bytes) * cycles * arch.global_period_ns
    return service


def added_service_ns(op: LongArray, size: LongArray, arch: Arch) -> float:
    """Time at the one global-memory server of instructions that spilling adds."""
    cycles = np.where(
        SRC[op] == GLOBAL, arch.global_read_cycles, np.where(DST[op] == GLOBAL, arch.global_write_cycles, 0)
    )
    return float((np.ceil(size / arch.global_width_bytes) * cycles).sum() * arch.global_period_ns)


class Lengths(NamedTuple):
    """Per action the least time it takes; per transfer the least time that its two ends are busy with it."""

    action: DoubleArray
    source: DoubleArray
    target: DoubleArray


def lengths_of(times: DoubleArray, tasks: int) -> Lengths:
    """times: as `list_schedule` wants them; the first `tasks` are those of tasks."""
    task, move = times[:tasks], times[tasks:]
    source, target = message_ends_ns(move[:, LATENCY_NS], move[:, READ_NS], move[:, WRITE_NS], move[:, FLITS])
    return Lengths(np.append(task[:, DURATION_NS] + task[:, MEMORY_NS], target), source, target)


@kernel
def longest_paths(edge_start: LongArray, edge_to: LongArray, length: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Per action the longest path that ends before it and the longest that begins behind it; their lengths are those of
    the actions on them. Edges [edge_start[a], edge_start[a + 1]) lead from a to `edge_to`; they make no circle.
    """
    actions = len(length)
    waits = np.zeros(actions, np.int64)
    for b in edge_to:
        waits[b] += 1
    order = np.empty(actions, np.int64)
    known = done = 0
    for a in range(actions):
        if waits[a] == 0:
            order[known] = a
            known += 1
    head, tail = np.zeros(actions), np.zeros(actions)
    while done < known:
        a = order[done]
        done += 1
        for e in range(edge_start[a], edge_start[a + 1]):
            b = edge_to[e]
            head[b] = max(head[b], head[a] + length[a])
            waits[b] -= 1
            if waits[b] == 0:
                order[known] = b
                known += 1
    for i in range(known - 1, -1, -1):
        a = order[i]
        for e in range(edge_start[a], edge_start[a + 1]):
            tail[a] = max(tail[a], tail[edge_to[e]] + length[edge_to[e]])
    return head, tail


def order_bounds(flow: Flow, groups: GroupTable, arch: Arch, images: int) -> OrderBounds:
    """Of the actions of one image: the largest one-machine bound over cores and memory server, and the busiest of them.

    Every action takes at least its time with the least overhead; what must come before and behind it are longest paths.
    A receiver need not come before the request has reached it. A round of `images` asks for its constants once.
    """
    times, tasks, cores = times_of(flow, groups, arch, LEAST_OVERHEAD_CYCLES), flow.tasks, arch.total_cores
    lengths, edges = lengths_of(times, tasks), flow.edges
    by_source = np.argsort(edges.before, kind="stable")
    edge_start = np.searchsorted(edges.before[by_source], np.arange(len(times) + 1))
    head, tail = longest_paths(edge_start, edges.after[by_source], lengths.action)
    served = np.flatnonzero(times[:tasks, MEMORY_NS])
    action = np.concatenate([np.arange(len(times)), np.arange(tasks, len(times)), served])
    machine = np.concatenate([flow.core, flow.peer[tasks:], np.full(len(served), cores)])
    asked, sent = times[tasks:, LATENCY_NS], lengths.target - lengths.source
    work = np.concatenate([lengths.action[:tasks], lengths.source, lengths.target - asked, times[served, MEMORY_NS]])
    ahead = np.concatenate([head, head[tasks:] + asked, head[served]])
    behind = np.concatenate([tail[:tasks], tail[tasks:] + sent, tail[tasks:], tail[served]])
    jobs = np.stack([ahead, work, behind])
    by_machine = np.lexsort((jobs[0], machine))
    first = np.searchsorted(machine[by_machine], np.arange(cores + 2))
    once = (action >= tasks - flow.constant_tasks) & (action < tasks)
    period_ns = np.bincount(machine, np.where(once, work / images, work), cores + 1).max()
    return OrderBounds(one_machine_ns(first, *np.take(jobs, by_machine, axis=1)), float(period_ns))


@kernel
def one_machine_ns(first: LongArray, head: DoubleArray, work: DoubleArray, tail: DoubleArray) -> float:
    """The largest over machines of the least time in which a machine can do its jobs [first[m], first[m + 1]), each
    after its head and with its tail behind it, if it may interrupt them (J. Jackson 1955). Jobs are sorted by head."""
    heap, left = np.empty((len(head) + 1, HEAP_COLUMNS)), work.copy()
    most = 0.0
    for m in range(len(first) - 1):
        now, size, i, stop = 0.0, 0, first[m], first[m + 1]
        while i < stop or size > 0:
            if size == 0:
                now = max(now, head[i])
            while i < stop and head[i] <= now:
                size = push(heap, size, -tail[i], 0.0, i)
                i += 1
            job = int(heap[0, ITEM])
            if i < stop and now + left[job] > head[i]:
                left[job] -= head[i] - now
                now = head[i]
            else:
                now += left[job]
                _, _, size = pop(heap, size)
                most = max(most, now + tail[job])
    return most
