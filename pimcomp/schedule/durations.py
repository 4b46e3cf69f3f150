"""How long tasks and transfers take, as the list scheduler sees them (docs/timing.md; the timeline is exact)."""

import numpy as np

from pimcomp.ir.arch import Arch
from pimcomp.isa.table import BYTES, DST, GLOBAL, INPUT, MATRIX, SRC, SRC2, UNIT, VECTOR
from pimcomp.schedule.building.groups import GroupTable
from pimcomp.schedule.connect import Flow
from pimcomp.schedule.work import CONST, LOAD, STORE, DoubleArray, LongArray

# Cycles per instruction besides its unit: 2 for dispatch and retirement, and 1 to 2 `sldi` on compiled programs.
SCHEDULED_OVERHEAD_CYCLES = 3.5


def task_durations_ns(flow: Flow, groups: GroupTable, arch: Arch) -> DoubleArray:
    """float64[tasks]: unit times of a task's instructions plus what dispatch and register loads add."""
    tape = flow.tape
    size = tape.size.astype(np.int64)
    unit = UNIT[tape.op]
    moved_ns = (SRC[tape.op] == BYTES) * arch.local_read_ns(size) + (DST[tape.op] == BYTES) * arch.local_write_ns(size)
    kinds = [unit != VECTOR, SRC2[tape.op] == INPUT]
    cost = np.select(kinds, [moved_ns, arch.vector_ns(size, 2)], arch.vector_ns(size, 1)).astype(np.float64)
    fire = np.flatnonzero(unit == MATRIX)
    group = groups.start[flow.core[tape.task[fire]]] + tape.group[fire]
    by_crossbars = np.array([arch.mvm_ns(n) for n in range(int(groups.crossbars.max(initial=0)) + 1)])
    cost[fire] = by_crossbars[groups.crossbars[group]]
    cost += SCHEDULED_OVERHEAD_CYCLES * arch.core_period_ns
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
