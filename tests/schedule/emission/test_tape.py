"""Relocatable instructions: counted first, then written. What the emitters put there is executed in test_execution."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.schedule.emission.tape import LITERAL, Pen, pen_for, put

TASKS = 10
INSTRUCTIONS = st.lists(
    st.tuples(
        st.integers(0, TASKS - 1),
        st.sampled_from([int(op) for op in Op]),
        *(st.integers(-2, 99) if place % 2 == 0 else st.integers(0, 2**40) for place in range(6)),
        st.integers(0, 2**20),
    ),
    max_size=8,
)
COLUMNS = ("task", "op", "dst_buffer", "dst_offset", "src_buffer", "src_offset", "src2_buffer", "src2_offset", "size")


@given(INSTRUCTIONS)
def test_a_pen_counts_first_and_then_writes_every_task_in_its_place(instructions: list[tuple[int, ...]]) -> None:
    counts = np.zeros(TASKS, np.int64)
    write_all(pen_for(np.zeros(TASKS, np.int64), 2)._replace(row=counts), instructions)
    assert counts.tolist() == [sum(task == t for task, *_ in instructions) for t in range(TASKS)]
    pen = pen_for(counts, 2)
    write_all(pen, instructions)
    written = np.stack([getattr(pen.tape, name).astype(np.int64) for name in COLUMNS], axis=1)
    assert [tuple(row) for row in written.tolist()] == sorted(instructions, key=lambda one: one[0])
    assert (pen.row == np.cumsum(counts)).all()


def write_all(pen: Pen, instructions: list[tuple[int, ...]]) -> None:
    for task, op, *places, size in instructions:
        pen.task[0] = task
        dst, src, src2 = ((places[i], places[i + 1]) for i in (0, 2, 4))
        put(pen, op, dst, src, src2, size)


def test_a_blank_instruction_names_no_buffer_and_no_array_group() -> None:
    tape = pen_for(np.array([1, 0, 2]), 2).tape
    for buffer in (tape.dst_buffer, tape.src_buffer, tape.src2_buffer):
        assert (buffer == LITERAL).all()
    assert (tape.group == -1).all()
    assert tape.task.tolist() == [0, 2, 2]
