"""An order of the actions of all images that is possible (order.py, placing.py, rounds.py), and addresses that no two
living buffers share."""

from dataclasses import replace

import numpy as np
import pytest

from pimcomp.ir.program import Op
from pimcomp.schedule.emission.tape import SCRATCH
from pimcomp.schedule.ordering.order import place_actions, place_with_spills
from pimcomp.schedule.ordering.placing import least_memory
from pimcomp.schedule.work import CONST, LOAD, STORE, select
from tests.schedule.stages import IMAGES, SEEDS, Stages, positions, stages


def numbers(case: Stages, action: np.ndarray, image: int) -> np.ndarray:
    """The number of a flow's actions among those of all images."""
    found: np.ndarray = case.placed.actions.number[image, action]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_every_image_has_its_own_actions_and_all_share_the_constants(seed: int) -> None:
    case = stages(seed)
    flow, actions = case.flow, case.placed.actions
    every = np.arange(len(flow.core))
    constants = (every >= flow.tasks - flow.constant_tasks) & (every < flow.tasks)
    seen = [numbers(case, every, image) for image in range(IMAGES)]
    own = np.concatenate([seen[0][constants], *[numbers[~constants] for numbers in seen]])
    assert sorted(own.tolist()) == list(range(len(actions.core)))
    for image, numbered in enumerate(seen):
        assert (numbered[constants] == seen[0][constants]).all()
        assert (actions.flow_action[numbered] == every).all()
        assert (actions.image[numbered[~constants]] == image).all()
        assert (actions.core[numbered] == flow.core).all()
        assert (actions.peer[numbered] == flow.peer).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_has_every_action_once_and_after_what_it_depends_on(seed: int) -> None:
    case = stages(seed)
    placed, position = case.placed, positions(case.placed)
    assert sorted(placed.timed.order.tolist()) == list(range(len(placed.actions.core)))
    to = case.flow.edges.after
    once = (to >= case.flow.tasks - case.flow.constant_tasks) & (to < case.flow.tasks)
    for image in range(IMAGES):
        # Constants wait for work of the first image alone.
        edges = select(case.flow.edges, ~once) if image else case.flow.edges
        before, after = (numbers(case, end, image) for end in edges)
        stage = placed.actions.stage
        assert ((stage[before] < stage[after]) | (position[before] < position[after])).all()
        assert (stage[before] <= stage[after]).all()


def test_rounds_overlap_and_keep_inputs_in_the_first_and_results_in_the_last() -> None:
    delays = set()
    for seed in SEEDS:
        case = stages(seed)
        stage, kind = case.placed.actions.stage[case.placed.actions.number[:, : case.flow.tasks]], case.flow.task.kind
        delays.add(case.placed.delay)
        assert not stage[:, (kind == LOAD) | (kind == CONST)].any()
        assert (stage[:, kind == STORE] == case.placed.delay).all()
    assert max(delays) > 0


def lives(case: Stages) -> list[tuple[int, int, int, int, int]]:
    """(core, first byte, byte behind the last, first action, last action) of every buffer of every image; actions are
    counted on from round to round."""
    flow, placed, position = case.flow, case.placed, positions(case.placed)
    count, found = len(flow.buffers.core), []
    for image in range(IMAGES):
        users = numbers(case, flow.touches[:, 1], image)
        at = position[users] + placed.actions.stage[users] * len(position)
        for buffer in range(count):
            constant = buffer >= count - flow.constant_tasks
            used = at[flow.touches[:, 0] == buffer]
            if (constant and image) or not (constant or len(used)):
                continue
            first, last = (0, 9 * len(position)) if constant else (int(used.min()), int(used.max()))
            low = int(placed.address[image, buffer])
            found.append((int(flow.buffers.core[buffer]), low, low + int(flow.buffers.bytes[buffer]), first, last))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_buffers_that_are_alive_together_do_not_touch(seed: int) -> None:
    """The simulator takes ranges that touch for overlapping: a gap of one element lies between them."""
    case = stages(seed)
    gap, length = case.arch.element_bytes, len(case.placed.timed.order)
    living = np.array(lives(case), np.int64)
    assert (np.diff(living[living[:, 4] < 9 * length][:, 3:]) < length).all()  # free before it is filled again
    for core in np.unique(living[:, 0]):
        _, low, high, first, last = living[living[:, 0] == core].T
        together = np.zeros((len(low), len(low)), dtype=bool)
        for rounds in range(-9, 10):
            shifted = first + rounds * length, last + rounds * length
            together |= (first[:, None] <= shifted[1]) & (shifted[0] <= last[:, None])
        apart = (high[:, None] + gap <= low) | (high + gap <= low[:, None])
        assert (apart | ~together | np.eye(len(low), dtype=bool)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_buffers_lie_between_scratch_and_the_peak_on_whole_elements(seed: int) -> None:
    case = stages(seed)
    tape, eb = case.flow.tape, case.arch.element_bytes
    scratch = np.zeros(case.arch.total_cores, np.int64)
    inside = tape.dst_buffer == SCRATCH
    np.maximum.at(scratch, case.flow.core[tape.task[inside]], tape.dst_offset[inside] + eb)
    for core, low, high, *_ in lives(case):
        assert low >= scratch[core]
        assert high <= case.placed.peak[core] <= case.arch.local_memory_bytes
        assert low % eb == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_placed_in_less_memory_fits_it(seed: int) -> None:
    case = stages(seed)
    peak = int(case.placed.peak.max())
    tight = replace(case.arch, local_memory_bytes=peak * 3 // 4)
    placed = place_actions(case.flow, case.groups, tight, case.options, IMAGES, repeated=True)
    if placed is not None:
        assert placed.peak.max() <= tight.local_memory_bytes
    assert (
        place_actions(case.flow, case.groups, replace(case.arch, local_memory_bytes=8), case.options, 1, repeated=False)
        is None
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_with_spills_any_memory_will_do_that_holds_one_instruction(seed: int) -> None:
    case = stages(seed)
    least, core = least_memory(case.flow, case.groups, case.arch)
    assert 0 <= core < case.arch.total_cores
    assert least <= case.placed.peak.max()
    enough, short = (replace(case.arch, local_memory_bytes=size) for size in (least, least - 1))
    free = case.scheduler.layout.first_image + case.scheduler.layout.image_bytes * IMAGES
    placed = place_with_spills(case.flow, case.groups, enough, case.options, IMAGES, free)
    assert placed is not None
    assert placed.spilled is not None
    assert placed.peak.max() <= least
    kept = placed.spilled.added.op == Op.ST
    assert (placed.spilled.added.dst[kept] >= free).all()  # behind everything that has its place in global memory
    assert place_with_spills(case.flow, case.groups, short, case.options, IMAGES, free) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_more_orders_are_never_worse(seed: int) -> None:
    case = stages(seed)
    times = []
    for orders in (1, 2, 4):
        placed = place_actions(
            case.flow, case.groups, case.arch, replace(case.options, orders=orders), 1, repeated=False
        )
        assert placed is not None
        times.append(placed.image_ns)
    assert times == sorted(times, reverse=True)
