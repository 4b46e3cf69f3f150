"""Relocatable instructions: counted first, then written. What the emitters put there is executed in test_execution."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.schedule.emission.tape import LITERAL, blank_tape, put

INSTRUCTIONS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from([int(op) for op in Op]),
        *(st.integers(-2, 99) if place % 2 == 0 else st.integers(0, 2**40) for place in range(6)),
        st.integers(0, 2**20),
    ),
    max_size=8,
)
COLUMNS = ("task", "op", "dst_buffer", "dst_offset", "src_buffer", "src_offset", "src2_buffer", "src2_offset", "size")


@given(INSTRUCTIONS)
def test_an_empty_tape_counts_what_a_full_one_holds(instructions: list[tuple[int, ...]]) -> None:
    counted = 0
    for task, *rest in instructions:
        counted = put(blank_tape(0), counted, task, *rest)
    tape, at = blank_tape(counted), 0
    for task, *rest in instructions:
        at = put(tape, at, task, *rest)
    assert at == counted == len(instructions)
    written = np.stack([getattr(tape, name).astype(np.int64) for name in COLUMNS], axis=1)
    assert [tuple(row) for row in written.tolist()] == instructions


def test_a_blank_instruction_names_no_buffer_and_no_array_group() -> None:
    tape = blank_tape(3)
    for buffer in (tape.dst_buffer, tape.src_buffer, tape.src2_buffer):
        assert (buffer == LITERAL).all()
    assert (tape.group == -1).all()
