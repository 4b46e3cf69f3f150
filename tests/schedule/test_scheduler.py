"""The way from a plan to a program as a whole: what a trial tells, and where tensors lie in global memory.

Covers: global_layout.
"""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from pimcomp.ir.arch import Arch
from pimcomp.ir.plan import Pipeline
from pimcomp.ir.program import Table
from pimcomp.schedule.scheduler import NO_PROGRAM, ORDERED, TRIAL_IMAGES, Scheduler
from pimcomp.schedule.work import ALIGNMENT_BYTES
from tests.schedule.stages import IMAGES, SEEDS, Stages, inputs_of, stages


def scheduler_of(case: Stages, pipeline: Pipeline, arch: Arch | None = None) -> Scheduler:
    """A scheduler for the case's network on its chip, or on another."""
    ranges = dict.fromkeys(range(len(case.graph.nodes)), 10.0)
    return Scheduler(case.graph, arch or case.arch, case.partition, pipeline, case.options, ranges)


@pytest.mark.parametrize("pipeline", list(Pipeline))
@pytest.mark.parametrize("seed", SEEDS)
def test_a_trial_tells_time_effort_and_who_is_on_the_critical_path(seed: int, pipeline: Pipeline) -> None:
    case = stages(seed)
    trial = scheduler_of(case, pipeline).judge(case.plan)
    images, orders = (min(IMAGES, TRIAL_IMAGES), ORDERED[1]) if pipeline is Pipeline.BATCH else (1, 1)
    constants = case.flow.constant_tasks
    assert trial.actions == orders * (constants + images * (len(case.flow.core) - constants))
    assert 0.0 < trial.time_ns < math.inf
    assert len(trial.share) == len(case.partition.nodes)
    assert (trial.share >= 0.0).all()
    assert trial.share.sum() <= trial.time_ns * images * (1 + 1e-9)


def columns_of(table: Table) -> list[np.ndarray]:
    return [getattr(table, field.name) for field in fields(table)]


@pytest.mark.parametrize("memory_share", [1.0, 0.2])
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_trial_leaves_no_trace_in_a_plans_program(seed: int, memory_share: float) -> None:
    """With less memory the flow of narrow segments is kept, too."""
    case = stages(seed)
    arch = replace(case.arch, local_memory_bytes=int(memory_share * case.arch.local_memory_bytes))
    fresh, used = (scheduler_of(case, Pipeline.ELEMENT, arch) for _ in range(2))
    if math.isfinite(used.judge(case.plan).time_ns):
        found, expected = (columns_of(s.program(case.plan).table) for s in (used, fresh))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_trial_of_what_no_memory_holds_takes_for_ever() -> None:
    case = stages(SEEDS[0])
    trial = scheduler_of(case, Pipeline.ELEMENT, replace(case.arch, local_memory_bytes=8)).judge(case.plan)
    assert (trial.time_ns, trial.actions) == (math.inf, NO_PROGRAM)
    assert not trial.share.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_array_groups_have_the_shapes_of_their_slices(seed: int) -> None:
    case = stages(seed)
    groups = case.groups
    first = np.cumsum([0, *(core_of.shape[1] for core_of in case.plan.core_of)])
    for at, (k, matrix) in enumerate(zip(groups.layer.tolist(), groups.matrix.tolist(), strict=True)):
        group = case.partition.options[k][case.plan.option[k]].groups[matrix - first[k]]
        expected = (group.row_stop - group.row_start, group.columns, group.crossbars)
        assert (groups.rows[at], groups.columns[at], groups.crossbars[at]) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_tensors_lie_apart_in_global_memory(seed: int) -> None:
    """Constants first, then input and output maps of each image; every element has its own bytes."""
    case = stages(seed)
    program = scheduler_of(case, Pipeline.BATCH).program(case.plan)
    eb, layout = case.arch.element_bytes, case.scheduler.layout
    maps = [address.ravel() for tensors in (program.inputs, program.outputs) for address in tensors.values()]
    assert all((address >= layout.first_image).all() for address in maps)
    assert (program.constant_addresses < layout.first_image).all()
    # An output may show channels of an input or of another output, but the inputs share nothing.
    own = np.concatenate([program.constant_addresses, *(a.ravel() for a in program.inputs.values())])
    assert len(np.unique(own)) == len(own)
    assert (own % eb == 0).all()
    starts = np.concatenate([x[x >= 0] for x in (layout.constants, layout.loaded, layout.stored)])
    assert (starts % ALIGNMENT_BYTES == 0).all()
    assert len(np.unique(starts)) == len(starts)


@pytest.mark.parametrize("seed", SEEDS)
def test_images_follow_each_other_in_global_memory(seed: int) -> None:
    case = stages(seed)
    program = scheduler_of(case, Pipeline.BATCH).program(case.plan)
    assert {case.graph.nodes[i].name for i in inputs_of(case.graph)} == set(program.inputs)
    for address in (*program.inputs.values(), *program.outputs.values()):
        assert len(address) == IMAGES
        assert (np.diff(address, axis=0) == case.scheduler.layout.image_bytes).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_constants_of_the_image_are_those_of_the_nodes(seed: int) -> None:
    case = stages(seed)
    program, constants = scheduler_of(case, Pipeline.ELEMENT).program(case.plan), case.scheduler.constants
    held = dict(zip(program.constant_addresses.tolist(), program.constant_values.tolist(), strict=True))
    eb = case.arch.element_bytes
    for start, values in zip(case.scheduler.layout.constants.tolist(), constants.vectors, strict=True):
        assert [held[start + i * eb] for i in range(len(values))] == values.tolist()
