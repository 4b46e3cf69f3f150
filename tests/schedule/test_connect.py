"""Whatever a task reads is computed, received or zero before it runs.

Covers: work, write_tasks.
"""

from graphlib import TopologicalSorter
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest

from pimcomp.ir.program import Op
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.work import CONST, JOIN, LOAD, STORE
from tests.schedule.stages import SEEDS, Stages, stages


class Filling(NamedTuple):
    """Bytes [low, high) of a buffer that an action puts there (-1: zeros, before anybody reads)."""

    low: int
    high: int
    action: int


def edges(case: Stages) -> set[tuple[int, int]]:
    return set(zip(*(column.tolist() for column in case.flow.edges), strict=True))


def fillings(case: Stages) -> dict[int, list[Filling]]:
    """By buffer."""
    flow = case.flow
    found: dict[int, list[Filling]] = {}
    local = zip(flow.segment_buffer.tolist(), flow.segment_bytes.tolist(), flow.segments.final.tolist(), strict=True)
    for buffer, (low, high), task in local:
        found.setdefault(buffer, []).append(Filling(low, high, task))
    moved = flow.transfers
    for i, (buffer, at, size) in enumerate(zip(moved.dst_buffer, moved.dst_offset, moved.bytes, strict=True)):
        found.setdefault(int(buffer), []).append(Filling(int(at), int(at + size), flow.tasks + i))
    for buffer, at, size in flow.pads.tolist():
        found.setdefault(buffer, []).append(Filling(at, at + size, -1))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_dependencies_have_no_cycle_and_ranks_follow_them(seed: int) -> None:
    case = stages(seed)
    before: dict[int, set[int]] = {}
    for a, b in edges(case):
        before.setdefault(b, set()).add(a)
    tuple(TopologicalSorter(before).static_order())
    rank = case.flow.rank
    assert all(rank[a] <= rank[b] for a, b in edges(case))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_byte_that_is_read_is_filled_by_something_the_reader_waits_for(seed: int) -> None:
    case = stages(seed)
    flow, work, known, filled = case.flow, case.work, edges(case), fillings(case)
    pixel = [node.channels * case.arch.element_bytes for node in case.graph.nodes]
    reads = np.flatnonzero(work.reads.valid)
    for (buffer, task), read in zip(flow.readers.tolist(), reads, strict=True):
        tensor = int(work.reads.tensor[read])
        assert (flow.buffers.core[buffer], flow.buffers.tensor[buffer]) == (flow.core[task], tensor)
        low, high = (int(x[read] - flow.buffers.low[buffer]) * pixel[tensor] for x in (work.reads.low, work.reads.high))
        assert 0 <= low < high <= flow.buffers.bytes[buffer]
        there = np.zeros(high - low, bool)
        for a, b, action in filled.get(buffer, []):
            if a < high and low < b:
                there[max(a - low, 0) : max(b - low, 0)] = True
                assert action in (-1, task) or (action, task) in known
        assert there.all()


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_carry_what_their_producer_has_completed(seed: int) -> None:
    case = stages(seed)
    flow, moved, known = case.flow, case.flow.transfers, edges(case)
    segments: dict[tuple[int, int], list[list[int]]] = {}
    for buffer, span, task in zip(flow.segment_buffer, flow.segment_bytes.tolist(), flow.segments.final, strict=True):
        segments.setdefault((int(buffer), int(task)), []).append(span)
    sums = len(case.work.sum_transfers.src)
    for i in range(len(moved.bytes)):
        source, target, size = int(moved.src_buffer[i]), int(moved.dst_buffer[i]), int(moved.bytes[i])
        producer, offset = int(moved.producer[i]), int(moved.src_offset[i])
        assert flow.buffers.core[source] == moved.src_core[i] == flow.core[flow.tasks + i]
        assert flow.buffers.core[target] == moved.dst_core[i] == flow.peer[flow.tasks + i] != moved.src_core[i]
        assert 0 <= offset < offset + size <= flow.buffers.bytes[source]
        assert 0 <= moved.dst_offset[i] <= flow.buffers.bytes[target] - size
        assert (producer, flow.tasks + i) in known
        if i < len(moved.bytes) - sums:  # partial sums are no segments
            assert any(low <= offset and offset + size <= high for low, high in segments[source, producer])


@pytest.mark.parametrize("seed", SEEDS)
def test_buffers_and_scratch_are_touched_by_their_own_core_alone(seed: int) -> None:
    flow = stages(seed).flow
    for buffer, action in flow.touches.tolist():
        assert flow.buffers.core[buffer] in (flow.core[action], flow.peer[action])
    core = flow.core[flow.tape.task]
    for buffer in (flow.tape.dst_buffer, flow.tape.src_buffer, flow.tape.src2_buffer):
        inside = buffer >= 0
        assert (flow.buffers.core[buffer[inside]] == core[inside]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_operand_is_known_as_a_touch_of_its_task(seed: int) -> None:
    """So that its buffer is alive then; constants always are."""
    flow = stages(seed).flow
    touched = {tuple(pair) for pair in flow.touches.tolist()}
    alive = len(flow.buffers.core) - flow.constant_tasks
    for buffer in (flow.tape.dst_buffer, flow.tape.src_buffer, flow.tape.src2_buffer):
        inside = (buffer >= 0) & (buffer < alive)
        used = set(zip(buffer[inside].tolist(), flow.tape.task[inside].tolist(), strict=True))
        assert used <= touched


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_the_tape_are_in_the_order_of_tasks(seed: int) -> None:
    flow = stages(seed).flow
    assert (np.diff(flow.tape.task) >= 0).all()
    for task in range(flow.tasks):
        assert (flow.tape.task[flow.task_rows[task] : flow.task_rows[task + 1]] == task).all()
    memory = np.isin(flow.tape.op, (Op.LD, Op.ST))
    assert sorted(flow.tape.task[memory]) == np.flatnonzero(np.isin(flow.task.kind, (LOAD, STORE, CONST))).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_uses_constants_waits_for_their_load(seed: int) -> None:
    case = stages(seed)
    flow, known = case.flow, edges(case)
    first_buffer, first_load = len(flow.buffers.core) - flow.constant_tasks, flow.tasks - flow.constant_tasks
    for buffers in (flow.tape.src_buffer, flow.tape.src2_buffer):
        for buffer, task in zip(buffers.tolist(), flow.tape.task.tolist(), strict=True):
            if buffer >= first_buffer:
                assert (first_load + buffer - first_buffer, task) in known


def sent_bytes(flow: Flow, action: int) -> set[int]:
    """Bytes of its source that a message takes."""
    start, moves = flow.transfers.src_offset[action - flow.tasks], flow.transfers
    return set(range(start, start + moves.bytes[action - flow.tasks]))


def bytes_joined(case: Stages, task: int, buffer: int) -> set[int]:
    """Bytes of a sum that a join reads or writes; the operands of an instruction are as long as each other."""
    tape, rows = case.flow.tape, slice(case.flow.task_rows[task], case.flow.task_rows[task + 1])
    found: set[int] = set()
    for place, offset in ((tape.dst_buffer, tape.dst_offset), (tape.src_buffer, tape.src_offset)):
        for op, b, start, size in zip(tape.op[rows], place[rows], offset[rows], tape.size[rows], strict=True):
            bytes_each = 1 if op == Op.LMV else case.arch.element_bytes
            found |= set(range(start, start + size * bytes_each)) if b == buffer else set()
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_actions_that_share_a_partial_sum_have_an_order(seed: int) -> None:
    """What begins it, adds to it, sends it or receives it never depends on luck; but a message may take a part of it
    before or after a join adds to another."""
    flow, before = stages(seed).flow, dict[int, set[int]]()
    for a, b in edges(stages(seed)):
        before.setdefault(b, set()).add(a)
    ancestors: dict[int, int] = {}  # as bits
    for action in TopologicalSorter(before).static_order():
        ancestors[action] = 0
        for a in before.get(action, ()):
            ancestors[action] |= ancestors[a] | 1 << a
    is_sum = flow.buffers.tensor == -1
    is_sum[len(is_sum) - flow.constant_tasks :] = False
    for buffer in np.flatnonzero(is_sum):
        users = sorted(
            set(flow.touches[flow.touches[:, 0] == buffer, 1].tolist()), key=lambda a: ancestors[a].bit_count()
        )
        for earlier, later in combinations(users, 2):
            if not ancestors[later] >> earlier & 1:
                sent = next(a for a in (earlier, later) if a >= flow.tasks)
                other = earlier + later - sent
                if other < flow.tasks:
                    assert flow.task.kind[other] == JOIN
                    assert not bytes_joined(stages(seed), other, int(buffer)) & sent_bytes(flow, sent)
