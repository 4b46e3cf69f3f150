"""Contests of one instant: counted where they are, and nowhere else."""

import pytest
from hypothesis import given, settings

from pimcomp.ir.program import Op
from pimcomp.timeline.instruction_times import instruction_times
from pimcomp.timeline.work import work_of
from tests.timeline.streams import Step, small_arch, steps, stream_of_steps
from tests.timeline.ties import Contests, contests_of


def contests(program: list[Step], rob_size: int) -> Contests:
    arch, stream = small_arch(rob_size=rob_size), stream_of_steps(program)
    work = work_of(stream, arch)
    return contests_of(stream, work, instruction_times(stream, work, arch))


def step(op: Op, core: int, address: int = 0, bubbles: int = 0) -> Step:
    return Step(op, core, (core + 1) % 3, 64, 0, (address, address, address), bubbles)


@pytest.mark.parametrize("rob_size", [1, 4])
def test_loads_that_arrive_together(rob_size: int) -> None:
    assert contests([step(Op.LD, c) for c in range(3)], rob_size).global_memory == 2
    assert contests([step(Op.LD, c, bubbles=c) for c in range(3)], rob_size).total == 0


def test_two_units_at_one_port() -> None:
    # The vector unit's result and the move's request, 1 cycle behind its dispatch, in one instant: found by search.
    found = [contests([step(Op.VVADD, 0, 0), step(Op.LMV, 0, 5000, bubbles)], 4).local_memory for bubbles in range(60)]
    assert max(found) == 1
    assert min(found) == 0


@settings(max_examples=40)
@given(steps())
def test_nothing_contends_for_the_port_at_rob_size_1(program: list[Step]) -> None:
    assert contests(program, 1).local_memory == 0
