"""Laws that hold for every program, whatever the simulator says.

Covers: timing.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pimcomp.ir.program import Op
from pimcomp.timeline.in_order import run_in_order
from pimcomp.timeline.out_of_order import run_out_of_order
from pimcomp.timeline.run import DONE, own_work_ps
from pimcomp.timeline.timing import time_stream
from pimcomp.timeline.transfers import transfers_of
from pimcomp.timeline.work import PS_PER_NS, work_of
from tests.timeline.rounds import count_stream_rounds
from tests.timeline.streams import Step, small_arch, steps, stream_of_steps

QUICK = settings(max_examples=60)
PERIODS = st.sampled_from((0.5, 1.0, 1 / 1.28, 3.0))


@QUICK
@given(steps(), PERIODS, st.integers(1, 3))
def test_recurrences_equal_replay_at_rob_size_1(program: list[Step], period_ns: float, rounds: int) -> None:
    arch, stream = small_arch(core_period_ns=period_ns), stream_of_steps(program)
    work = work_of(stream, arch)
    by_recurrence = run_in_order(stream, transfers_of(stream, arch), rounds)
    by_replay = run_out_of_order(stream, work, arch, rounds)
    np.testing.assert_array_equal(transfers_of(stream, arch).own_work, own_work_ps(stream, work))
    np.testing.assert_array_equal(by_recurrence.finish, by_replay.finish)
    assert (by_replay.state == DONE).all()


@QUICK
@given(steps(), st.integers(1, 16), st.integers(1, 9))
def test_stretching_every_clock_stretches_time(program: list[Step], rob_size: int, factor: int) -> None:
    # A send's acknowledge takes 1 ns whatever the clock.
    stream = stream_of_steps([s._replace(op=Op.LMV) if s.op == Op.SEND else s for s in program])
    slow = small_arch(
        core_period_ns=factor,
        matrix_period_ns=factor,
        local_period_ns=factor,
        global_period_ns=factor,
        crossbar_latency_ns=30 * factor,
        vector_latency_ns=4 * factor,
        noc_base_ns=2 * factor,
        noc_hop_ns=2 * factor,
        noc_memory_ns=15 * factor,
    )
    fast = run_out_of_order(stream, work_of(stream, small_arch()), small_arch(), 1, rob_size=rob_size)
    stretched = run_out_of_order(stream, work_of(stream, slow), slow, 1, rob_size=rob_size)
    present = np.diff(stream.core_start) > 0
    np.testing.assert_array_equal(stretched.finish[0, present], factor * fast.finish[0, present])


@QUICK
@given(steps(), st.sampled_from((1, 2, 4, 8, 16)))
def test_rounds_follow_each_other(program: list[Step], rob_size: int) -> None:
    arch, stream = small_arch(rob_size=rob_size), stream_of_steps(program)
    work = work_of(stream, arch)
    run = run_out_of_order(stream, work, arch, 3)
    present = np.diff(stream.core_start) > 0
    ends = run.finish[:, present]
    assert (np.diff(ends, axis=0) > 0).all()
    if rob_size == 1:
        # Alone a core needs at least its own work per round.
        assert (np.diff(ends, axis=0) >= own_work_ps(stream, work)[present]).all()


@QUICK
@given(steps(), st.sampled_from((1, 4)))
def test_counted_rounds_have_finished_or_are_under_way(program: list[Step], rob_size: int) -> None:
    arch, stream = small_arch(rob_size=rob_size), stream_of_steps(program)
    work = work_of(stream, arch)
    rounds = 4
    run = run_out_of_order(stream, work, arch, rounds)
    sim_time_ns = run.finish[1].max() / PS_PER_NS
    present = np.diff(stream.core_start) > 0
    count = count_stream_rounds(stream, work, arch, sim_time_ns).per_core
    ended = (run.finish[:, present] < sim_time_ns * PS_PER_NS).sum(axis=0)
    several = np.diff(stream.core_start)[present] + 1 > 1
    # Fetch runs ahead of retirement by what the reorder buffer and two pipeline stages hold.
    assert (count[several] >= np.minimum(ended, rounds)[several]).all()


@QUICK
@given(steps(), st.sampled_from((1, 8)))
def test_latency_is_the_slowest_core(program: list[Step], rob_size: int) -> None:
    timing = time_stream(stream_of_steps(program), small_arch(rob_size=rob_size))
    assert timing.latency_ns == timing.finish_ns.max()
    assert timing.period_ns_per_round > 0
    if rob_size == 1:
        assert (timing.finish_ns >= timing.busy_ns).all()
        assert timing.period_ns_per_round >= timing.busy_ns.max()


@QUICK
@given(steps(most=15))
def test_an_unlimited_buffer_is_never_slower_than_one_entry_for_a_core_alone(program: list[Step]) -> None:
    """With several cores an earlier request of one can delay another's; alone, overlap only helps."""
    alone = [s._replace(core=0, peer=0) for s in program if s.op.name != "SEND"]
    assume(alone)
    arch, stream = small_arch(), stream_of_steps(alone, cores=1)
    work = work_of(stream, arch)
    one = run_out_of_order(stream, work, arch, 1, rob_size=1).latency_ps
    many = run_out_of_order(stream, work, arch, 1, rob_size=64).latency_ps
    assert many <= one


@QUICK
@given(steps(), st.sampled_from((0.5, 1.0)))
def test_times_above_31_bits_give_the_same(program: list[Step], period_ns: float) -> None:
    """Transfers are kept in 32 bits where they fit: a slow core before each of them makes them not fit."""
    assume(program)
    arch, stream = small_arch(core_period_ns=period_ns), stream_of_steps(program)
    stream = stream._replace(bubbles=stream.bubbles.astype(np.int32) + 5_000_000)
    transfers = transfers_of(stream, arch)
    assert transfers.code.dtype == np.int64
    by_replay = run_out_of_order(stream, work_of(stream, arch), arch, 2)
    np.testing.assert_array_equal(run_in_order(stream, transfers, 2).finish, by_replay.finish)


@QUICK
@given(steps(), st.sampled_from((0.3, 0.5, 1.7)))
def test_network_latencies_that_are_not_whole_give_the_same(program: list[Step], hop_ns: float) -> None:
    arch, stream = small_arch(noc_hop_ns=hop_ns, noc_base_ns=hop_ns), stream_of_steps(program)
    by_replay = run_out_of_order(stream, work_of(stream, arch), arch, 2)
    np.testing.assert_array_equal(run_in_order(stream, transfers_of(stream, arch), 2).finish, by_replay.finish)


@pytest.mark.parametrize("unaligned", ["local_period_ns", "core_period_ns", "global_period_ns"])
def test_clocks_that_never_meet_give_the_same(unaligned: str) -> None:
    arch = small_arch(**{unaligned: 0.3})
    stream = stream_of_steps(
        [
            Step(op, core, 1, size, 0, (0, 0, 0), 1)
            for op, core, size in ((Op.SEND, 0, 400), (Op.LD, 1, 9), (Op.VVADD, 1, 7))
        ]
    )
    assert not transfers_of(stream, arch).aligned
    assert transfers_of(stream, small_arch()).aligned
    by_replay = run_out_of_order(stream, work_of(stream, arch), arch, 2)
    np.testing.assert_array_equal(run_in_order(stream, transfers_of(stream, arch), 2).finish, by_replay.finish)
