"""What tasks take, instruction by instruction."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.schedule.ordering.durations import (
    SCHEDULED_OVERHEAD_CYCLES,
    added_service_ns,
    memory_service_ns,
    one_machine_ns,
    order_bounds,
    task_durations_ns,
)
from pimcomp.schedule.ordering.order import place_actions
from pimcomp.schedule.work import CONST, LOAD, STORE
from tests.schedule.stages import SEEDS, Stages, stages

READS = {Op.VVADD: 2, Op.VVSUB: 2, Op.VVMUL: 2, Op.VVMAX: 2, Op.LMV: 1, Op.ST: 1, Op.LLDI: 0, Op.LD: 0}


def instruction_ns(case: Stages, row: int) -> float:
    """One instruction's time in its unit, and for dispatch."""
    arch, tape = case.arch, case.flow.tape
    op, size = Op(int(tape.op[row])), int(tape.size[row])
    overhead = SCHEDULED_OVERHEAD_CYCLES * arch.core_period_ns
    if op == Op.MVMUL:
        core = case.flow.core[tape.task[row]]
        return arch.mvm_ns(int(case.groups.crossbars[case.groups.start[core] + tape.group[row]])) + overhead
    vector = op.name.startswith("V")
    beats = math.ceil(size * (arch.element_bytes if vector else 1) / arch.local_width_bytes) * arch.local_period_ns
    reads, writes = READS.get(op, 1) * arch.local_read_cycles, (op != Op.ST) * arch.local_write_cycles
    work = math.ceil(size / arch.vector_width) * arch.vector_latency_ns if vector else 0.0
    return beats * (reads + writes) + work + overhead


@pytest.mark.parametrize("seed", SEEDS)
def test_a_task_takes_what_its_instructions_take(seed: int) -> None:
    case = stages(seed)
    expected = np.zeros(case.flow.tasks)
    for row, task in enumerate(case.flow.tape.task.tolist()):
        expected[task] += instruction_ns(case, row)
    np.testing.assert_allclose(task_durations_ns(case.flow, case.groups, case.arch), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_loads_and_stores_wait_for_the_global_memory_and_nothing_else_does(seed: int) -> None:
    case = stages(seed)
    arch, flow = case.arch, case.flow
    for task, service in enumerate(memory_service_ns(flow, arch).tolist()):
        cycles = {LOAD: arch.global_read_cycles, CONST: arch.global_read_cycles, STORE: arch.global_write_cycles}
        beats = math.ceil(flow.tape.size[flow.task_rows[task]] / arch.global_width_bytes)
        assert service == pytest.approx(beats * cycles.get(int(flow.task.kind[task]), 0) * arch.global_period_ns)


def test_a_port_takes_whole_beats() -> None:
    arch = stages(SEEDS[0]).arch
    sizes = np.array([0, 1, arch.local_width_bytes, arch.local_width_bytes + 1])
    beats = np.array([0, 1, 1, 2]) * arch.local_period_ns
    np.testing.assert_allclose(arch.local_read_ns(sizes), beats * arch.local_read_cycles)
    np.testing.assert_allclose(arch.local_write_ns(sizes), beats * arch.local_write_cycles)


def test_spills_take_the_memory_server_s_time() -> None:
    """Zero fills do not use it."""
    arch = stages(SEEDS[0]).arch
    size = 3 * arch.global_width_bytes
    added = np.array([int(op) for op in (Op.LD, Op.ST, Op.LLDI)])
    cycles = 3 * (arch.global_read_cycles + arch.global_write_cycles)
    assert added_service_ns(added, np.full(3, size), arch) == pytest.approx(cycles * arch.global_period_ns)


def one_machine_by_steps(jobs: list[tuple[int, int, int]]) -> int:
    """The least time for (head, work, tail), unit by unit: always the job with the longest tail that may run."""
    left, now, most = [work for _, work, _ in jobs], 0, 0
    while any(left):
        able = [j for j, (head, _, _) in enumerate(jobs) if head <= now and left[j]]
        now += 1
        if able:
            best = max(able, key=lambda j: jobs[j][2])
            left[best] -= 1
            most = max(most, now + jobs[best][2]) if not left[best] else most
    return most


@given(
    st.lists(st.lists(st.tuples(*(st.integers(0, 9), st.integers(1, 5), st.integers(0, 9))), max_size=6), max_size=4)
)
def test_the_one_machine_bound_is_that_of_the_preemptive_schedule(machines: list[list[tuple[int, int, int]]]) -> None:
    first = np.cumsum([0, *[len(jobs) for jobs in machines]])
    table = np.array([job for jobs in machines for job in sorted(jobs)], np.float64).reshape(-1, 3)
    found = one_machine_ns(first, *table.T.copy())
    assert found == max((one_machine_by_steps(jobs) for jobs in machines), default=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_order_is_quicker_than_the_bounds(seed: int) -> None:
    case = stages(seed)
    least = order_bounds(case.flow, case.groups, case.arch, case.placed.images)
    assert 0.0 < least.period_ns <= least.latency_ns
    placed = place_actions(case.flow, case.groups, case.arch, case.options, 1, repeated=False)
    assert placed is not None
    assert least.latency_ns <= placed.timed.makespan_ns
    assert least.period_ns <= case.placed.image_ns
