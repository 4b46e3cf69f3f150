"""The table has what the actions do, in their order, on every core.

Covers: emission/tape.
"""

from collections import Counter

import numpy as np
import pytest

from pimcomp.ir.program import Op
from pimcomp.schedule.work import LOAD, STORE
from tests.schedule.stages import IMAGES, SEEDS, Stages, stages


def core_of_rows(case: Stages) -> np.ndarray:
    table = case.assembled
    return np.repeat(np.arange(case.arch.total_cores), np.diff(table.core_start))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_instruction_of_every_image_is_there(seed: int) -> None:
    """Constants once; of fills with zeros, those of buffers that somebody reads."""
    case = stages(seed)
    flow, table = case.flow, case.assembled.table
    once = flow.tape.task >= flow.tasks - flow.constant_tasks
    expected = Counter((flow.tape.op[~once].tolist()) * IMAGES) + Counter(flow.tape.op[once].tolist())
    expected += Counter(
        {int(Op.SEND): IMAGES * len(flow.transfers.bytes), int(Op.RECV): IMAGES * len(flow.transfers.bytes)}
    )
    expected += Counter({int(Op.LLDI): IMAGES * len(flow.pads)})
    assert Counter(table.op.tolist()) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_the_streams_of_the_cores_are_one_order(seed: int) -> None:
    case = stages(seed)
    order, start = case.assembled.table.order, case.assembled.core_start
    assert sorted(order.tolist()) == list(range(len(order)))
    for core in range(case.arch.total_cores):
        assert (np.diff(order[start[core] : start[core + 1]]) > 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_between_two_cores_are_received_in_the_order_of_their_sending(seed: int) -> None:
    case = stages(seed)
    table, core = case.assembled.table, core_of_rows(case)
    sent: dict[tuple[int, int], list[int]] = {}
    received: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(table.order).tolist():
        if table.op[row] == Op.SEND:
            sent.setdefault((int(core[row]), int(table.peer[row])), []).append(int(table.size[row]))
        elif table.op[row] == Op.RECV:
            received.setdefault((int(table.peer[row]), int(core[row])), []).append(int(table.size[row]))
    assert sent == received
    assert all(sender != receiver for sender, receiver in sent)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_row_of_a_task_is_its_own(seed: int) -> None:
    case = stages(seed)
    flow, table, core = case.flow, case.assembled.table, core_of_rows(case)
    for image in range(IMAGES):
        shared = flow.tasks - flow.constant_tasks if image else flow.tasks  # constants are loaded for the first image
        last = case.assembled.last_row[image]
        assert (last[shared:] == -1).all()
        rows = last[:shared]
        assert (table.node[rows] == flow.task.node[:shared]).all()
        assert (core[rows] == flow.core[:shared]).all()
        assert (table.op[rows] == flow.tape.op[flow.task_rows[1 : shared + 1] - 1]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_images_have_their_own_inputs_and_outputs(seed: int) -> None:
    case = stages(seed)
    flow, table, layout = case.flow, case.assembled.table, case.scheduler.layout
    for kind, address in ((LOAD, table.src), (STORE, table.dst)):
        tasks = np.flatnonzero(flow.task.kind == kind)
        at = address[case.assembled.last_row[:, tasks]]
        assert (at == at[0] + layout.image_bytes * np.arange(IMAGES)[:, None]).all()
        assert (at >= layout.first_image).all()
        assert (at < layout.first_image + layout.image_bytes * IMAGES).all()
        assert len(set(at.ravel().tolist())) == at.size


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_is_filled_before_anything_else_of_its_buffer_is_read(seed: int) -> None:
    case = stages(seed)
    flow, table, core = case.flow, case.assembled.table, core_of_rows(case)
    filled = table.order[table.op == Op.LLDI]
    assert len(filled) >= IMAGES * len(flow.pads)
    for image in range(IMAGES):
        for buffer, offset, size in flow.pads.tolist():
            place = case.placed.address[image, buffer] + offset
            same = (table.op == Op.LLDI) & (core == flow.buffers.core[buffer]) & (table.dst == place)
            fills = table.order[same & (table.size == size)]
            readers = flow.readers[flow.readers[:, 0] == buffer, 1]
            stage = case.placed.actions.stage[case.placed.actions.number[image, readers]]
            first = readers[stage == stage.min()]  # the others find it filled in the round before
            assert (fills < table.order[case.assembled.last_row[image, first]].min()).any()
