"""Requests of one instant: the order in which the HEAPLab fork served them, measured with one load per core.

Covers: early_waits.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.timeline.early_waits import BEGIN, CORE, END, REQUEST, early_waits_of
from pimcomp.timeline.instruction_times import instruction_times
from pimcomp.timeline.request_queue import served_order
from pimcomp.timeline.work import work_of
from tests.timeline.streams import Step, small_arch, stream_of_steps

# Cores 0..n-1 load at once in an otherwise idle chip, 15 ns from the memory.
MEASURED = (
    (1, 0),
    (0, 1, 2),
    (0, 2, 1, 3),
    (1, 3, 2, 4, 0),
    (2, 5, 4, 3, 0, 1, 6),
    (4, 10, 9, 8, 7, 6, 5, 1, 3, 2, 11, 0),
    (8, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 3, 7, 6, 5, 4, 0, 2, 1, 19),
    (2, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 0, 16, 15, 14, 13, 12, 11, 10, 9, 8, 36,
     6, 5, 4, 3, 17, 1, 7),
)  # fmt: skip


def requests(cores: int, sent: int, arrival: int) -> np.ndarray:
    waits = np.zeros((cores, 4), np.int64)
    waits[:, BEGIN], waits[:, END], waits[:, CORE], waits[:, REQUEST] = sent, arrival, np.arange(cores), 1
    return waits


@pytest.mark.parametrize("measured", MEASURED, ids=len)
def test_cores_that_load_at_once(measured: tuple[int, ...]) -> None:
    assert tuple(served_order(requests(len(measured), 7000, 22000), 7000, 22000, 1000)) == measured


@pytest.mark.parametrize("measured", MEASURED[:4], ids=len)
@pytest.mark.parametrize("rob_size", [1, 4])
def test_the_replay_serves_them_so(measured: tuple[int, ...], rob_size: int) -> None:
    program = [Step(Op.LD, core, 0, 64, 0, (0, 0, 0), 3) for core in range(len(measured))]
    arch, stream = small_arch(cores=8, rob_size=rob_size), stream_of_steps(program, cores=8)
    times = instruction_times(stream, work_of(stream, arch), arch)
    assert tuple(np.argsort(times.resumed)) == measured


@given(st.integers(1, 60), st.integers(0, 10), st.integers(1, 40), st.sampled_from((500, 1000, 3000)))
def test_every_request_is_served_once(cores: int, sent: int, travels: int, period: int) -> None:
    first, last = sent * period, sent * period + travels * 1000
    assert sorted(served_order(requests(cores, first, last), first, last, period)) == list(range(cores))


def test_early_waits_are_those_of_the_replay() -> None:
    program = [
        Step(Op.LMV, 0, 0, 64, 0, (0, 0, 0), 2),
        Step(Op.LD, 0, 0, 64, 0, (0, 0, 0), 1),
        Step(Op.VVADD, 1, 1, 8, 0, (0, 0, 0), 0),
        Step(Op.SEND, 1, 2, 8, 0, (0, 0, 0), 0),
        Step(Op.LD, 2, 2, 8, 0, (0, 0, 0), 0),
    ]
    arch, stream = small_arch(), stream_of_steps(program)
    times, work = instruction_times(stream, work_of(stream, arch), arch), work_of(stream, arch)
    waits = early_waits_of(stream, arch)
    # Core 0: the move and the load; core 1: the two waits of the addition and the send's request; core 2: only `recv`.
    assert [tuple(w) for w in waits if w[CORE] == 0] == [
        (times.started[0], times.started[0] + work.read[0] + work.write[0], 0, 0),
        (times.started[1], times.arrived[1], 0, 1),
    ]
    own = [tuple(w) for w in waits if w[CORE] == 1]
    assert own[0] == (times.started[2], times.resumed[2], 1, 0)
    assert own[1] == (times.resumed[2], times.resumed[2] + work.write[2], 1, 0)
    assert own[2] == (times.started[3], times.arrived[3], 1, 0)
    assert not (waits[:, CORE] == 2).any()
    assert (np.diff(waits[:, BEGIN]) >= 0).all()
