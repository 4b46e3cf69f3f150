"""Every hand-written program of the reference set: the real simulator's answer, to the last nanosecond.

Covers: in_order, out_of_order, core_step, run, transfers, work, state.
"""

import pytest

from pimcomp.timeline.deadlock import find_deadlock
from pimcomp.timeline.in_order import run_in_order
from pimcomp.timeline.out_of_order import run_out_of_order
from pimcomp.timeline.run import Run
from pimcomp.timeline.timing import time_stream
from pimcomp.timeline.transfers import transfers_of
from pimcomp.timeline.work import PS_PER_NS, Instructions, UnitWork, work_of
from tests.timeline.micro import Case, arch_of, cases, stream_of_json
from tests.timeline.rounds import count_stream_rounds

CASES = cases()
LATENCY = [pytest.param(c, id=c.name) for c in CASES if c.mode == 1]
IN_ORDER = [pytest.param(c, id=c.name) for c in CASES if c.mode == 1 and c.rob_size == 1 and c.name != "sync_wait"]
THROUGHPUT = [pytest.param(c, id=c.name) for c in CASES if c.mode == 0]


def prepared(case: Case) -> tuple[Instructions, UnitWork]:
    arch = arch_of(case.config)
    stream = stream_of_json(case.program, arch.cores)
    return stream, work_of(stream, arch)


def check(case: Case, stream: Instructions, run: Run) -> None:
    assert run.latency_ps / PS_PER_NS == pytest.approx(case.result["latency_ms"] * 1e6, abs=1e-6)
    assert (find_deadlock(stream, run) is None) == (len(case.result["finished_cores"]) == (run.finish[0] >= 0).sum())


def test_all_programs_are_there() -> None:
    assert len(LATENCY) == 123
    assert len(IN_ORDER) == 104
    assert len(THROUGHPUT) == 3


@pytest.mark.parametrize("case", LATENCY)
def test_replay_gives_the_simulators_latency(case: Case) -> None:
    stream, work = prepared(case)
    # The reference results are upstream's, whose `wait` needs the exact value.
    check(case, stream, run_out_of_order(stream, work, arch_of(case.config), 1, counting_wait=False))


@pytest.mark.parametrize("case", IN_ORDER)
def test_recurrences_give_the_simulators_latency(case: Case) -> None:
    arch = arch_of(case.config)
    stream = stream_of_json(case.program, arch.cores)
    check(case, stream, run_in_order(stream, transfers_of(stream, arch), 1))


@pytest.mark.parametrize("case", THROUGHPUT)
def test_rounds_are_counted_as_upstream_does(case: Case) -> None:
    stream, work = prepared(case)
    sim_time_ns = case.config["sim_config"]["sim_time"] * 1e6
    count = count_stream_rounds(stream, work, arch_of(case.config), sim_time_ns)
    # The count is printed with three digits, the time per round with ten.
    assert count.time_per_round_ns(upstream=True) == pytest.approx(case.result["avg_latency_ms"] * 1e6, rel=1e-9)
    assert count.heaplab == count.per_core.min() <= count.upstream


@pytest.mark.parametrize("case", THROUGHPUT)
def test_steady_period_is_what_the_rounds_say(case: Case) -> None:
    arch = arch_of(case.config)
    timing = time_stream(stream_of_json(case.program, arch.cores), arch)
    measured_ns = case.result["avg_latency_ms"] * 1e6
    # A count of n rounds is known to one round more or less.
    rounds = case.config["sim_config"]["sim_time"] * 1e6 / measured_ns
    assert timing.period_ns_per_round == pytest.approx(measured_ns, rel=1.5 / rounds)
