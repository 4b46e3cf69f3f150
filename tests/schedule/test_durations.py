"""What tasks take, instruction by instruction."""

import math

import numpy as np
import pytest

from pimcomp.ir.program import Op
from pimcomp.schedule.durations import (
    SCHEDULED_OVERHEAD_CYCLES,
    added_service_ns,
    memory_service_ns,
    task_durations_ns,
)
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
