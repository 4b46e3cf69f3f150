"""The table of instruction times ends where the timeline ends, and its columns are in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pimcomp.errors import DeadlockError
from pimcomp.ir.arch import Arch
from pimcomp.ir.program import Op
from pimcomp.timeline.instruction_times import instruction_times
from pimcomp.timeline.timing import runner
from pimcomp.timeline.work import Instructions, work_of
from tests.timeline.micro import Case, arch_of, cases, stream_of_json
from tests.timeline.streams import Step, small_arch, steps, stream_of_steps


def check(stream: Instructions, arch: Arch) -> None:
    work = work_of(stream, arch)
    times = instruction_times(stream, work, arch)
    np.testing.assert_array_equal(times.finish, runner(stream, arch)[0](1).finish[0])
    for earlier, later in (
        (times.dispatched, times.started),
        (times.started, times.resumed),
        (times.resumed, times.finished),
        (times.finished, times.committed),
        (times.committed, times.retired),
    ):
        assert (earlier <= later).all()
    assert (
        np.diff(times.dispatched)[np.diff(np.repeat(np.arange(stream.cores), np.diff(stream.core_start))) == 0]
    ).all()
    if arch.rob_size == 1:
        assert (times.dispatched[1:] >= times.retired[:-1])[_same_core(stream)].all()


def _same_core(stream: Instructions) -> np.ndarray:
    core = np.repeat(np.arange(stream.cores), np.diff(stream.core_start))
    same: np.ndarray = core[1:] == core[:-1]
    return same


@settings(max_examples=60)
@given(steps(most=30), st.sampled_from((1, 2, 4, 16)), st.sampled_from((1.0, 1 / 1.28, 3.0)))
def test_random_programs_end_when_the_timeline_says(program: list[Step], rob_size: int, period_ns: float) -> None:
    check(stream_of_steps(program), small_arch(rob_size=rob_size, core_period_ns=period_ns))


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in cases() if c.mode == 1])
def test_programs_of_the_reference_set_end_when_the_timeline_says(case: Case) -> None:
    arch = arch_of(case.config)
    check(stream_of_json(case.program, arch.cores), arch)


def test_a_deadlock_names_its_cores() -> None:
    send = Step(op=Op.SEND, core=0, peer=1, size=8, group=0, addresses=(0, 0, 0), bubbles=0)
    stream = stream_of_steps([send, send._replace(core=1, peer=0)])
    stream.op[:2] = Op.RECV  # core 0 and core 1 both receive first
    stream.op[2:4] = (Op.RECV, Op.SEND)
    arch = small_arch()
    with pytest.raises(DeadlockError, match="core 0, instruction 0: recv from core 1"):
        instruction_times(stream, work_of(stream, arch), arch)
